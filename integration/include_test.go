package integration

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// archive writes a tar of these lines as a file of the caller's.
func archive(t *testing.T, s *fixture.Sandbox, name string, lines ...string) string {
	t.Helper()
	r, err := fixture.Layer(t, lines...).Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.Tmp, name)
	s.WriteFile(path, string(b))
	return path
}

func layerCount(t *testing.T, s *fixture.Sandbox) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(s.Root, "layers", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestIncludeTar(t *testing.T) { fixture.Each(t, testIncludeTar) }

func testIncludeTar(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Load(fixture.Delta(t, "delta", `dir etc`, `file etc/origin data="delta\n"`, `file opt/delta data="d\n"`, `file tmp/delta data="d\n"`))
	// No parents are named, and lib is a link in the base.
	one := archive(t, s, "one.tar", `file etc/origin data="one\n"`, `file lib/one data="l\n"`, `file usr/bin/setuid mode=4755 own=7:8 data="s\n"`,
		`hard usr/bin/second to=usr/bin/setuid mode=4755 own=7:8`, `whiteout etc/base`, `link etc/link to=origin`, `file tmp/x data="t\n"`)
	two := archive(t, s, "two.tar", `dir etc`, `file etc/origin data="two\n"`)
	s.Register("both", "delta", "--profile", "isolated", "--base", "probe", "--target", "/bin/probe", "--include-tar", one, "--include-tar", two)
	s.Register("turned", "delta", "--profile", "isolated", "--base", "probe", "--target", "/bin/probe", "--include-tar", two, "--include-tar", one)
	s.Register("alone", "probe", "--profile", "isolated", "--target", "/bin/probe", "--include-tar", one)
	for name, want := range map[string]string{"both": "two\n", "turned": "one\n", "alone": "one\n"} {
		app := func(args ...string) *fixture.Result { return s.App(name, args...) }
		if res := app("cat", "/etc/link", "/usr/lib/one"); res.Stdout != want+"l\n" {
			t.Errorf("%s: %v", name, res)
		}
		owner := by.OwnerOf(7, 8)
		says(t, app, "none 100000 4755 "+owner+" 2  100000 4755 "+owner+" 2  120000 777 "+by.OwnerOf(0, 0)+" 7 usr/lib",
			"stat", "/etc/base", "/usr/bin/setuid", "/usr/bin/second", "/lib")
		if got := strings.Fields(app("stat", "/tmp", "/etc").Stdout); len(got) < 6 || got[1] != "1777" || got[5] != "755" {
			t.Errorf("%s: modes of directories that the archive does not name: %v", name, got)
		}
	}
	if res := s.MustApp("both", "cat", "/opt/delta"); res.Stdout != "d\n" {
		t.Errorf("%v", res)
	}
	if res := s.MustRun("--include-tar", two, "probe", "/bin/probe", "cat", "/etc/origin"); res.Stdout != "two\n" {
		t.Errorf("%v", res)
	}
}

func TestIncludeCompressed(t *testing.T) { fixture.Each(t, testIncludeCompressed) }

func testIncludeCompressed(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	plain := archive(t, s, "plain.tar", `dir etc`, `file etc/origin data="packed\n"`)
	s.MustRun("--include-tar", plain, "probe", "/bin/probe", "cat", "/etc/origin")
	want := layerCount(t, s)
	for _, tool := range []string{"gzip", "xz", "zstd", "bzip2"} {
		t.Run(tool, func(t *testing.T) {
			s := s.In(t)
			path := filepath.Join(s.Tmp, "packed-"+tool) // the name says nothing
			out, err := exec.Command(fixture.RequireProgram(t, tool), "-c", plain).Output()
			if err != nil {
				t.Fatal(err)
			}
			s.WriteFile(path, string(out))
			if res := s.MustRun("--include-tar", path, "probe", "/bin/probe", "cat", "/etc/origin"); res.Stdout != "packed\n" {
				t.Errorf("%v", res)
			}
			if got := layerCount(t, s); got != want {
				t.Errorf("the same content takes %d layers instead of %d", got, want)
			}
		})
	}
}

// tree is a directory of the caller's with one of each.
func tree(t *testing.T, s *fixture.Sandbox) string {
	t.Helper()
	dir := filepath.Join(s.Tmp, "tree")
	s.Mkdir(filepath.Join(dir, "sub"))
	s.WriteFile(filepath.Join(dir, "file"), "first\n")
	s.WriteFile(filepath.Join(dir, "sub", "tool"), "#!/bin/probe exit\n")
	for _, err := range []error{
		os.Link(filepath.Join(dir, "file"), filepath.Join(dir, "sub", "hard")),
		os.Symlink("sub/../file", filepath.Join(dir, "link")),
		os.Symlink("/etc/shadow", filepath.Join(dir, "out")),
		os.Chmod(filepath.Join(dir, "sub", "tool"), 0o751),
		os.Chmod(filepath.Join(dir, "sub"), 0o710),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestIncludePath(t *testing.T) { fixture.Each(t, testIncludePath) }

func testIncludePath(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	dir, file := tree(t, s), filepath.Join(s.Tmp, "one file")
	s.WriteFile(file, "single\n")
	s.Register("tool", "probe", "--profile", "isolated", "--target", "/bin/probe", "--include-path", dir, "--include-path", file)
	app := func(args ...string) *fixture.Result { return s.App("tool", args...) }
	if res := app("cat", dir+"/link", dir+"/sub/hard", file); res.Stdout != "first\nfirst\nsingle\n" {
		t.Errorf("%v", res)
	}
	says(t, app, fmt.Sprintf("40000 710 %s 4096  100000 751 %[1]s 18  120000 777 %[1]s 11 sub/../file 120000 777 %[1]s 11 /etc/shadow", by.OwnerInside()),
		"stat", dir+"/sub", dir+"/sub/tool", dir+"/link", dir+"/out")
	// The app writes to its own copy.
	app("write", dir+"/file", "changed inside")
	if b, _ := os.ReadFile(dir + "/file"); string(b) != "first\n" {
		t.Errorf("the host's file holds %q", b)
	}
	// A program that only an include has can be the target.
	s.Register("script", "probe", "--profile", "isolated", "--target", dir+"/sub/tool", "--include-path", dir)
	if res := s.App("script", "3"); res.Code != 3 && res.Code != 0 {
		t.Errorf("%v", res)
	}
	s.Refused(s.Ctl("register", "--container", "probe", "--app", s.Link("none"), "--target", dir+"/sub/tool"), dir+"/sub/tool")
}

func TestIncludeChanged(t *testing.T) { fixture.Each(t, testIncludeChanged) }

func testIncludeChanged(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	base := layerCount(t, s)
	dir := tree(t, s)
	tarFile := archive(t, s, "a.tar", `dir etc`, `file etc/origin data="v1\n"`)
	s.Register("tool", "probe", "--profile", "isolated", "--target", "/bin/probe", "--include-tar", tarFile, "--include-path", dir)
	see := func(want string) {
		t.Helper()
		if res := s.App("tool", "cat", "/etc/origin", dir+"/file", dir+"/sub/hard"); res.Stdout != want || res.Stderr != "" {
			t.Errorf("want %q, got %v", want, res)
		}
	}
	see("v1\nfirst\nfirst\n")
	archive(t, s, "a.tar", `dir etc`, `file etc/origin data="v2\n"`)
	see("v2\nfirst\nfirst\n")
	s.WriteFile(dir+"/file", "second\n") // in place: no directory changes
	see("v2\nsecond\nsecond\n")
	if err := os.Remove(dir + "/sub/hard"); err != nil {
		t.Fatal(err)
	}
	s.WriteFile(dir+"/sub/hard", "third\n")
	see("v2\nsecond\nthird\n")
	if got := layerCount(t, s); got != base+5 {
		t.Errorf("want 5 layers of includes, old ones with them, got %d", got-base)
	}
	s.MustCtl("gc")
	if got := layerCount(t, s); got != base+2 {
		t.Errorf("want 2 layers of includes after gc, got %d", got-base)
	}
	see("v2\nsecond\nthird\n")
	// Touched, not changed: read again, stored once.
	s.WriteFile(tarFile, readFile(t, tarFile))
	see("v2\nsecond\nthird\n")
	if got := layerCount(t, s); got != base+2 {
		t.Errorf("the same content again makes %d layers", got-base)
	}
	if err := os.Remove(tarFile); err != nil {
		t.Fatal(err)
	}
	res := s.App("tool", "exit", "0")
	s.Refused(res, tarFile, "no such file")
	if res.Code != 125 {
		t.Errorf("%v", res)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestIncludeIsSharedAndCollected(t *testing.T) { fixture.Each(t, testIncludeIsSharedAndCollected) }

func testIncludeIsSharedAndCollected(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	base := layerCount(t, s)
	dir := tree(t, s)
	tarFile := archive(t, s, "a.tar", `dir etc`, `file etc/origin data="v1\n"`)
	s.Register("one", "probe", "--profile", "isolated", "--target", "/bin/probe", "--include-tar", tarFile, "--include-path", dir)
	s.Register("two", "probe", "--profile", "isolated", "--target", "/bin/probe", "--include-path", dir, "--include-tar", tarFile)
	if got := layerCount(t, s); got != base+2 {
		t.Errorf("two flakes with the same includes have %d layers of them", got-base)
	}
	if res := s.MustCtl("gc"); strings.Contains(res.Stdout, "layer") {
		t.Errorf("what is needed would go: %v", res)
	}
	s.MustCtl("remove", "one")
	if got := layerCount(t, s); got != base+2 {
		t.Errorf("what the second flake needs is gone: %d", got-base)
	}
	s.MustApp("two", "cat", dir+"/file")
	// Without a plan nobody knows which of them it is: all stay.
	plans, err := filepath.Glob(filepath.Join(s.Root, "plans", "two.*.plan"))
	if err != nil || len(plans) != 1 {
		t.Fatalf("plans %q, %v", plans, err)
	}
	if err := os.Remove(plans[0]); err != nil {
		t.Fatal(err)
	}
	s.MustCtl("gc")
	if got := layerCount(t, s); got != base+2 {
		t.Errorf("gc took what a registration names: %d", got-base)
	}
	s.MustCtl("remove", "two")
	if got := layerCount(t, s); got != base {
		t.Errorf("%d layers of includes are left after the last flake", got-base)
	}
	if left, _ := os.ReadDir(filepath.Join(s.Root, "includes")); len(left) != 0 {
		t.Errorf("records are left: %v", left)
	}
	s.MustApp("probe", "exit", "0")
	// An image's layer is not an include's, though it is the same.
	layer := fixture.Layer(t, append([]string{"dir ."}, `dir etc`, `file etc/origin data="same\n"`)...)
	img := fixture.Delta(t, "same")
	img.Layers = append(img.Layers[:0], layer)
	s.Load(img)
	s.Register("same", "same", "--profile", "isolated", "--base", "probe", "--target", "/bin/probe", "--include-tar", archive(t, s, "same.tar", "dir .", `dir etc`, `file etc/origin data="same\n"`))
	s.MustCtl("remove", "same")
	if res := s.MustRun("--base", "probe", "same", "/bin/probe", "cat", "/etc/origin"); res.Stdout != "same\n" {
		t.Errorf("%v", res)
	}
}

func TestIncludeOfManyAtOnce(t *testing.T) { fixture.Each(t, testIncludeOfManyAtOnce) }

func testIncludeOfManyAtOnce(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	base := layerCount(t, s)
	path := archive(t, s, "big.tar", `file opt/big size=20000000`, `file etc/origin data="big\n"`)
	var at sync.WaitGroup
	for n := range 6 {
		at.Go(func() {
			res := s.Run("--include-tar", path, "-e", fmt.Sprint("N=", n), "probe", "/bin/probe", "cat", "/etc/origin")
			if res.Stdout != "big\n" || res.Stderr != "" {
				t.Errorf("%v", res)
			}
		})
	}
	at.Wait()
	if got := layerCount(t, s); got != base+1 {
		t.Errorf("%d layers", got-base)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Root, "tmp", "include-*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

// What root includes serves everybody, also from where only root can look; a user's own copy is made where root has none.
func TestIncludeOfRootsFlake(t *testing.T) {
	system, alice, _ := shared(t)
	secret := filepath.Join(system.Tmp, "closed")
	system.Mkdir(secret)
	system.WriteFile(filepath.Join(secret, "file"), "v1\n")
	if err := os.Chmod(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	system.Mkdir(filepath.Join(system.Tmp, "open"))
	tarFile := archive(t, system, "open/a.tar", `dir etc`, `file etc/origin data="tar\n"`)
	system.Register("tool", "probe", "--profile", "isolated", "--target", "/bin/probe", "--include-path", filepath.Join(secret, "file"), "--include-tar", tarFile)
	link := system.Link("tool")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(alice.Binary("flake-launcher"), link); err != nil {
		t.Fatal(err)
	}
	see := func(s *fixture.Sandbox, want string) {
		t.Helper()
		if res := s.Exec(link, "cat", filepath.Join(secret, "file"), "/etc/origin"); res.Stdout != want {
			t.Errorf("want %q, got %v", want, res)
		}
	}
	own := func() int {
		entries, _ := os.ReadDir(filepath.Join(alice.Root, "layers", "sha256"))
		return len(entries)
	}
	see(alice, "v1\ntar\n")
	if own() != 0 {
		t.Errorf("%d layers were made again", own())
	}
	// What root changes, users see when root has started it; an archive that they can read at once.
	system.WriteFile(filepath.Join(secret, "file"), "v2\n")
	see(alice, "v1\ntar\n")
	see(system, "v2\ntar\n")
	see(alice, "v2\ntar\n")
	archive(t, system, "open/a.tar", `dir etc`, `file etc/origin data="new\n"`)
	see(alice, "v2\nnew\n")
	if own() != 1 {
		t.Errorf("%d layers of the user's own", own())
	}
	see(system, "v2\nnew\n")
	system.MustCtl("gc")
	see(alice, "v2\nnew\n")
	alice.Refused(alice.Run("--include-path", filepath.Join(secret, "other"), "probe", "/bin/probe", "exit", "0"), "permission denied")
	alice.MustCtl("gc")
}

func TestIncludeWithRange(t *testing.T) {
	s := ranged(t, line, line)
	s.Load(owned(t, ""))
	file := filepath.Join(s.Tmp, "mine")
	s.WriteFile(file, "mine\n")
	tarFile := archive(t, s, "a.tar", `file opt/his own=1000:1001 mode=4755 data="x"`)
	res := s.MustRun("--ids", "range", "--include-tar", tarFile, "--include-path", file, "owned", "/bin/probe", "stat", "/opt/his", file, "/opt")
	if got := strings.Join(strings.Fields(res.Stdout), " "); got != "100000 4755 1000:1001 1 100000 644 0:0 5 40000 2775 1000:1000 4096" {
		t.Errorf("%v", res)
	}
	wide := archive(t, s, "wide.tar", `file opt/his own=70000:0 data="x"`)
	s.Refused(s.Run("--ids", "range", "--include-tar", wide, "owned", "/bin/probe", "exit", "0"), "wide.tar", "70000", "/etc/subuid")
}
