package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// dpkgHost is dpkg with a database of its own and an /opt of its own, in the suite's mount namespace: the machine's stay as
// they are.
type dpkgHost struct {
	t *testing.T
	// dir is where packages are put together.
	dir string
}

func newDpkgHost(t *testing.T) *dpkgHost {
	t.Helper()
	fixture.RequireRoot(t, "another package database in the place of the machine's")
	for _, program := range []string{"dpkg", "dpkg-deb"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("this is no host of dpkg's: %v", err)
		}
	}
	h := &dpkgHost{t: t, dir: t.TempDir()}
	for _, place := range []string{"/var/lib/dpkg", "/opt"} {
		if _, err := os.Stat(place); err != nil {
			t.Skipf("needs a place to mount at: %v", err)
		}
		own := t.TempDir()
		fixture.OpenWay(t, own)
		if err := unix.Mount(own, place, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(place, 0); err != nil {
				t.Error(err)
			}
		})
	}
	for _, dir := range []string{"info", "updates", "triggers", "parts"} {
		h.must(os.Mkdir(filepath.Join("/var/lib/dpkg", dir), 0o755))
	}
	for _, file := range []string{"status", "available"} {
		h.must(os.WriteFile(filepath.Join("/var/lib/dpkg", file), nil, 0o644))
	}
	return h
}

func (h *dpkgHost) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// install builds the package of these files, by their names below /opt/made, and installs it as an administrator does.
func (h *dpkgHost) install(version string, files map[string]string) string {
	h.t.Helper()
	tree := filepath.Join(h.dir, version)
	for name, text := range files {
		h.write(filepath.Join(tree, "opt/made", name), text)
	}
	h.must(os.Symlink("changed", filepath.Join(tree, "opt/made/link-"+version)))
	return h.build(tree, "flake-test-made", version)
}

// build makes a package of a tree and installs it.
func (h *dpkgHost) build(tree, name, version string) string {
	h.t.Helper()
	control := "Package: " + name + "\nVersion: " + version + "\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: made by a test\n"
	h.write(filepath.Join(tree, "DEBIAN/control"), control)
	deb := tree + ".deb"
	h.run("dpkg-deb", "--build", "--root-owner-group", tree, deb)
	h.dpkg("-i", deb)
	return deb
}

func (h *dpkgHost) write(path, text string) {
	h.t.Helper()
	h.must(os.MkdirAll(filepath.Dir(path), 0o755))
	h.must(os.WriteFile(path, []byte(text), 0o644))
}

func (h *dpkgHost) dpkg(args ...string) {
	h.t.Helper()
	h.run("dpkg", append([]string{"--log=/dev/null"}, args...)...)
}

func (h *dpkgHost) run(name string, args ...string) {
	h.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		h.t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// A package is updated by dpkg itself between two starts: changed, added and removed files are seen by the second, whether
// the files are bound or in a host layer.
func TestDpkgUpdate(t *testing.T) { fixture.Each(t, testDpkgUpdate) }

func testDpkgUpdate(t *testing.T, by fixture.Caller) {
	for strategy, more := range map[string]int{"bind": 0, "layer": 40} {
		t.Run(strategy, func(t *testing.T) {
			h := newDpkgHost(t)
			s := started(t, by)
			files := map[string]string{"changed": "1\n", "gone": "x\n"}
			for n := range more {
				files[fmt.Sprintf("sub/%d/file", n)] = fmt.Sprintln(n)
			}
			h.build(filepath.Join(h.dir, "other"), "flake-test-other", "1") // a host without any package would be another case
			first := h.install("1", files)
			s.Register("made", "probe", "--target", "/bin/probe", "--host-package", "flake-test-made")
			if out := s.MustCtl("explain", "made", "/opt/made/changed").Stdout; !strings.Contains(out, "shown by "+strategy) {
				t.Errorf("not by %s: %s", strategy, out)
			}
			sees := func(want ...string) {
				t.Helper()
				for _, w := range want {
					name, text, _ := strings.Cut(w, "=")
					res := s.App("made", "cat", "/opt/made/"+name)
					if there := res.Code == 0; there != (text != "") || there && res.Stdout != text {
						t.Errorf("want %q, got %v", w, res)
					}
				}
			}
			sees("changed=1\n", "link-1=1\n", "gone=x\n", "added=")

			delete(files, "gone")
			files["changed"], files["added"] = "another text\n", "2\n"
			h.install("2", files)
			sees("changed=another text\n", "link-1=", "link-2=another text\n", "gone=", "added=2\n")
			size := s.MustApp("made", "stat", "/opt/made/changed").Stdout
			h.dpkg("-i", first) // the way back
			sees("changed=1\n", "link-2=", "gone=x\n", "added=")
			if now := s.MustApp("made", "stat", "/opt/made/changed").Stdout; now == size {
				t.Errorf("what is told of a file is of the version before: %s", now)
			}

			h.dpkg("-r", "flake-test-made")
			res := s.App("made", "exit", "0")
			s.Refused(res, "flake-test-made")
			if res.Code != 125 {
				t.Errorf("the package is gone: %v", res)
			}
		})
	}
}
