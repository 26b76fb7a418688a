package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// requireUser skips what is about rights that root has anyway; TestAsOrdinaryUser
// runs it.
func requireUser(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		t.Skip("needs an ordinary user: TestAsOrdinaryUser")
	}
}

// modes lists each entry with its mode, however closed the directories are.
func modes(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	var walk func(rel string)
	walk = func(rel string) {
		p := filepath.Join(root, rel)
		fi, err := os.Lstat(p)
		if err != nil {
			t.Fatal(err)
		}
		st := fi.Sys().(*syscall.Stat_t)
		lines = append(lines, fmt.Sprintf("%s %o", rel, st.Mode&0o7777))
		if !fi.IsDir() {
			return
		}
		if err := os.Chmod(p, 0o700); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			walk(filepath.Join(rel, e.Name()))
		}
	}
	walk(".")
	return lines
}

func TestRootlessClosedEntries(t *testing.T) {
	requireUser(t)
	user := map[string]string{"SCHILY.xattr.user.kept": "yes"}
	entries := []tar.Header{
		dirEntry(".", 0o000),
		dirEntry("ro", 0o555), file("ro/f"), dirEntry("ro/sub", 0o500), file("ro/sub/g"), hardlink("ro/sub/link", "ro/f"),
		dirEntry("none", 0), file("none/f"), dirEntry("none/of/this", 0o111), file("none/of/this/f"),
		{Name: "secret", Typeflag: tar.TypeReg, Mode: 0, PAXRecords: user},
		{Name: "su", Typeflag: tar.TypeReg, Mode: 0o4555, PAXRecords: user},
		{Name: "sg", Typeflag: tar.TypeReg, Mode: 0o2711, Gid: 42},
		dirEntry("sgd", 0o2555), file("sgd/f"),
		file("ro/late"),
		// Replaced by something else: what was noted of the first is void.
		{Name: "twice", Typeflag: tar.TypeReg, Mode: 0o600, Uid: 7}, file("twice"),
		dirEntry("gone", 0o555), file("gone/f"), symlink("gone", "ro"),
		dirEntry("kept", 0o555), {Name: "kept/", Typeflag: tar.TypeDir, Mode: 0o750},
	}
	for i := range entries {
		if entries[i].Typeflag == tar.TypeLink {
			entries[i].Mode = 0o644
		}
	}
	dir, _ := layerDir(t)
	res, err := Layer(t.Context(), bytes.NewReader(tarOf(t, entries...)), dir, rootless())
	if err != nil {
		t.Fatal(err)
	}
	owners, err := Finish(dir, &res)
	if err != nil {
		t.Fatal(err)
	}
	want := []Owner{{Path: ".", Mode: unix.S_IFDIR}, {Path: "sg", GID: 42}}
	if diff := cmp.Diff(want, owners); diff != "" {
		t.Errorf("recorded (-want +got):\n%s", diff)
	}
	a, errA := os.Lstat(filepath.Join(dir, "ro/f"))
	b, errB := os.Lstat(filepath.Join(dir, "ro/sub/link"))
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		t.Errorf("no hard link: %v, %v", errA, errB)
	}
	if n, err := unix.Lgetxattr(filepath.Join(dir, "su"), "user.kept", nil); err != nil || n != 3 {
		t.Errorf("user xattr of a read-only file: %d, %v", n, err)
	}
	got := modes(t, dir)
	wantModes := []string{
		". 500", "gone 777", "kept 750", "none 0", "none/f 644", "none/of 755", "none/of/this 111", "none/of/this/f 644",
		"ro 555", "ro/f 644", "ro/late 644", "ro/sub 500", "ro/sub/g 644", "ro/sub/link 644",
		"secret 0", "sg 2711", "sgd 2555", "sgd/f 644", "su 4555", "twice 644",
	}
	if diff := cmp.Diff(wantModes, got); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
}

