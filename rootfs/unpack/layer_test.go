package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/rootfs/internal/ordinary"
)

// TestAsOrdinaryUser runs all of this as somebody who can make no owners.
func TestAsOrdinaryUser(t *testing.T) { ordinary.Run(t) }

// rootless is how the process that runs the test has to unpack.
func rootless() Options { return Options{Rootless: os.Geteuid() != 0} }

var stamp = time.Unix(1500000000, 0)

func dirEntry(name string, mode int64) tar.Header {
	return tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: mode}
}

func file(name string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}
}

func symlink(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}
}

func hardlink(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeLink, Linkname: target}
}

// tarOf writes the entries; the content of a file is its name.
func tarOf(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, hdr := range entries {
		if hdr.ModTime.IsZero() {
			hdr.ModTime = stamp
		}
		if hdr.Typeflag == tar.TypeReg {
			hdr.Size = int64(len(hdr.Name))
		}
		if err := tw.WriteHeader(&hdr); err != nil {
			t.Fatal(err)
		}
		if hdr.Typeflag == tar.TypeReg {
			if _, err := tw.Write([]byte(hdr.Name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// unpackAll does all that makes a layer of entries, as the caller is, and
// describes the tree: the owner is the one on disk as root, else the recorded
// one.
func unpackAll(t testing.TB, dir string, below Below, entries ...tar.Header) (lines []string, res Result) {
	t.Helper()
	res, err := Layer(context.Background(), bytes.NewReader(tarOf(t, entries...)), dir, rootless())
	if err != nil {
		t.Fatal(err)
	}
	if below != nil {
		if err := Settle(dir, &res, below); err != nil {
			t.Fatal(err)
		}
	}
	owners, err := Finish(dir, &res)
	if err != nil {
		t.Fatal(err)
	}
	return list(t, dir, owners...), res
}

// list describes a tree, one line an entry.
func list(t testing.TB, root string, owners ...Owner) []string {
	t.Helper()
	owner := func(rel string, st *syscall.Stat_t) string {
		if os.Geteuid() == 0 {
			return fmt.Sprintf("%d:%d", st.Uid, st.Gid)
		}
		if int(st.Uid) != os.Geteuid() {
			t.Errorf("%s belongs to %d", rel, st.Uid)
		}
		for _, o := range owners {
			if o.Path == rel {
				return fmt.Sprintf("%d:%d", o.UID, o.GID)
			}
		}
		return "0:0"
	}
	var lines []string
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		st := fi.Sys().(*syscall.Stat_t)
		switch {
		case fi.IsDir():
			line := fmt.Sprintf("dir %s %o %s", rel, st.Mode&0o7777, owner(rel, st))
			if n, err := unix.Lgetxattr(p, opaque, nil); err == nil && n > 0 {
				line += " opaque"
			}
			lines = append(lines, line)
		case fi.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(p)
			lines = append(lines, fmt.Sprintf("link %s -> %s", rel, target))
		case fi.Mode()&fs.ModeCharDevice != 0 && st.Rdev == 0:
			lines = append(lines, "whiteout "+rel)
		case fi.Mode().IsRegular():
			lines = append(lines, fmt.Sprintf("file %s %o %s", rel, st.Mode&0o7777, owner(rel, st)))
		default:
			lines = append(lines, fmt.Sprintf("%v %s", fi.Mode().Type(), rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// layerDir is an empty directory beside a witness that must not change.
func layerDir(t testing.TB) (dir string, check func()) {
	t.Helper()
	top := t.TempDir()
	dir = filepath.Join(top, "layer")
	outside := filepath.Join(top, "outside")
	for _, d := range []string{dir, outside} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(outside, "witness"), []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	before := list(t, outside)
	t.Cleanup(func() { // testing cannot remove what a layer may hold
		_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, _ error) error {
			if d != nil && d.IsDir() {
				_ = os.Chmod(p, 0o700)
			}
			return nil
		})
	})
	return dir, func() {
		t.Helper()
		if diff := cmp.Diff(before, list(t, outside)); diff != "" {
			t.Errorf("something outside of the layer changed:\n%s", diff)
		}
		if b, _ := os.ReadFile(filepath.Join(outside, "witness")); string(b) != "untouched" {
			t.Errorf("witness reads %q", b)
		}
		entries, _ := os.ReadDir(top)
		if len(entries) != 2 {
			t.Errorf("entries beside the layer: %v", entries)
		}
	}
}

func TestLayerRefuses(t *testing.T) {
	deep := strings.Repeat("d/", 3000) + "f"
	tests := map[string][]tar.Header{
		"dot dot":                          {file("../outside/x")},
		"dot dot in the middle":            {file("a/../../outside/x")},
		"dot dot alone":                    {dirEntry("..", 0o755)},
		"absolute":                         {file("/outside/x")},
		"absolute with dot dot":            {file("/ko-app/../../outside/x")},
		"through absolute symlink":         {symlink("l", "/outside"), file("l/x")},
		"through climbing symlink":         {symlink("l", "../outside"), file("l/x")},
		"through climbing symlink, deeper": {dirEntry("a", 0o755), symlink("a/l", "../../outside"), file("a/l/x")},
		"through symlink chain":            {symlink("a", "b"), symlink("b", "../outside"), file("a/x")},
		"through symlink loop":             {symlink("a", "b"), symlink("b", "a"), file("a/x")},
		"directory through symlink":        {symlink("l", "../outside"), dirEntry("l/d", 0o777)},
		"whiteout through symlink":         {symlink("l", "../outside"), file("l/.wh.witness")},
		"opaque through symlink":           {symlink("l", "../outside"), file("l/.wh..wh..opq")},
		"symlink through symlink":          {symlink("l", "../outside"), symlink("l/m", "x")},
		"hard link dot dot":                {hardlink("h", "../outside/witness")},
		"hard link absolute":               {hardlink("h", "/outside/witness")},
		"hard link through symlink":        {symlink("l", "../outside"), hardlink("h", "l/witness")},
		"root as symlink":                  {symlink("./", "../outside")},
		"root as file":                     {{Name: "./", Typeflag: tar.TypeSymlink, Linkname: "/"}},
		"whiteout of dot dot":              {file("a/.wh...")},
		"whiteout of nothing":              {file("a/.wh.")},
	}
	for name, entries := range tests {
		t.Run(name, func(t *testing.T) {
			dir, check := layerDir(t)
			_, err := Layer(context.Background(), bytes.NewReader(tarOf(t, entries...)), dir, rootless())
			if err == nil {
				t.Fatalf("no error, tree is %q", list(t, dir))
			}
			var ee *EntryError
			if !errors.As(err, &ee) || ee.Remedy() == "" {
				t.Errorf("error %v is not an entry error with a remedy", err)
			}
			if !strings.HasPrefix(name, "whiteout of") && !errors.Is(err, ErrUnsafe) {
				t.Errorf("error %v does not meet ErrUnsafe", err)
			}
			check()
		})
	}
	t.Run("name too long", func(t *testing.T) {
		dir, check := layerDir(t)
		for _, n := range []string{strings.Repeat("x", 300), deep} {
			_, err := Layer(context.Background(), bytes.NewReader(tarOf(t, file(n))), dir, rootless())
			if !errors.Is(err, unix.ENAMETOOLONG) {
				t.Errorf("name of %d bytes: error %v", len(n), err)
			}
		}
		check()
	})
}

// What is not refused has to stay inside all the same: a link that is replaced
// leads nowhere any more, and a link that is written over is not followed.
func TestLayerStaysInside(t *testing.T) {
	tests := map[string]struct {
		entries []tar.Header
		want    []string
	}{
		"file replaces symlink": {
			[]tar.Header{symlink("l", "../outside/witness"), file("l")},
			[]string{"file l 644 0:0"},
		},
		"directory replaces symlink": {
			[]tar.Header{symlink("l", "../outside"), dirEntry("l", 0o700), file("l/x")},
			[]string{"dir l 700 0:0", "file l/x 644 0:0"},
		},
		"hard link to a symlink is the symlink": {
			[]tar.Header{symlink("l", "../outside/witness"), hardlink("h", "l")},
			[]string{"link h -> ../outside/witness", "link l -> ../outside/witness"},
		},
		"mode and owner of a symlink": {
			[]tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "../outside/witness", Mode: 0o4777, Uid: 5, Gid: 6}},
			[]string{"link l -> ../outside/witness"},
		},
		"device nodes are left out, links to them too": {
			[]tar.Header{
				{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8, Mode: 0o666},
				{Name: "wh", Typeflag: tar.TypeChar, Mode: 0o666},
				hardlink("sda2", "sda"),
				{Name: "pipe", Typeflag: tar.TypeFifo, Mode: 0o600},
			},
			[]string{"p--------- pipe"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir, check := layerDir(t)
			got, _ := unpackAll(t, dir, nil, tt.entries...)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			check()
		})
	}
}

// The library sets a directory's times at the end and then finds no directory:
// an error that is no more than clumsy, as long as nothing outside is touched.
func TestLayerSymlinkReplacesMaskedDirectory(t *testing.T) {
	for _, mask := range []string{"d/.wh.witness", "d/.wh..wh..opq"} {
		dir, check := layerDir(t)
		entries := []tar.Header{dirEntry("outside", 0o755), dirEntry("d", 0o755), file(mask), symlink("d", "../outside")}
		if _, err := Layer(context.Background(), bytes.NewReader(tarOf(t, entries...)), dir, rootless()); err != nil {
			t.Errorf("%s: %v", mask, err)
		}
		check()
	}
}

func TestLayer(t *testing.T) {
	owned := func(h tar.Header, uid, gid int) tar.Header { h.Uid, h.Gid = uid, gid; return h }
	tests := map[string]struct {
		entries []tar.Header
		want    []string
		implied []string
	}{
		"modes and owners": {
			entries: []tar.Header{
				dirEntry("tmp", 0o1777), owned(file("tmp/x"), 1000, 100), dirEntry("g", 0o2775),
				{Name: "su", Typeflag: tar.TypeReg, Mode: 0o4755, Uid: 7},
			},
			want: []string{"dir g 2775 0:0", "file su 4755 7:0", "dir tmp 1777 0:0", "file tmp/x 644 1000:100"},
		},
		"dot slash names": {
			entries: []tar.Header{dirEntry(".", 0o755), dirEntry("./a", 0o755), file("./a/x")},
			want:    []string{"dir a 755 0:0", "file a/x 644 0:0"},
		},
		"merged packages write through a link of the same layer": {
			entries: []tar.Header{
				dirEntry("usr", 0o755), dirEntry("usr/lib", 0o755), symlink("lib", "usr/lib"),
				file("lib/x"), dirEntry("lib/d", 0o700), file("lib/d/y"),
			},
			want: []string{
				"link lib -> usr/lib", "dir usr 755 0:0", "dir usr/lib 755 0:0",
				"dir usr/lib/d 700 0:0", "file usr/lib/d/y 644 0:0", "file usr/lib/x 644 0:0",
			},
		},
		"ko's absolute names": {
			entries: []tar.Header{dirEntry("ko-app", 0o555), file("/ko-app/tool")},
			want:    []string{"dir ko-app 555 0:0", "file ko-app/tool 644 0:0"},
		},
		"kaniko's root entry": {
			entries: []tar.Header{{Name: "/", Typeflag: tar.TypeDir, Mode: 0o755}, file("x")},
			want:    []string{"file x 644 0:0"},
		},
		"whiteouts": {
			entries: []tar.Header{dirEntry("d", 0o755), file("d/.wh.gone"), file(".wh.top"), dirEntry("o", 0o755), file("o/.wh.old"), file("o/.wh..wh..opq"), file("o/new")},
			want:    []string{"dir d 755 0:0", "whiteout d/gone", "dir o 755 0:0 opaque", "file o/new 644 0:0", "whiteout top"},
		},
		"whiteout hides lower layers only, wherever it stands": {
			entries: []tar.Header{
				dirEntry("a", 0o755), file("a/x"), file(".wh.a"),
				file(".wh.b"), dirEntry("b", 0o755), file("b/x"),
				file("c"), file(".wh.c"),
				file(".wh.e"), file("e"),
			},
			want: []string{"dir a 755 0:0 opaque", "file a/x 644 0:0", "dir b 755 0:0 opaque", "file b/x 644 0:0", "file c 644 0:0", "file e 644 0:0"},
		},
		"whiteout before entries below it": {
			entries: []tar.Header{file(".wh.a"), file("a/x")},
			want:    []string{"dir a 755 0:0 opaque", "file a/x 644 0:0"},
			implied: []string{"a"},
		},
		"implied parents": {
			entries: []tar.Header{file("lib/a/x"), dirEntry("opt/d", 0o700), dirEntry("tmp", 0o1777), file("tmp/y"), file("late/x"), dirEntry("late", 0o711), file("w/.wh.x")},
			want: []string{
				"dir late 711 0:0", "file late/x 644 0:0", "dir lib 755 0:0", "dir lib/a 755 0:0", "file lib/a/x 644 0:0",
				"dir opt 755 0:0", "dir opt/d 700 0:0", "dir tmp 1777 0:0", "file tmp/y 644 0:0", "dir w 755 0:0", "whiteout w/x",
			},
			implied: []string{"lib", "lib/a", "opt", "w"},
		},
		"aufs leftovers are ignored": {
			entries: []tar.Header{file(".wh..wh.aufs"), dirEntry(".wh..wh.plnk", 0o700), file("x")},
			want:    []string{"file x 644 0:0"},
		},
		"nothing": {},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir, check := layerDir(t)
			old := syscall.Umask(0o077)
			got, res := unpackAll(t, dir, nil, tt.entries...)
			syscall.Umask(old)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.implied, res.ImpliedParents); diff != "" {
				t.Errorf("implied parents (-want +got):\n%s", diff)
			}
			check()
		})
	}
}

func TestLayerXattrs(t *testing.T) {
	const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	records := map[string]string{
		"SCHILY.xattr.user.overlay.redirect":    "/etc",
		"SCHILY.xattr.user.overlay.metacopy":    "",
		"SCHILY.xattr.user.overlay.opaque":      "y",
		"SCHILY.xattr.trusted.overlay.opaque":   "y",
		"SCHILY.xattr.trusted.overlay.redirect": "/etc",
		"SCHILY.xattr.trusted.other":            "x",
		"SCHILY.xattr.user.kept":                "yes",
	}
	f := file("f")
	f.Mode = 0o444 // which the owner cannot write to
	f.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": capability}
	for k, v := range records {
		f.PAXRecords[k] = v
	}
	d, root := dirEntry("d", 0o755), dirEntry(".", 0o751)
	d.PAXRecords, root.PAXRecords = records, records
	root.Uid = 3
	dir, _ := layerDir(t)
	res, err := Layer(context.Background(), bytes.NewReader(tarOf(t, root, f, d)), dir, rootless())
	if err != nil {
		t.Fatal(err)
	}
	owners, err := Finish(dir, &res)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{".": {"user.kept"}, "d": {"user.kept"}, "f": {"security.capability", "user.kept"}}
	uid := uint32(3)
	if rootless().Rootless {
		want["f"] = []string{"user.kept"}
		uid = uint32(os.Geteuid())
		other := map[string]string{"trusted.other": "x"}
		recorded := []Owner{
			{Path: ".", UID: 3, Xattrs: other}, {Path: "d", Xattrs: other},
			{Path: "f", Xattrs: map[string]string{"trusted.other": "x", "security.capability": capability}},
		}
		if diff := cmp.Diff(recorded, owners); diff != "" {
			t.Errorf("recorded (-want +got):\n%s", diff)
		}
	} else if owners != nil {
		t.Errorf("recorded as root: %v", owners)
	}
	for p, want := range want {
		buf := make([]byte, 4096)
		n, err := unix.Llistxattr(filepath.Join(dir, p), buf)
		if errors.Is(err, unix.ENOTSUP) {
			t.Skip("file system has no xattrs")
		}
		if err != nil {
			t.Fatal(err)
		}
		got := strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 })
		got = slices.DeleteFunc(got, func(s string) bool { return s == "security.selinux" })
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("xattrs of %q (-want +got):\n%s", p, diff)
		}
	}
	fi, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if st := fi.Sys().(*syscall.Stat_t); fi.Mode().Perm() != 0o751 || st.Uid != uid || !fi.ModTime().Equal(stamp) {
		t.Errorf("root is %v, uid %d, %v", fi.Mode(), st.Uid, fi.ModTime())
	}
}

