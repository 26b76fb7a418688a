package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// defaultACL keeps new files from everybody else: user::rwx, group::r-x, other::---.
const defaultACL = "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x04\x00\x05\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"

func TestViewXattrs(t *testing.T) {
	v := view(t,
		[]string{"dir d", "xattr d user.below=b", "dir only", "xattr only user.a=1", "file f x", "xattr f user.f=2", "link l d", "dir hidden"},
		[]string{"dir d", "xattr d user.above=a", "xattr d user.overlay.opaque=x", "dir plain", "gone hidden"})
	for path, want := range map[string]map[string][]byte{
		"/d":     {"user.above": []byte("a")}, // the topmost part's alone
		"only":   {"user.a": []byte("1")},
		"l/.":    {"user.above": []byte("a")},
		"l":      nil, // of the link
		"f":      {"user.f": []byte("2")},
		"/plain": nil,
		"/":      nil,
	} {
		for range 2 { // the second time the directory is known
			got, err := v.Xattrs(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", path, d)
			}
		}
	}
	for path, want := range map[string]error{"/none": fs.ErrNotExist, "/hidden": fs.ErrNotExist, "/f/x": unix.ENOTDIR} {
		if _, err := v.Xattrs(path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}

func TestViewXattrsAreTheImages(t *testing.T) {
	dir := t.TempDir()
	sub := filepath.Join(dir, "d")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(sub, xattrDefaultACL, []byte(defaultACL), 0); errors.Is(err, unix.ENOTSUP) {
		t.Skipf("needs a file system with ACLs at %s", dir)
	} else if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 { // what is no image's
		if err := unix.Setxattr(sub, "trusted.host", []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	v, err := NewView([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	got, err := v.Xattrs("/d")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string][]byte{xattrDefaultACL: []byte(defaultACL)}, got); d != "" {
		t.Error(d)
	}
	if err := os.Chmod(sub, 0); err != nil { // can't be read, but what is told without reading is there
		t.Fatal(err)
	}
	defer os.Chmod(sub, 0o755)
	if got, err := v.Xattrs("/d"); err != nil || len(got[xattrDefaultACL]) == 0 {
		t.Errorf("%v, %v", got, err)
	}
}
