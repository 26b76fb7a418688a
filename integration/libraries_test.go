package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// zypperRuns registers this host's zypper in an image and checks that it works there.
func zypperRuns(t *testing.T, s *fixture.Sandbox, container string) {
	t.Helper()
	res := s.Register("zypper", container, "--target", fixture.RequireProgram(t, "zypper"), "--host-package", "zypper", "--profile", "isolated", "--force")
	t.Logf("registered in %v: %s", res.Took, res.Stderr)
	if strings.Contains(res.Stderr, "warning") {
		t.Errorf("%v", res)
	}
	if res.Took > 10*time.Second { // a second on an idle machine
		t.Errorf("the registration took %v", res.Took)
	}
	if res := s.MustApp("zypper", "--version"); res.Stdout != hostSays(t, "zypper", "--version") {
		t.Errorf("%v", res)
	}
	if res := s.MustApp("zypper", "--help"); !strings.Contains(res.Stdout, "install, in") {
		t.Errorf("%v", res)
	}
}

// An image that has nothing at all: the loader and all libraries are the host's.
func TestHostSystemInEmptyImage(t *testing.T) { fixture.Each(t, testHostSystemInEmptyImage) }

func testHostSystemInEmptyImage(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	zypperRuns(t, s, "probe")
	s.Register("bare", "probe", "--target", "/usr/bin/zypper", "--host-package", "zypper", "--host-deps", "files", "--profile", "isolated")
	if res := s.App("bare", "--version"); res.Code != 126 && res.Code != 127 {
		t.Errorf("without libraries: %v", res)
	}
}

// An image of musl, whose own programs go on as before.
func TestHostSystemBesideMusl(t *testing.T) { fixture.Each(t, testHostSystemBesideMusl) }

func testHostSystemBesideMusl(t *testing.T, by fixture.Caller) {
	cc := fixture.RequireProgram(t, "musl-gcc")
	dir := t.TempDir()
	source, program := filepath.Join(dir, "hello.c"), filepath.Join(dir, "hello")
	if err := os.WriteFile(source, []byte("#include <stdio.h>\nint main(void) { puts(\"musl\"); return 0; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	loaders, _ := filepath.Glob("/lib/ld-musl-*.so.1")
	if len(loaders) == 0 {
		t.Skip("this machine's musl has no loader in /lib")
	}
	s := started(t, by)
	s.Load(fixture.Delta(t, "muslbase", "dir lib", "dir bin", "dir tmp mode=1777", copyOf(t, loaders[0], loaders[0]), copyOf(t, "/bin/hello", program)))
	zypperRuns(t, s, "muslbase")
	s.Register("hello", "muslbase", "--target", "/bin/hello", "--host-package", "zypper", "--profile", "isolated")
	if res := s.MustApp("hello"); res.Stdout != "musl\n" {
		t.Errorf("%v", res)
	}
}

// copyOf is the line of a file in an image that this machine has.
func copyOf(t *testing.T, place, from string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	return "file " + strings.TrimPrefix(place, "/") + " mode=0755 data=" + strconv.Quote(string(b))
}

// A base that has some of the libraries.
func TestRealHostSystemZypper(t *testing.T) { fixture.Each(t, testRealHostSystemZypper) }

func testRealHostSystemZypper(t *testing.T, by fixture.Caller) {
	base := fixture.Real(t, "bookworm")
	s := real(t, by)
	s.MustCtl("load", s.Share(base.Archive))
	zypperRuns(t, s, "bookworm")
}

// A program that an image asks for, without what it needs: that is said by name, and the remedy that is named helps.
func TestRemovedProgramLacksLibraries(t *testing.T) {
	fixture.Each(t, testRemovedProgramLacksLibraries)
}

func testRemovedProgramLacksLibraries(t *testing.T, by fixture.Caller) {
	tool := fixture.RequireProgram(t, "zypper")
	s := started(t, by)
	s.Load(fixture.Delta(t, "lacking", "file removed data="+quote(tool[1:]+"\n")))
	args := []string{"lacking", "--base", "probe", "--target", tool}
	res := s.Register("zypper", args[0], args[1:]...)
	for _, want := range []string{"warning", tool + " needs lib", "only the host satisfies", "(/usr/lib", "--host-package"} {
		if !strings.Contains(res.Stderr, want) {
			t.Errorf("no %q in %v", want, res)
		}
	}
	if res := s.App("zypper", "--version"); res.Code == 0 {
		t.Errorf("it starts without: %v", res)
	}
	if res := s.MustCtl("explain", "--all", "zypper"); !strings.Contains(res.Stdout, "missing: "+tool+" needs libzypp.so") {
		t.Errorf("%v", res)
	}
	res = s.Register("zypper", args[0], append(args[1:], "--host-package", "zypper", "--profile", "isolated", "--force")...)
	if strings.Contains(res.Stderr, "warning") {
		t.Errorf("%v", res)
	}
	if res := s.MustApp("zypper", "--version"); res.Stdout != hostSays(t, "zypper", "--version") {
		t.Errorf("%v", res)
	}
}
