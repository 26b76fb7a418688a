package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
	"github.com/flake-launcher/flake-launcher/integration/image"
)

const bundle = "/etc/ssl/certs/ca-certificates.crt"

// real is an empty sandbox for the real images.
func real(t *testing.T, by fixture.Caller) *fixture.Sandbox {
	t.Helper()
	s := fixture.NewSandbox(t, by)
	s.NoLeaks()
	return s
}

// hostSays is what a command prints on the host itself.
func hostSays(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(fixture.RequireProgram(t, name), args...).Output()
	if err != nil {
		t.Fatalf("%s on the host: %v", name, err)
	}
	return string(out)
}

// opensslOf is the version of the program alone: its library is the image's own.
func opensslOf(said string) string {
	program, _, _ := strings.Cut(said, "(")
	return strings.TrimSpace(program)
}

// sameFile checks that the app's root shows the host's own file.
func sameFile(t *testing.T, s *fixture.Sandbox, run func(args ...string) *fixture.Result, path string) {
	t.Helper()
	want := hostSays(t, "sha256sum", path)
	if res := run("/usr/bin/sha256sum", path); res.Stdout != want {
		t.Errorf("%s is not the host's: want %s got %v", path, want, res)
	}
}

// The seed scenario of the project: a cloud tool in a delta that has neither openssl nor the CA
// bundle, behind a link that looks like an installed tool.
func TestRealSeedScenario(t *testing.T) { fixture.Each(t, testRealSeedScenario) }

func testRealSeedScenario(t *testing.T, by fixture.Caller) {
	base, delta := fixture.Real(t, "basepython"), fixture.Real(t, "aws")
	s := real(t, by)
	s.MustCtl("load", s.Share(base.Archive))
	s.MustCtl("load", s.Share(delta.Archive))
	s.Register("aws", "aws", "--base", "basepython", "--target", "/usr/bin/aws")

	if res := s.MustApp("aws", "--version"); !strings.HasPrefix(res.Stdout, "aws-cli/") {
		t.Errorf("%v", res)
	}
	if res := s.MustApp("aws", "ec2", "help"); !strings.Contains(res.Stdout, "EC2") {
		t.Errorf("%v", res)
	}
	run := func(args ...string) *fixture.Result {
		return s.Run(append([]string{"--base", "basepython", "aws"}, args...)...)
	}
	if res := run("/usr/bin/openssl", "version"); opensslOf(res.Stdout) != opensslOf(hostSays(t, "openssl", "version")) {
		t.Errorf("openssl is not the host's: %v", res)
	}
	sameFile(t, s, run, bundle)
	sameFile(t, s, run, "/usr/bin/openssl")
	if res := run("/usr/bin/test", "-e", "/removed"); res.Code != 1 {
		t.Errorf("the manifest shows: %v", res)
	}
	// The manifest names the package database, because it changed; the host's must not come in by that.
	if res := run("/bin/grep", "-c", "^Package: awscli$", "/var/lib/dpkg/status"); res.Stdout != "1\n" {
		t.Errorf("the package database is not the image's: %v", res)
	}
	// By aws's own client through the host's certificates: nothing but a refused connection is left to fail.
	res := run("/usr/bin/python3", "-c",
		"import ssl; c = ssl.create_default_context(); print(len(c.get_ca_certs()) > 50)")
	if res.Stdout != "True\n" {
		t.Errorf("python sees no certificates: %v", res)
	}
}

func TestRealPullFromDockerRegistry(t *testing.T) {
	fixture.EachUnranged(t, testRealPullFromDockerRegistry)
}

func testRealPullFromDockerRegistry(t *testing.T, by fixture.Caller) {
	base, delta := fixture.Real(t, "basepython"), fixture.Real(t, "aws")
	s := real(t, by)
	reg := fixture.NewDockerRegistry(t)
	s.Trust(reg)
	for _, one := range []struct {
		image       *fixture.RealImage
		compression string
		docker      bool
	}{{base, image.Gzip, true}, {delta, image.Gzip, false}} {
		img := one.image.Image(t)
		img.LayerCompression, img.Docker = one.compression, one.docker
		ref := reg.Push(t, "team/"+one.image.Name+":latest", img)
		s.MustCtl("pull", ref)
	}
	// Short names, now that they are stored.
	s.Register("aws", "aws", "--base", "basepython", "--target", "/usr/bin/aws")
	if res := s.MustApp("aws", "--version"); !strings.HasPrefix(res.Stdout, "aws-cli/") {
		t.Errorf("%v", res)
	}
}

