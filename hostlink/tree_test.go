package hostlink

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// dirImage is an image that lies unpacked in a directory. It fails the test
// when it is asked for a path with a symlink among the parents.
type dirImage struct {
	t    testing.TB
	root string
}

var _ Image = dirImage{}

func (d dirImage) Lstat(path string) (fs.FileInfo, error) {
	d.check(path)
	return os.Lstat(filepath.Join(d.root, path))
}

func (d dirImage) Readlink(path string) (string, error) {
	d.check(path)
	return os.Readlink(filepath.Join(d.root, path))
}

func (d dirImage) check(path string) {
	d.t.Helper()
	if !strings.HasPrefix(path, "/") {
		d.t.Errorf("image asked for the relative path %q", path)
	}
	for _, dir := range parents(strings.TrimPrefix(path, "/")) {
		fi, err := os.Lstat(filepath.Join(d.root, dir))
		if err == nil && fi.Mode().Type() == fs.ModeSymlink {
			d.t.Errorf("image asked for %q although %q is a symlink", path, dir)
		}
	}
}

// grow makes a tree. Each line is one entry, parents are made as needed:
//
//	d PATH [MODE]    f PATH [CONTENT]    l PATH TARGET    p PATH (FIFO)    s PATH (socket)
//
// Names with spaces are written with "␠".
func grow(t testing.TB, lines ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, line := range lines {
		if err := growOne(root, line); err != nil {
			t.Fatalf("grow %q: %v", line, err)
		}
	}
	return root
}

func growOne(root, line string) error {
	kind, rest, _ := strings.Cut(line, " ")
	name, arg, _ := strings.Cut(rest, " ")
	path := filepath.Join(root, strings.ReplaceAll(name, "␠", " "))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch kind {
	case "d":
		if err := os.MkdirAll(path, 0o755); err != nil || arg == "" {
			return err
		}
		mode, err := strconv.ParseUint(arg, 8, 32)
		return errors.Join(err, syscall.Chmod(path, uint32(mode)))
	case "f":
		return os.WriteFile(path, []byte(arg), 0o644)
	case "l":
		return os.Symlink(arg, path)
	case "p":
		return syscall.Mkfifo(path, 0o644)
	case "s":
		return makeSocket(path)
	}
	return fmt.Errorf("unknown kind %q", kind)
}

// makeSocket binds below the directory's own descriptor: test directories are
// longer than a socket's address may be.
func makeSocket(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	addr := &net.UnixAddr{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), Net: "unix"}
	l, err := net.ListenUnix("unix", addr)
	if err != nil {
		return err
	}
	l.SetUnlinkOnClose(false)
	return l.Close()
}

func TestWalk(t *testing.T) {
	root := grow(t, "l lib usr/lib", "f usr/lib/x", "l abs /usr/./lib/../lib", "l up ../../../usr",
		"l loop loop2", "l loop2 loop", "l nowhere /not/here", "l tofile /usr/lib/x", "l dot .", "l root /")
	cases := map[string]struct {
		path   string
		follow bool
		want   string
		kind   Kind
		err    error
	}{
		"loop of parents":              {path: "loop/x", err: syscall.ELOOP},
		"loop at the end, followed":    {path: "loop", follow: true, err: syscall.ELOOP},
		"loop at the end, kept":        {path: "loop", want: "loop", kind: KindSymlink},
		"dot-dot stops at the root":    {path: "up/lib/x", want: "usr/lib/x", kind: KindFile},
		"absolute link, with dots":     {path: "abs/x", want: "usr/lib/x", kind: KindFile},
		"relative link":                {path: "lib/x", want: "usr/lib/x", kind: KindFile},
		"last component kept":          {path: "lib", want: "lib", kind: KindSymlink},
		"last component followed":      {path: "lib", follow: true, want: "usr/lib", kind: KindDir},
		"dangling parent":              {path: "nowhere/a/b", want: "not/here/a/b"},
		"through a file":               {path: "tofile/a", want: "usr/lib/x/a"},
		"missing tail":                 {path: "lib/a/b", want: "usr/lib/a/b"},
		"link to dot":                  {path: "dot/dot/lib", follow: true, want: "usr/lib", kind: KindDir},
		"link to the root, at the end": {path: "usr/lib/../../root", follow: true, want: "", kind: KindDir},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			for _, tr := range []tree{openedHost(t, root), newPicture(dirImage{t, root})} {
				got, err := walk(tr, c.path, c.follow)
				if !errors.Is(err, c.err) {
					t.Fatalf("%T: error %v, want %v", tr, err, c.err)
				}
				if got.path != c.want || got.st.kind != c.kind {
					t.Errorf("%T: %q (%s), want %q (%s)", tr, got.path, got.st.kind, c.want, c.kind)
				}
				if got.st.kind == KindDir && got.st.mode == 0 {
					t.Errorf("%T: directory without its mode", tr)
				}
			}
		})
	}
}

func openedHost(t *testing.T, root string) *Host {
	t.Helper()
	h, err := OpenHost(root)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
