package hostlink

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestWriteLayerRefuses(t *testing.T) {
	image := grow(t, "l etc /outside", "f file")
	cases := map[string][]Node{
		"path above the layer":        {{Path: "../x", Kind: KindFile}},
		"the root":                    {{Path: "/", Kind: KindDir}},
		"below a symlink of the list": {{Path: "a", Kind: KindSymlink, Target: "/tmp"}, {Path: "a/x", Kind: KindFile}},
		"below a file of the list":    {{Path: "a", Kind: KindFile}, {Path: "a/x", Kind: KindFile}},
		"below the image's symlink":   {{Path: "etc/x", Kind: KindFile}},
		"below the image's file":      {{Path: "file/x", Kind: KindFile}},
		"the same place twice":        {{Path: "a", Kind: KindFile}, {Path: "/a", Kind: KindWhiteout}},
		"a socket":                    {{Path: "a", Kind: KindSocket}},
		"no kind":                     {{Path: "a"}},
	}
	for name, nodes := range cases {
		t.Run(name, func(t *testing.T) {
			fds := countFDs(t)
			if err := WriteLayer(t.TempDir(), nodes, dirImage{t, image}); err == nil {
				t.Error("no error")
			}
			if got := countFDs(t); got != fds {
				t.Errorf("%d descriptors before, %d after", fds, got)
			}
		})
	}
	t.Run("the layer is a symlink", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "l")
		if err := os.Symlink(t.TempDir(), link); err != nil {
			t.Fatal(err)
		}
		if err := WriteLayer(link, nil, nil); err == nil {
			t.Error("no error")
		}
	})
	t.Run("not empty: what lies there is not followed", func(t *testing.T) {
		dir := grow(t, "l a /tmp")
		nodes := []Node{{Path: "a/x", Kind: KindFile}}
		if err := WriteLayer(dir, nodes, nil); !errors.Is(err, fs.ErrExist) {
			t.Errorf("error %v, want %v", err, fs.ErrExist)
		}
	})
}

func TestWriteLayer(t *testing.T) {
	image := grow(t, "d usr/lib 0555", "d var 02750")
	old := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	for _, p := range []string{"usr/lib", "usr", ""} {
		if err := os.Chtimes(filepath.Join(image, p), old, old); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	t.Cleanup(func() { // else only root could remove it; parents first
		for _, p := range []string{"usr/lib", "usr/lib/z", "usr/lib/z/y", "new", "new/d"} {
			_ = os.Chmod(filepath.Join(dir, p), 0o700)
		}
	})
	nodes := []Node{ // in no order
		{Path: "/usr/lib/z/y/x", Kind: KindFile, Mode: 0o444},
		{Path: "usr/lib/z", Kind: KindDir, Mode: 0o1710, UID: os.Geteuid(), GID: os.Getegid()},
		{Path: "/usr/lib/z", Kind: KindDir, Mode: 0o700},
		{Path: "/usr/lib-x", Kind: KindSymlink, Target: "../ any\nthing"},
		{Path: "/var/w", Kind: KindWhiteout},
		{Path: "/new/d", Kind: KindDir, Mode: 0},
	}
	if err := WriteLayer(dir, nodes, dirImage{t, image}); err != nil {
		t.Fatal(err)
	}
	roots := "dir 755"
	if os.Geteuid() != 0 {
		roots = "dir 555" // not the caller's to write to, though he owns it
	}
	want := map[string]string{
		"usr": "dir 755", "usr/lib": "dir 555", "usr/lib/z": "dir 1710", "usr/lib/z/y": roots,
		"usr/lib/z/y/x": "file 444", "usr/lib-x": "symlink 777", "var": "dir 2750", "var/w": "special 0",
		"new": roots, "new/d": "dir 0",
	}
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if path == dir || err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		st := statOf(fi)
		got[path[len(dir)+1:]] = string(st.kind) + " " + strings.TrimLeft(octal(st.mode), "0") + zero(st.mode)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("layer (-want +got):\n%s", diff)
	}
	if target, _ := os.Readlink(filepath.Join(dir, "usr/lib-x")); target != "../ any\nthing" {
		t.Errorf("symlink to %q", target)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(dir, "var/w"), &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != 0 {
		t.Errorf("whiteout is mode %o device %d (%v)", st.Mode, st.Rdev, err)
	}
	for _, p := range []string{"usr/lib", "usr", ""} {
		if fi, err := os.Lstat(filepath.Join(dir, p)); err != nil || !fi.ModTime().Equal(old) {
			t.Errorf("%q was changed at %v (%v)", p, fi.ModTime(), err)
		}
	}
}

func octal(mode uint32) string {
	var b []byte
	for shift := 9; shift >= 0; shift -= 3 {
		b = append(b, '0'+byte(mode>>shift&7))
	}
	return string(b)
}

func zero(mode uint32) string {
	if mode == 0 {
		return "0"
	}
	return ""
}

// xattrImage adds attributes to an image's directories.
type xattrImage struct {
	dirImage
	xattrs map[string]map[string][]byte
}

func (x xattrImage) Xattrs(path string) (map[string][]byte, error) { return x.xattrs[path], nil }

func TestWriteLayerOwnersAndXattrs(t *testing.T) {
	requireRoot(t, "sets owners")
	image := grow(t, "d srv 02755")
	if err := os.Chown(image+"/srv", 12345, 54321); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Chmod(image+"/srv", 0o2755); err != nil {
		t.Fatal(err)
	}
	img := xattrImage{dirImage{t, image}, map[string]map[string][]byte{"/srv": {
		"user.mark": []byte("v\x00w"), "user.overlay.opaque": []byte("y"), "trusted.overlay.uuid": []byte("u"),
	}}}
	dir := t.TempDir()
	nodes := []Node{
		{Path: "/srv/d", Kind: KindDir, Mode: 0o755, UID: 1, GID: 2},
		{Path: "/srv/f", Kind: KindFile, Mode: 0o4755, UID: 3, GID: 4},
		{Path: "/srv/l", Kind: KindSymlink, UID: 5, GID: 6, Target: "f"},
	}
	if err := WriteLayer(dir, nodes, img); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][3]uint32{
		"srv": {0o2755, 12345, 54321}, "srv/d": {0o755, 1, 2}, "srv/f": {0o4755, 3, 4}, "srv/l": {0o777, 5, 6},
	} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, path), &st); err != nil {
			t.Fatal(err)
		}
		if got := [3]uint32{st.Mode & 0o7777, st.Uid, st.Gid}; got != want {
			t.Errorf("%s: %o, want %o", path, got, want)
		}
	}
	buf := make([]byte, 256)
	n, err := unix.Llistxattr(filepath.Join(dir, "srv"), buf)
	if err != nil || string(buf[:n]) != "user.mark\x00" {
		t.Errorf("attributes %q (%v)", buf[:max(n, 0)], err)
	}
}

func TestHideManifests(t *testing.T) {
	image := grow(t, "f removed x", "d vanished", "l systemfiles removed")
	want := []Node{{Path: "/removed", Kind: KindWhiteout}, {Path: "/systemfiles", Kind: KindWhiteout}}
	if diff := cmp.Diff(want, HideManifests(dirImage{t, image})); diff != "" {
		t.Errorf("nodes (-want +got):\n%s", diff)
	}
	if got := HideManifests(dirImage{t, grow(t)}); len(got) != 0 {
		t.Errorf("nodes for an image without manifests: %v", got)
	}
}
