package elflink

import (
	"io/fs"
	"os"
	"time"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// Image is what the links are laid over: the merged view of a flake's images. Paths are absolute, and those of Lstat and
// Readlink as for [hostlink.Image].
type Image interface {
	hostlink.Image
	// Open opens a regular file for reading.
	Open(path string) (*os.File, error)
	// ReadDir lists a directory. Each entry's Info is that of Lstat.
	ReadDir(path string) ([]fs.DirEntry, error)
}

// appTree is the app's root as it will look: the images, and what is laid over them.
type appTree struct {
	looks

	img    Image
	over   map[string]entry  // by canonical path; kind "" hides what the images have
	placed map[string]string // host file → its place
}

var _ hostlink.Image = (*appTree)(nil)

func newAppTree(img Image) *appTree {
	return &appTree{img: img, over: make(map[string]entry), placed: make(map[string]string)}
}

// lay puts the result of a resolution over what is there.
func (a *appTree) lay(links []hostlink.Link, nodes []hostlink.Node) {
	for _, n := range nodes {
		e := entry{kind: n.Kind, mode: fs.FileMode(n.Mode & 0o777), text: n.Target}
		if n.Kind == hostlink.KindWhiteout {
			e = entry{}
		}
		path := join("", trimSlash(n.Path))
		if e.kind == hostlink.KindDir && a.over[path].kind == hostlink.KindDir {
			continue
		}
		a.over[path] = e
		if e.kind != "" {
			a.parents(path)
		}
	}
	for _, l := range links {
		e := entry{kind: l.Kind, mode: 0o755, source: l.Source}
		if fi, err := os.Lstat(l.Source); err == nil {
			e.mode = fi.Mode()
		}
		a.over[l.Target] = e
		a.placed[l.Source] = l.Target
	}
	a.looks = looks{}
}

// parents are made by whoever makes the layer, where the images have none.
func (a *appTree) parents(path string) {
	for dir := dirOf(path); dir != "" && a.entry(dir).kind == ""; dir = dirOf(dir) {
		a.over[dir] = entry{kind: hostlink.KindDir, mode: 0o755}
	}
}

func trimSlash(path string) string {
	for len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	return path
}

func (a *appTree) entry(path string) entry {
	if e, ok := a.over[path]; ok {
		return e
	}
	return a.at(path, func() entry {
		name := path
		if name == "" {
			name = "/"
		}
		fi, err := a.img.Lstat(name)
		if err != nil {
			return entry{}
		}
		e := entryOf(fi)
		if e.kind == hostlink.KindSymlink {
			e.text, _ = a.img.Readlink(name) // one that can't be read leads nowhere
		}
		return e
	})
}

func (a *appTree) open(path string) (*os.File, error) {
	if e := a.entry(path); e.source != "" {
		return os.Open(e.source)
	}
	return a.img.Open(path)
}

func (a *appTree) names(dir string) []string {
	list, err := a.img.ReadDir(dir)
	return sortedNames(list, err)
}

// Lstat implements [hostlink.Image] for what comes on top.
func (a *appTree) Lstat(path string) (fs.FileInfo, error) {
	e, ok := a.over[path]
	switch {
	case !ok:
		return a.img.Lstat(path)
	case e.kind == "":
		return nil, &fs.PathError{Op: "lstat", Path: path, Err: fs.ErrNotExist}
	}
	return &overInfo{name: baseOf(path), entry: e}, nil
}

// Readlink implements [hostlink.Image].
func (a *appTree) Readlink(path string) (string, error) {
	if e, ok := a.over[path]; ok {
		return e.text, nil
	}
	return a.img.Readlink(path)
}

// overInfo describes what is laid over the images; owners don't matter to who asks.
type overInfo struct {
	name  string
	entry entry
}

func (i *overInfo) Name() string       { return i.name }
func (i *overInfo) Size() int64        { return 0 }
func (i *overInfo) ModTime() time.Time { return time.Time{} }
func (i *overInfo) IsDir() bool        { return i.Mode().IsDir() }
func (i *overInfo) Sys() any           { return nil }

func (i *overInfo) Mode() fs.FileMode {
	mode := i.entry.mode.Perm()
	switch i.entry.kind {
	case hostlink.KindDir:
		mode |= fs.ModeDir
	case hostlink.KindSymlink:
		mode |= fs.ModeSymlink
	case hostlink.KindSocket:
		mode |= fs.ModeSocket
	}
	return mode
}