// A closed directory inherited from below is as closed as there, and one may
// still work in it.
func TestRootlessSettleInClosedDirectories(t *testing.T) {
	requireUser(t)
	below := fakeBelow{
		"/":        {mode: os.ModeDir | 0o755},
		"/usr":     {mode: os.ModeDir | 0o555, uid: 3},
		"/usr/lib": {mode: os.ModeDir | 0o555},
		"/lib":     {mode: os.ModeSymlink | 0o777, target: "usr/lib"},
	}
	dir, _ := layerDir(t)
	entries := []tar.Header{file("lib/a"), file("usr/lib/b"), dirEntry("opt", 0o500), file("opt/c/d")}
	got, _ := unpackAll(t, dir, below, entries...)
	want := []string{"dir opt 500 0:0", "dir opt/c 755 0:0", "file opt/c/d 644 0:0", "dir usr 555 3:3", "dir usr/lib 555 0:0", "file usr/lib/a 644 0:0", "file usr/lib/b 644 0:0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

// Whiteouts where the kernel makes no device 0:0 for a user.
func TestRootlessXattrWhiteouts(t *testing.T) {
	requireUser(t)
	entries := []tar.Header{
		dirEntry("d", 0o555), file("d/.wh.gone"), dirEntry("o", 0o755), file("o/.wh.x"), file("o/.wh..wh..opq"),
		file("lib/.wh.y"), dirEntry("n", 0o755), file(".wh.n"),
	}
	below := fakeBelow{
		"/": {mode: os.ModeDir | 0o755}, "/usr": {mode: os.ModeDir | 0o755}, "/usr/lib": {mode: os.ModeDir | 0o755},
		"/lib": {mode: os.ModeSymlink | 0o777, target: "usr/lib"},
	}
	dir, _ := layerDir(t)
	u := newUnpacking(dir)
	u.mknod = func(int, string) error { return unix.EPERM }
	res, err := u.layer(t.Context(), bytes.NewReader(tarOf(t, entries...)), Options{Rootless: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := Settle(dir, &res, below); err != nil {
		t.Fatal(err)
	}
	if _, err := Finish(dir, &res); err != nil {
		t.Fatal(err)
	}
	value := func(p, attr string) string {
		var b [8]byte
		n, err := unix.Lgetxattr(filepath.Join(dir, p), attr, b[:])
		if err != nil {
			return err.Error()
		}
		return string(b[:n])
	}
	for p, want := range map[string]string{"d": "x", "o": "y", "usr/lib": "x", "n": "y"} {
		if got := value(p, opaque); got != want {
			t.Errorf("mark of %s: %q, want %q", p, got, want)
		}
	}
	for _, p := range []string{"d/gone", "usr/lib/y"} {
		if got := value(p, whiteoutXattr); got != "y" {
			t.Errorf("whiteout %s: %q", p, got)
		}
	}
	for _, p := range []string{"o/x", "lib"} {
		if _, err := os.Lstat(filepath.Join(dir, p)); err == nil {
			t.Errorf("%s is there", p)
		}
	}
}

func TestRootlessManyXattrs(t *testing.T) {
	var entries []tar.Header
	for i := range 20 {
		f := file(fmt.Sprint("f", i))
		f.PAXRecords = map[string]string{"SCHILY.xattr.security.x": strings.Repeat("x", 1000000)}
		entries = append(entries, f)
	}
	dir, _ := layerDir(t)
	_, err := Layer(context.Background(), bytes.NewReader(tarOf(t, entries...)), dir, Options{Rootless: true})
	if !errors.Is(err, errTooMuch) {
		t.Errorf("got %v", err)
	}
}

// An ACL names users of the build host; here they would be others.
func TestRootlessACL(t *testing.T) {
	requireUser(t)
	const acl = "\x02\x00\x00\x00\x01\x00\x06\x00\xff\xff\xff\xff\x02\x00\x07\x00\x21\x00\x00\x00\x04\x00\x04\x00\xff\xff\xff\xff\x10\x00\x07\x00\xff\xff\xff\xff\x20\x00\x04\x00\xff\xff\xff\xff"
	f := file("f")
	f.PAXRecords = map[string]string{"SCHILY.xattr.system.posix_acl_access": acl}
	dir, _ := layerDir(t)
	res, err := Layer(t.Context(), bytes.NewReader(tarOf(t, f)), dir, rootless())
	if err != nil {
		t.Fatal(err)
	}
	owners, err := Finish(dir, &res)
	if err != nil || len(owners) != 1 || owners[0].Xattrs["system.posix_acl_access"] != acl {
		t.Errorf("recorded %v, %v", owners, err)
	}
	if _, err := unix.Lgetxattr(filepath.Join(dir, "f"), "system.posix_acl_access", nil); !errors.Is(err, unix.ENODATA) {
		t.Errorf("on disk: %v", err)
	}
}

// Root meets overlayfs, which makes no device 0:0 for anybody.
func TestWhiteoutsOfRootWithoutDevices(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	layer := tarOf(t, dirEntry("d", 0o755), tar.Header{Name: "d/.wh.gone", Typeflag: tar.TypeReg, Mode: 0o644})
	for name, byXattr := range map[string]bool{"a kernel that knows xattrs": true, "an old one": false} {
		dir, _ := layerDir(t)
		u := newUnpacking(dir)
		u.mknod, u.byXattr = func(int, string) error { return unix.EPERM }, byXattr
		_, err := u.layer(t.Context(), bytes.NewReader(layer), Options{})
		if byXattr != (err == nil) || !byXattr && !errors.Is(err, ErrNoWhiteouts) {
			t.Errorf("%s: %v", name, err)
		}
		if n, err := unix.Lgetxattr(filepath.Join(dir, "d/gone"), whiteoutXattr, nil); byXattr && (err != nil || n != 1) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}
