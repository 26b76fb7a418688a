package vm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
	"github.com/flake-launcher/flake-launcher/integration/image"
)

// TestMachines has all checks made on the kernels of two Debian releases, and on an ARM machine.
func TestMachines(t *testing.T) {
	if os.Getenv("FLAKE_TEST_VM") != "1" {
		t.Skip("boots virtual machines, about a minute each: set FLAKE_TEST_VM=1, as make test-long does")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("the programs are compiled on amd64, for it and for others; here they are for " + runtime.GOARCH)
	}
	for name, test := range map[string]struct {
		suite  string
		arch   Arch
		checks []Check
	}{
		"bookworm": {"bookworm", AMD64, slices.Concat(everywhere, limits, before66, appArmor3, knobs, removal)}, // Linux 6.1
		"trixie":   {"trixie", AMD64, slices.Concat(everywhere, limits, since66, appArmor4, knobs, removal)},    // Linux 6.12
		"arm64":    {"trixie", ARM64, slices.Concat(everywhere, limits, since66, appArmor4, knobs, removal)},
	} {
		t.Run(name, func(t *testing.T) {
			debian := fetch(t, test.suite, test.arch)
			made(t, &Machine{Arch: test.arch, Debian: debian, Files: files(t, debian, test.arch), Checks: test.checks})
		})
	}
}

// fetch is Fetch for a test, which is skipped where this machine is at fault.
func fetch(t *testing.T, suite string, arch Arch) string {
	t.Helper()
	dir, err := Fetch(t.Context(), filepath.Join(fixture.ModuleRoot(), "integration", "vm"), suite, arch)
	if unavailable := (*UnavailableError)(nil); errors.As(err, &unavailable) {
		t.Skip(unavailable)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// made boots the machine and makes each verdict one of a test.
func made(t *testing.T, m *Machine) {
	t.Helper()
	verdicts, err := m.Boot(t.Context(), t.TempDir())
	if err != nil {
		t.Error(err)
	}
	for n, check := range m.Checks {
		t.Run(check.Name+"/"+check.By, func(t *testing.T) {
			if n >= len(verdicts) || !verdicts[n].Made {
				t.Fatal("was not made")
			}
			t.Log(verdicts[n].Output)
			if status := verdicts[n].Status; status != 0 {
				t.Errorf("ended with status %d", status)
			}
		})
	}
}

// programs is the directory that our programs for an architecture are in. Those for another one are compiled, with
// libraries that are no younger than the C library that this machine's compiler has for it.
func programs(t *testing.T, arch Arch) string {
	t.Helper()
	if arch.Name == runtime.GOARCH {
		return filepath.Dir(fixture.Binary(t, "flake-run"))
	}
	if _, err := exec.LookPath("aarch64-linux-gnu-gcc"); err != nil {
		t.Skip("needs a compiler for arm64, aarch64-linux-gnu-gcc with a C library (integration/hack/deps.sh vm)")
	}
	cmd := exec.CommandContext(t.Context(), "make", "programs-"+arch.Name, "SYSROOT="+filepath.Join(fetch(t, "bookworm", arch), "sysroot"))
	cmd.Dir = fixture.ModuleRoot()
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MAKE") })
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile for %s: %v\n%s", arch.Name, err, out)
	}
	return filepath.Join(cmd.Dir, "bin", arch.Name)
}

// files are the programs, as `make install` puts them, and images to load.
func files(t *testing.T, debian string, arch Arch) map[string]string {
	t.Helper()
	bin := programs(t, arch)
	all := map[string]string{
		"usr/local/libexec/flake-launcher/flake-engine": filepath.Join(bin, "flake-engine"),
		"etc/apparmor.d/flake-launcher":                 filepath.Join(fixture.ModuleRoot(), "nsexec", "apparmor", "flake-launcher"),
	}
	for _, name := range []string{"flake-launcher", "flake-run", "flake-ctl"} {
		all["usr/local/bin/"+name] = filepath.Join(bin, name)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"etc/host-file": "the host's\n", "etc/apparmor.d/restricted": restricted} {
		all[name] = filepath.Join(dir, filepath.Base(name))
		if err := os.WriteFile(all[name], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, img := range images(t, debian, arch) {
		img.Architecture = arch.Name
		name, _, _ := strings.Cut(img.Name, ":")
		all["images/"+name+".tar"] = filepath.Join(dir, name+".tar")
		if err := img.WriteFile(all["images/"+name+".tar"]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// images are a base with a shell, of 32 bits as well, a layer and a delta.
func images(t *testing.T, debian string, arch Arch) []image.Image {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(debian, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	lines := []string{
		"dir .", "dir etc", `file etc/gone data="x"`, "dir etc/empty", "dir etc/tree", `file etc/tree/below data="x"`,
		"dir usr", "dir usr/bin", fmt.Sprintf("file usr/bin/busybox mode=0755 data=%q", read("root/usr/bin/busybox")),
		fmt.Sprintf("file usr/bin/busybox32 mode=0755 data=%q", read("busybox32")),
	}
	for _, name := range []string{"sh", "cat", "ls", "rm", "mv", "mkdir", "rmdir", "chmod", "stat"} {
		lines = append(lines, "link usr/bin/"+name+" to=busybox")
	}
	base := fixture.ProbeBaseFor(t, arch.Name)
	base.Layers = append(base.Layers, fixture.Layer(t, lines...))
	return []image.Image{
		base,
		fixture.Delta(t, "layer", "dir etc", `file etc/origin data="layer\n"`, `file etc/layer data="l\n"`,
			"dir root", `file root/image data="x"`, "dir home", "dir home/alice", `file home/alice/image data="x"`),
		fixture.Delta(t, "delta", "dir etc", `file etc/origin data="delta\n"`, "whiteout etc/gone", `file removed data="etc/host-file\n"`),
	}
}
