package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

func TestStackOfThree(t *testing.T) { fixture.Each(t, testStackOfThree) }

func testStackOfThree(t *testing.T, by fixture.Caller) {
	stackOfThree(t, started(t, by))
}

// overlayfs makes no devices for whiteouts, and takes an overlay for a layer.
func TestStoreOnOverlayfs(t *testing.T) { fixture.EachUnranged(t, testStoreOnOverlayfs) }

func testStoreOnOverlayfs(t *testing.T, by fixture.Caller) {
	fixture.RequireRoot(t, "to mount")
	s := fixture.NewSandbox(t, by)
	s.Mkdir(s.Root)
	scratch := t.TempDir()
	options := "lowerdir=" + scratch + "/lower"
	for _, name := range []string{"lower", "upper", "work"} {
		mkdir(t, by, filepath.Join(scratch, name))
		if name != "lower" {
			options += "," + name + "dir=" + filepath.Join(scratch, name)
		}
	}
	if err := unix.Mount("overlay", s.Root, "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(s.Root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s.Load(fixture.ProbeBase(t))
	stackOfThree(t, s)
}

func stackOfThree(t *testing.T, s *fixture.Sandbox) {
	t.Helper()
	s.Load(fixture.Delta(t, "middle", `dir etc`, `file etc/origin data="middle\n"`, `file etc/middle data="m\n"`, `file etc/gone data="m"`, `dir d`, `file d/below`))
	s.Load(fixture.Delta(t, "top", `dir etc`, `file etc/origin data="top\n"`, `whiteout etc/gone`, `dir d`, `opaque d`, `file d/above`))
	s.Register("stack", "top", "--base", "probe", "--layer", "middle", "--target", "/bin/probe")
	for path, want := range map[string]string{
		"/etc/origin": "top\n", "/etc/middle": "m\n", "/etc/base": "b\n",
	} {
		if res := s.MustApp("stack", "cat", path); res.Stdout != want {
			t.Errorf("%s: want %q, got %v", path, want, res)
		}
	}
	if out := s.MustApp("stack", "stat", "/etc/gone").Stdout; out != "none\n" {
		t.Errorf("whiteout: %s", out)
	}
	if out := s.MustApp("stack", "ls", "/d").Stdout; out != "above\n" {
		t.Errorf("opaque directory: %s", out)
	}
	if out := s.MustRun("--base", "probe", "--layer", "middle", "top", "/bin/probe", "cat", "/etc/origin").Stdout; out != "top\n" {
		t.Errorf("ad hoc: %s", out)
	}
	if out := s.MustRun("--base", "probe", "middle", "/bin/probe", "cat", "/etc/origin").Stdout; out != "middle\n" {
		t.Errorf("ad hoc, two of the three: %s", out)
	}
}

// A directory that a layer does not name gives way to a file of the host, as one does that it names.
func TestHostFileForImpliedDirectory(t *testing.T) {
	fixture.Each(t, testHostFileForImpliedDirectory)
}

func testHostFileForImpliedDirectory(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Load(fixture.Delta(t, "middle", `dir usr`, `dir usr/bin`, `dir usr/bin/env`))
	s.Load(fixture.Delta(t, "top", `file usr/bin/env/x`, `file removed data="usr/bin/env\n"`))
	s.Register("stack", "top", "--base", "probe", "--layer", "middle", "--target", "/bin/probe")
	if out := s.MustApp("stack", "stat", "/usr/bin/env").Stdout; !strings.HasPrefix(out, "100000 ") {
		t.Errorf("the host's file: %s", out)
	}
}

func TestConfigOfStack(t *testing.T) { fixture.Each(t, testConfigOfStack) }

func testConfigOfStack(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	delta := fixture.Delta(t, "conf", `dir srv`, `dir srv/work`)
	delta.Config = v1.Config{
		Entrypoint: []string{"/bin/probe", "args"}, Cmd: []string{"from", "cmd"},
		Env: []string{"ORIGIN=delta", "EXTRA=a=b"}, WorkingDir: "/srv/work",
	}
	s.Load(delta)
	if got := s.MustRun("--base", "probe", "conf").JSON(t); !slices.Equal(got, []string{"from", "cmd"}) {
		t.Errorf("Entrypoint and Cmd: %q", got)
	}
	s.Register("conf", "conf", "--base", "probe", "--target", "/")
	if got := s.MustApp("conf", "x").JSON(t); !slices.Equal(got, []string{"x"}) {
		t.Errorf("the image's own entrypoint with an argument: %q", got)
	}
	env := s.MustRun("--base", "probe", "conf", "/bin/probe", "env").JSON(t)
	for _, want := range []string{"ORIGIN=delta", "BASE=yes", "EXTRA=a=b", "PATH=/usr/bin:/bin"} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	env = s.MustRun("-e", "ORIGIN=call", "-e", "LIST=1,2", "--base", "probe", "conf", "/bin/probe", "env").JSON(t)
	for _, want := range []string{"ORIGIN=call", "LIST=1,2"} {
		if !slices.Contains(env, want) {
			t.Errorf("-e: no %s in %q", want, env)
		}
	}
}

// hostDir is a directory of the host outside of what manifests may not name, such as /tmp.
func hostDir(t *testing.T, by fixture.Caller) string {
	t.Helper()
	fixture.RequireRoot(t, "a directory outside of /tmp")
	dir, err := os.MkdirTemp("/opt", "flake-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	by.Give(t, dir)
	return dir
}

func TestHostFiles(t *testing.T) { fixture.Each(t, testHostFiles) }

func testHostFiles(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	host := hostDir(t, by)
	for name, content := range map[string]string{"config": "the host's\n", "odd name;*": "odd\n"} {
		s.WriteFile(filepath.Join(host, name), content)
	}
	if err := os.Symlink("config", filepath.Join(host, "link")); err != nil {
		t.Fatal(err)
	}
	below := strings.TrimPrefix(host, "/")
	manifest := strings.Join([]string{
		"kiwi_apt.config", "etc/hosts", "etc/resolv.conf", "var/lib/dpkg/status",
		below + "/config", below + "/odd name;*", below + "/link", below + "/nowhere", "",
	}, "\n")
	s.Load(fixture.Delta(t, "linked", `dir var`, `dir var/lib`, `dir var/lib/dpkg`, `file var/lib/dpkg/status data="the image's\n"`,
		`file removed data=`+quote(manifest)))
	s.Register("linked", "linked", "--base", "probe", "--target", "/bin/probe")

	for path, want := range map[string]string{
		host + "/config": "the host's\n", host + "/odd name;*": "odd\n", host + "/link": "the host's\n",
		"/var/lib/dpkg/status": "the image's\n",
	} {
		if res := s.App("linked", "cat", path); res.Stdout != want {
			t.Errorf("%s: want %q, got %v", path, want, res)
		}
	}
	if out := s.MustApp("linked", "stat", host+"/link").Stdout; !strings.HasPrefix(out, "120000 ") {
		t.Errorf("a symlink is linked as one: %s", out)
	}
	if out := s.MustApp("linked", "stat", "/removed", host+"/nowhere", "/kiwi_apt.config").Stdout; out != "none\nnone\nnone\n" {
		t.Errorf("manifest, absent file, noise: %s", out)
	}
	s.App("linked", "write", host+"/config", "overwritten")
	if content, err := os.ReadFile(filepath.Join(host, "config")); err != nil || string(content) != "the host's\n" {
		t.Errorf("the app wrote to the host: %q, %v", content, err)
	}
	if err := os.WriteFile(filepath.Join(host, "config"), []byte("edited\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if out := s.MustApp("linked", "cat", host+"/config").Stdout; out != "edited\n" {
		t.Errorf("after an edit on the host: %q", out)
	}
	if err := os.Remove(filepath.Join(host, "config")); err != nil {
		t.Fatal(err)
	}
	if out := s.MustApp("linked", "stat", host+"/config").Stdout; out != "none\n" {
		t.Errorf("after a removal on the host: %q", out)
	}
}

// quote writes text as a value of the layer language.
func quote(text string) string {
	return `"` + strings.NewReplacer("\\", "\\\\", "\"", "\\\"", "\n", "\\n").Replace(text) + `"`
}

func TestLayersWithoutParents(t *testing.T) { fixture.Each(t, testLayersWithoutParents) }

func testLayersWithoutParents(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	img := fixture.ProbeBase(t)
	img.Name = "implied:latest"
	// As ko, jib and kaniko write them: entries whose directories are in a layer below.
	img.Layers = append(img.Layers, fixture.Layer(t,
		`file lib/x data="x\n"`, `file tmp/x data="x\n"`, `file root/x data="x\n"`, `file new/dir/x data="x\n"`))
	s.Load(img)
	for path, want := range map[string]string{
		"/lib":  "120000 777 " + by.OwnerOf(0, 0) + " 7 usr/lib\n",
		"/tmp":  "40000 1777 " + by.OwnerOf(0, 0) + " ",
		"/root": "40000 700 " + by.OwnerOf(0, 0) + " ",
	} {
		if out := s.MustRun("implied", "/bin/probe", "stat", path).Stdout; !strings.HasPrefix(out, want) {
			t.Errorf("%s: want %q, got %q", path, want, out)
		}
	}
	for _, path := range []string{"/lib/x", "/usr/lib/x", "/tmp/x", "/root/x", "/new/dir/x"} {
		if res := s.Run("implied", "/bin/probe", "cat", path); res.Stdout != "x\n" {
			t.Errorf("%s: %v", path, res)
		}
	}
}

func TestSharedLayersAreStoredOnce(t *testing.T) { fixture.Each(t, testSharedLayersAreStoredOnce) }

func testSharedLayersAreStoredOnce(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	img := fixture.ProbeBase(t)
	img.Name = "other:latest"
	img.Layers = append(img.Layers, fixture.Layer(t, "dir .", "file only"))
	s.Load(img)
	entries, err := os.ReadDir(filepath.Join(s.Root, "layers", "sha256"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("want 2 layers of the two images, got %d", len(entries))
	}
}

func TestDefaultACLs(t *testing.T) { fixture.Each(t, testDefaultACLs) }

// testDefaultACLs makes files in directories of which the image says that what is made there is not for everybody: /opt,
// which the flake's own layer covers for a symlink of the host's in it, and one that nothing covers.
func testDefaultACLs(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	// user::rwx, group::r-x, other::---
	acl := "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x04\x00\x05\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	switch err := unix.Setxattr(s.Tmp, "system.posix_acl_default", []byte(acl), 0); {
	case errors.Is(err, unix.ENOTSUP):
		t.Skipf("needs a file system with ACLs at %s", s.Tmp)
	case err != nil:
		t.Fatal(err)
	}
	host := hostDir(t, by)
	if err := os.Symlink("nowhere", filepath.Join(host, "link")); err != nil {
		t.Fatal(err)
	}
	lines := []string{"file removed data=" + quote(strings.TrimPrefix(host, "/")+"/link\n")}
	for _, dir := range []string{"opt", "srv"} {
		lines = append(lines, fmt.Sprintf("dir %s xattr:system.posix_acl_default=%q", dir, acl))
	}
	s.Load(fixture.Delta(t, "acl", lines...))
	made := func(path string) string {
		t.Helper()
		res := s.MustRun("--base", "probe", "acl", "/bin/probe", "each", "/bin/probe", "touch", path, "then", "/bin/probe", "stat", path)
		_, mode, _ := strings.Cut(strings.TrimPrefix(res.Stdout, "ok\n"), " ")
		mode, _, _ = strings.Cut(mode, " ")
		return mode
	}
	want := map[string]string{"/opt/new": "640", "/srv/new": "640"}
	switch {
	case by.Range:
		want["/opt/new"] = "644" // the flake's own layer is made without the range: rootfs/decisions/0005
	case !by.IsRoot(): // an ACL's ids would be other users of the host
		want = map[string]string{"/opt/new": "644", "/srv/new": "644"}
	}
	if res := s.MustRun("--base", "probe", "acl", "/bin/probe", "stat", host+"/link"); !strings.HasPrefix(res.Stdout, "120000 ") {
		t.Errorf("no link of the host: %v", res)
	}
	for path, mode := range want {
		if got := made(path); got != mode {
			t.Errorf("%s: want mode %s, got %s", path, mode, got)
		}
	}
}

func mkdir(t *testing.T, by fixture.Caller, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	by.Give(t, dir)
}