func TestLayerKeepsDirectoryTimes(t *testing.T) {
	dir, _ := layerDir(t)
	entries := []tar.Header{dirEntry("d", 0o755), file("d/x"), file("d/.wh.y"), dirEntry("d/o", 0o755), file("d/o/.wh..wh..opq")}
	if _, err := Layer(context.Background(), bytes.NewReader(tarOf(t, entries...)), dir, rootless()); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"d", "d/x", "d/o"} {
		if fi, err := os.Lstat(filepath.Join(dir, p)); err != nil || !fi.ModTime().Equal(stamp) {
			t.Errorf("%s: %v, %v", p, fi.ModTime(), err)
		}
	}
}

type brokenReader struct{ err error }

func (b brokenReader) Read([]byte) (int, error) { return 0, b.err }

func TestLayerBadStreams(t *testing.T) {
	good := tarOf(t, dirEntry("d", 0o755), file("d/"+strings.Repeat("x", 100)), file("z"))
	errNet := errors.New("network is gone")
	tests := map[string]struct {
		r    io.Reader
		want error
	}{
		"cut in content":  {bytes.NewReader(good[:1024+50]), ErrTruncated},
		"cut in a header": {bytes.NewReader(good[:100]), ErrTruncated},
		"not a tar":       {strings.NewReader(strings.Repeat("this is no tar. ", 200)), ErrNotTar},
		"error of source": {io.MultiReader(bytes.NewReader(good[:1024]), brokenReader{errNet}), errNet},
		"error after end": {io.MultiReader(bytes.NewReader(good), brokenReader{errNet}), errNet},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir, check := layerDir(t)
			if _, err := Layer(context.Background(), tt.r, dir, rootless()); !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			check()
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(errNet)
		dir, _ := layerDir(t)
		if _, err := Layer(ctx, bytes.NewReader(good), dir, rootless()); !errors.Is(err, errNet) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("reads to the end", func(t *testing.T) {
		dir, _ := layerDir(t)
		r := bytes.NewReader(append(slices.Clone(good), make([]byte, 9000)...))
		if _, err := Layer(context.Background(), r, dir, rootless()); err != nil || r.Len() != 0 {
			t.Errorf("%d bytes left, error %v", r.Len(), err)
		}
	})
}

func FuzzLayer(f *testing.F) {
	f.Add(tarOf(f, dirEntry("d", 0o755), file("d/x"), symlink("l", "d"), file("l/y"), hardlink("h", "d/x")))
	f.Add(tarOf(f, symlink("l", "../outside"), file("l/x")))
	f.Add(tarOf(f, file("a/.wh.b"), file("a/.wh..wh..opq"), symlink("a", "/")))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir, check := layerDir(t)
		_, _ = Layer(context.Background(), bytes.NewReader(data), dir, rootless())
		check()
	})
}