// The unpacked base is what the recipe made, name for name.
func TestRealBaseIsUnpackedAsItIs(t *testing.T) {
	fixture.EachUnranged(t, testRealBaseIsUnpackedAsItIs)
}

func testRealBaseIsUnpackedAsItIs(t *testing.T, by fixture.Caller) {
	base := fixture.Real(t, "bookworm")
	s := real(t, by)
	s.MustCtl("load", s.Share(base.Archive))
	sum, _, err := base.Layers(t)[0].DiffID()
	if err != nil {
		t.Fatal(err)
	}
	want, got := map[string]*entry{}, layerOf(t, s, sum)
	walk(t, filepath.Join(base.Dir, "rootfs"), want)
	for path, e := range want {
		if got[path] == nil || got[path].String() != e.String() {
			t.Errorf("%s: want %v, got %v", path, e, got[path])
		}
	}
	for path := range got {
		if want[path] == nil {
			t.Errorf("%s is not in the image", path)
		}
	}
}

func TestRealLayersWithoutParents(t *testing.T) {
	fixture.EachUnranged(t, testRealLayersWithoutParents)
}

func testRealLayersWithoutParents(t *testing.T, by fixture.Caller) {
	base := fixture.Real(t, "bookworm")
	s := real(t, by)
	img := base.Image(t)
	img.Name = "ko:latest"
	img.Config = v1.Config{Entrypoint: []string{"/bin/cat"}, Cmd: []string{"/lib/x"}, Env: img.Config.Env}
	img.Layers = append(img.Layers,
		fixture.Layer(t, `file lib/x data="lib\n"`, `file tmp/x data="tmp\n"`),
		fixture.Layer(t, `file root/x data="root\n"`, `file usr/local/app/x mode=0755 data="app\n"`))
	s.Load(img)
	if res := s.MustRun("ko"); res.Stdout != "lib\n" {
		t.Errorf("%v", res)
	}
	for path, want := range map[string]string{"/usr/lib/x": "lib\n", "/tmp/x": "tmp\n", "/root/x": "root\n", "/usr/local/app/x": "app\n"} {
		if res := s.Run("ko", "/bin/cat", path); res.Stdout != want {
			t.Errorf("%s: %v", path, res)
		}
	}
	res := s.MustRun("ko", "/usr/bin/stat", "-c", "%F %a", "/lib", "/tmp", "/root", "/usr/local")
	if want := "symbolic link 777\ndirectory 1777\ndirectory 700\ndirectory 755\n"; res.Stdout != want {
		t.Errorf("want %q, got %v", want, res)
	}
	s.MustRun("ko", "/bin/ls", "/lib/"+debianTriplet(t, base)) // the base's libraries still load everything above
}

// debianTriplet is the name of the base's own library directory below /usr/lib.
func debianTriplet(t *testing.T, base *fixture.RealImage) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(base.Dir, "rootfs", "usr", "lib", "*-linux-gnu*"))
	if len(found) == 0 {
		t.Fatal("no library directory in the base")
	}
	return filepath.Base(found[0])
}

// A killed registry in the middle of a real pull, then a second try.
func TestRealPullIsTakenUpAgain(t *testing.T) { fixture.EachUnranged(t, testRealPullIsTakenUpAgain) }

func testRealPullIsTakenUpAgain(t *testing.T, by fixture.Caller) {
	base := fixture.Real(t, "basepython")
	s := real(t, by)
	reg := fixture.NewDockerRegistry(t)
	s.Trust(reg)
	img := base.Image(t)
	ref := reg.Push(t, "team/basepython:latest", img)
	s.Exec(fixture.RequireProgram(t, "timeout"), "-s", "KILL", "0.7", s.Binary("flake-ctl"), "pull", ref)
	s.MustCtl("pull", ref)
	if res := s.MustRun("basepython", "/usr/bin/python3", "-c", "print(6*7)"); res.Stdout != "42\n" {
		t.Errorf("%v", res)
	}
	entries, err := os.ReadDir(filepath.Join(s.Root, "layers", "sha256"))
	if err != nil || len(entries) != 3 {
		t.Errorf("want 3 layers, got %d, %v", len(entries), err)
	}
}
