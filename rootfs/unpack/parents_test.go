package unpack

import (
	"archive/tar"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// fakeBelow is a view made of lines: path -> "dir MODE-less" or a link target.
type fakeBelow map[string]fakeNode

type fakeNode struct {
	mode   fs.FileMode
	uid    uint32
	target string
}

type fakeInfo struct {
	name string
	fakeNode
}

func (f fakeInfo) Name() string       { return f.name }
func (f fakeInfo) Size() int64        { return 0 }
func (f fakeInfo) Mode() fs.FileMode  { return f.mode }
func (f fakeInfo) ModTime() time.Time { return stamp }
func (f fakeInfo) IsDir() bool        { return f.mode.IsDir() }
func (f fakeInfo) Sys() any {
	mode := uint32(f.mode.Perm())
	if f.mode&fs.ModeSticky != 0 {
		mode |= 0o1000
	}
	ts := syscall.NsecToTimespec(stamp.UnixNano())
	return &syscall.Stat_t{Mode: mode, Uid: f.uid, Gid: f.uid, Mtim: ts, Atim: ts}
}

func (b fakeBelow) Lstat(p string) (fs.FileInfo, error) {
	p, err := b.Resolve(p)
	if err != nil {
		return nil, err
	}
	node, ok := b[p]
	if !ok {
		return nil, &fs.PathError{Op: "lstat", Path: p, Err: fs.ErrNotExist}
	}
	return fakeInfo{path.Base(p), node}, nil
}

// Owner is what an unpacker without privileges recorded.
func (b fakeBelow) Owner(p string) (Owner, bool, error) {
	p, err := b.Resolve(p)
	node := b[p]
	return Owner{Path: p, UID: int(node.uid), GID: int(node.uid)}, node.uid != 0, err
}

func (b fakeBelow) Resolve(p string) (string, error) {
	done, rest := "/", strings.Split(p, "/")
	for links := 0; len(rest) > 0; {
		next := path.Join(done, rest[0])
		if node, ok := b[next]; ok && node.mode.IsRegular() && len(rest) > 1 {
			return "", &fs.PathError{Op: "resolve", Path: p, Err: unix.ENOTDIR}
		}
		if node, ok := b[next]; ok && node.target != "" && len(rest) > 1 {
			if links++; links > 40 {
				return "", &fs.PathError{Op: "resolve", Path: p, Err: unix.ELOOP}
			}
			if path.IsAbs(node.target) {
				done = "/"
			}
			rest = append(strings.Split(node.target, "/"), rest[1:]...)
			continue
		}
		done, rest = next, rest[1:]
	}
	return done, nil
}

func TestSettle(t *testing.T) {
	dir := func(mode fs.FileMode, uid uint32) fakeNode { return fakeNode{mode: fs.ModeDir | mode, uid: uid} }
	link := func(target string) fakeNode { return fakeNode{mode: fs.ModeSymlink | 0o777, target: target} }
	below := fakeBelow{
		"/":          dir(0o755, 0),
		"/lib":       link("usr/lib"),
		"/usr":       dir(0o755, 0),
		"/usr/lib":   dir(0o751, 2),
		"/usr/lib/a": dir(0o711, 3),
		"/tmp":       dir(fs.ModeSticky|0o777, 0),
		"/root":      dir(0o700, 0),
		"/var":       dir(0o755, 0),
		"/var/run":   link("/run"),
		"/run":       dir(0o755, 4),
		"/file":      {mode: 0o644},
		"/tofile":    link("file"),
		"/circle":    link("circle"),
		"/dangling":  link("not/there"),
		"/top":       link("/"),
		"/home":      dir(0o755, 0),
		"/home/u":    dir(0o700, 1000),
	}
	tests := map[string]struct {
		entries []tar.Header
		want    []string
	}{
		"modes and owners": {
			[]tar.Header{file("tmp/x"), file("root/x"), file("home/u/.profile"), file("new/x")},
			[]string{
				"dir home 755 0:0", "dir home/u 700 1000:1000", "file home/u/.profile 644 0:0",
				"dir new 755 0:0", "file new/x 644 0:0",
				"dir root 700 0:0", "file root/x 644 0:0", "dir tmp 1777 0:0", "file tmp/x 644 0:0",
			},
		},
		"through a symlink": {
			[]tar.Header{file("lib/x"), file("lib/a/y"), dirEntry("lib/d", 0o700), file("lib/d/z"), file("var/run/pid")},
			[]string{
				"dir run 755 4:4", "file run/pid 644 0:0",
				"dir usr 755 0:0", "dir usr/lib 751 2:2", "dir usr/lib/a 711 3:3", "file usr/lib/a/y 644 0:0",
				"dir usr/lib/d 700 0:0", "file usr/lib/d/z 644 0:0", "file usr/lib/x 644 0:0", "dir var 755 0:0",
			},
		},
		"both places": {
			[]tar.Header{dirEntry("usr", 0o700), dirEntry("usr/lib", 0o710), file("usr/lib/x"), file("lib/x"), file("lib/y"), file("lib/a/1"), file("usr/lib/a/2")},
			[]string{
				"dir usr 700 0:0", "dir usr/lib 710 0:0", "dir usr/lib/a 711 3:3", "file usr/lib/a/1 644 0:0",
				"file usr/lib/a/2 644 0:0", "file usr/lib/x 644 0:0", "file usr/lib/y 644 0:0",
			},
		},
		"named directory replaces the link": {
			[]tar.Header{dirEntry("lib", 0o700), file("lib/x"), file("lib/a/y")},
			[]string{"dir lib 700 0:0", "dir lib/a 755 0:0", "file lib/a/y 644 0:0", "file lib/x 644 0:0"},
		},
		"whiteouts move too": {
			[]tar.Header{file("lib/.wh.gone"), file("var/run/.wh..wh..opq")},
			[]string{"dir run 755 4:4 opaque", "dir usr 755 0:0", "dir usr/lib 751 2:2", "whiteout usr/lib/gone", "dir var 755 0:0"},
		},
		"whiteout at the target hides lower only": {
			[]tar.Header{file("usr/lib/.wh.d"), file("lib/d/x")},
			[]string{"dir usr 755 0:0", "dir usr/lib 751 2:2", "dir usr/lib/d 755 0:0 opaque", "file usr/lib/d/x 644 0:0"},
		},
		"link to a file, to itself, to nothing, to the root": {
			[]tar.Header{file("tofile/x"), file("file/x"), file("circle/x"), file("dangling/x"), file("top/x")},
			[]string{
				"dir circle 755 0:0", "file circle/x 644 0:0", "dir file 755 0:0", "file file/x 644 0:0", "dir not 755 0:0", "dir not/there 755 0:0", "file not/there/x 644 0:0",
				"dir tofile 755 0:0", "file tofile/x 644 0:0", "file x 644 0:0",
			},
		},
		"nothing of lower layers below an opaque directory": {
			[]tar.Header{dirEntry("home", 0o755), file("home/.wh..wh..opq"), file("home/u/x")},
			[]string{"dir home 755 0:0 opaque", "dir home/u 755 0:0", "file home/u/x 644 0:0"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir, check := layerDir(t)
			got, _ := unpackAll(t, dir, below, tt.entries...)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			check()
			for _, p := range []string{"tmp", "usr/lib"} {
				if fi, err := os.Lstat(path.Join(dir, p)); err == nil && !fi.ModTime().Equal(stamp) {
					t.Errorf("%s: mtime %v", p, fi.ModTime())
				}
			}
		})
	}
}
