package elflink

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

const (
	maxSymlinks = 40      // the kernel's MAXSYMLINKS
	maxLooks    = 1 << 20 // entries looked at, of one tree
)

// entry is one name of a tree.
type entry struct {
	kind   hostlink.Kind // "" if nothing is there
	mode   fs.FileMode
	text   string // of a symlink
	source string // absolute path of a host file; "" for the images' own
}

// tree is a file system: the app's root, or the host. Paths are canonical, "" being the root itself.
type tree interface {
	entry(path string) entry
	open(path string) (*os.File, error)
}

var (
	_ tree = (*appTree)(nil)
	_ tree = (*hostTree)(nil)
)

// spot is where a path leads.
type spot struct {
	entry
	path string   // canonical
	hops []string // the symlinks on the way that the last name led to, canonical
}

// follow resolves a path below the root of a tree, to its end. What lies behind a missing name is kept as it is.
func follow(t tree, unsafePath string) spot {
	todo := split(unsafePath)
	s := spot{entry: entry{kind: hostlink.KindDir}}
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if name == ".." {
			s.path = s.path[:max(strings.LastIndexByte(s.path, '/'), 0)]
			s.entry = t.entry(s.path)
			continue
		}
		next := s.path + "/" + name
		e := t.entry(next)
		if e.kind == hostlink.KindSymlink {
			if links++; links > maxSymlinks || e.text == "" {
				return spot{path: next, hops: s.hops}
			}
			if len(todo) == 0 {
				s.hops = append(s.hops, next)
			}
			if e.text[0] == '/' {
				s.path = ""
			}
			todo = append(split(e.text), todo...)
			s.entry = entry{kind: hostlink.KindDir}
			continue
		}
		s.path, s.entry = next, e
		if len(todo) > 0 && e.kind != hostlink.KindDir {
			return spot{path: join(next, strings.Join(todo, "/")), hops: s.hops}
		}
	}
	return s
}

// split leaves out what means nothing; ".." stays.
func split(path string) []string {
	var out []string
	for name := range strings.SplitSeq(path, "/") {
		if name != "" && name != "." {
			out = append(out, name)
		}
	}
	return out
}

func join(dir, name string) string { return strings.TrimRight(dir, "/") + "/" + name }

func dirOf(path string) string { return path[:max(strings.LastIndexByte(path, '/'), 0)] }

func baseOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// looks remembers what was looked at, and bounds how much that may be.
type looks struct {
	seen map[string]entry
	err  error
}

func (l *looks) at(path string, look func() entry) entry {
	if e, ok := l.seen[path]; ok {
		return e
	}
	if len(l.seen) >= maxLooks {
		l.err = &LimitError{What: "files looked at", Limit: maxLooks}
		return entry{}
	}
	if l.seen == nil {
		l.seen = make(map[string]entry)
	}
	e := look()
	l.seen[path] = e
	return e
}

func entryOf(fi fs.FileInfo) entry {
	e := entry{mode: fi.Mode()}
	switch fi.Mode().Type() {
	case 0:
		e.kind = hostlink.KindFile
	case fs.ModeDir:
		e.kind = hostlink.KindDir
	case fs.ModeSymlink:
		e.kind = hostlink.KindSymlink
	default:
		e.kind = hostlink.KindSocket // or another that can't be read: all the same here
	}
	return e
}

// hostTree is the host, or a directory that stands for one.
type hostTree struct {
	looks

	host *hostlink.Host
}

// newHostTree is the host that was seen already, or else the one at root.
func newHostTree(host *hostlink.Host, root string) (_ *hostTree, err error) {
	if host == nil {
		host, err = hostlink.OpenHost(root)
	}
	return &hostTree{host: host}, err
}

// source is the absolute path of a file of the host.
func (h *hostTree) source(path string) string { return filepath.Join(h.host.Root(), path) }

// below is the reverse of source; a path elsewhere stays as it is.
func (h *hostTree) below(source string) string {
	if h.host.Root() == "/" {
		return source
	}
	return strings.TrimPrefix(source, h.host.Root())
}

func (h *hostTree) entry(path string) entry {
	return h.at(path, func() entry {
		fi, err := h.host.Lstat(path)
		if err != nil {
			return entry{}
		}
		e := entryOf(fi)
		e.source = h.source(path)
		if e.kind == hostlink.KindSymlink {
			e.text, _ = os.Readlink(e.source) // one that can't be read leads nowhere
		}
		return e
	})
}

func (h *hostTree) open(path string) (*os.File, error) { return os.Open(h.source(path)) }

func (h *hostTree) names(dir string) []string {
	list, err := os.ReadDir(h.source(follow(h, dir).path))
	return sortedNames(list, err)
}

func sortedNames(list []fs.DirEntry, err error) []string {
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	slices.Sort(out)
	return out
}
