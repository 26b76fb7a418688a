package elflink

import (
	"debug/elf"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// What is done in one go is bounded: hostile images.
const (
	maxObjects = 200_000
	maxTakes   = 2_000_000
)

// side is a tree with what was found out about it: the app's root, or the host.
type side struct {
	tree    tree
	list    func(dir string) []string // names in a directory, sorted
	objects map[string]*object        // by file; nil: no object
	// conf has the directories of ld.so.conf searched, too. The loader itself looks only at what ldconfig made of it.
	conf    bool
	loaders map[loaderKey]*loader
	cached  *map[string][]string
	takes   int
	err     error
}

type loaderKey struct {
	interp  string
	class   elf.Class
	machine elf.Machine
}

func newSide(t tree, list func(dir string) []string) *side {
	s := &side{tree: t, list: list, objects: make(map[string]*object)}
	s.forget()
	return s
}

// forget drops what depends on which file lies where; the files themselves stay as they are.
func (s *side) forget() {
	s.loaders = make(map[loaderKey]*loader)
	s.cached = nil
}

// found is an object at the path by which it is loaded.
type found struct {
	spot

	as  string // path as the loader composes it
	obj *object
}

// object returns what a path leads to, nil if that is no ELF file.
func (s *side) object(unsafePath string) *found {
	at := follow(s.tree, unsafePath)
	if at.kind != hostlink.KindFile {
		return nil
	}
	if o := s.read(at); o != nil {
		return &found{spot: at, as: unsafePath, obj: o}
	}
	return nil
}

func (at *spot) key() string {
	if at.source != "" {
		return at.source
	}
	return "image:" + at.path
}

func (s *side) read(at spot) *object {
	key := at.key()
	if o, ok := s.objects[key]; ok {
		return o
	}
	if len(s.objects) >= maxObjects {
		s.err = &LimitError{What: "files read", Limit: maxObjects}
		return nil
	}
	o := readObject(s.tree, at.path)
	s.objects[key] = o
	return o
}

// readObject gives nil for what is no ELF file, or damaged: a loader would not take it either.
func readObject(t tree, path string) *object {
	f, err := t.open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	o, err := parse(f)
	if err != nil {
		return nil
	}
	return o
}

// cache is the tree's ld.so.cache; nil if it has none.
func (s *side) cache() map[string][]string {
	if s.cached == nil {
		c := parseCache(readFile(s.tree, "/etc/ld.so.cache", maxCache))
		s.cached = &c
	}
	return *s.cached
}

// requester is an object that needs others.
type requester struct {
	obj    *object
	origin string // directory that $ORIGIN is
	source string // host file that it is

	expanded       bool
	rpath, runpath []string
}

// paths are the directories that the object names itself.
func (r *requester) paths(l *loader) (rpath, runpath []string) {
	if !r.expanded {
		r.expanded = true
		if r.obj.runpath == "" || l.libc == musl {
			r.rpath = l.expand(r.obj.rpath, r.origin)
		}
		r.runpath = l.expand(r.obj.runpath, r.origin)
	}
	if l.libc == musl && r.obj.runpath != "" {
		return r.runpath, nil
	}
	return r.rpath, r.runpath
}

// find looks for a needed library as the loader does. by is who needs it, followed by who needed that, and so on. The
// result is what the loader takes, whether that satisfies or not.
func (s *side) find(l *loader, name string, by []*requester) *found {
	if l.libc == musl && isMuslOwn(name) {
		return l.at
	}
	if strings.Contains(name, "/") {
		if !path.IsAbs(name) {
			return nil // below the current directory, whatever that will be
		}
		return s.take(l, name)
	}
	for _, dir := range l.runPaths(by) {
		if f := s.take(l, join(dir, name)); f != nil {
			return f
		}
	}
	if f, ok := l.memo[name]; ok {
		return f
	}
	f := s.findDefault(l, name)
	l.memo[name] = f
	return f
}

func (s *side) findDefault(l *loader, name string) *found {
	for _, path := range l.first[name] {
		if f := s.take(l, path); f != nil {
			return f
		}
	}
	for _, dir := range l.dirs {
		if f := s.take(l, join(dir, name)); f != nil {
			return f
		}
	}
	return nil
}

func (s *side) take(l *loader, path string) *found {
	if s.takes++; s.takes > maxTakes {
		s.err = &LimitError{What: "places looked at", Limit: maxTakes}
		return nil
	}
	if f := s.object(path); f != nil && l.fits(f.obj) {
		return f
	}
	return nil
}

// isMuslOwn says whether musl's loader is itself what is asked for: all of musl is one file, and it searches no directory
// for these.
func isMuslOwn(name string) bool {
	rest, ok := strings.CutPrefix(name, "lib")
	if !ok {
		return false
	}
	part, _, _ := strings.Cut(rest, ".")
	return slices.Contains([]string{"c", "pthread", "rt", "m", "dl", "util", "xnet"}, part)
}

// runPaths are the directories that the objects themselves name. With glibc DT_RPATH holds for all that an object brings
// in, unless who asks has a DT_RUNPATH, which holds for itself only. musl makes no such difference.
func (l *loader) runPaths(by []*requester) []string {
	if len(by) == 0 {
		return nil
	}
	_, last := by[0].paths(l)
	if len(last) > 0 || l.libc == glibc && by[0].obj.runpath != "" {
		return last
	}
	var out []string
	for _, r := range by {
		rpath, _ := r.paths(l)
		out = append(out, rpath...)
	}
	return out
}

const maxRunPaths = 64 // directories of one list

// expand splits a search path and fills in $ORIGIN, $LIB and $PLATFORM. Relative directories mean nothing here.
func (l *loader) expand(list, origin string) []string {
	if list == "" {
		return nil
	}
	var out []string
	for dir := range strings.SplitSeq(list, ":") {
		var names []string
		for name := range strings.SplitSeq(dir, "/") {
			switch name {
			case "$ORIGIN", "${ORIGIN}":
				name = origin
			case "$LIB", "${LIB}":
				name = l.lib
			case "$PLATFORM", "${PLATFORM}":
				name = platforms[l.machine].name
			}
			names = append(names, name)
		}
		dir = strings.Join(names, "/")
		if len(dir) <= maxString && path.IsAbs(dir) && len(out) < maxRunPaths {
			out = append(out, dir)
		}
	}
	return out
}

// limit says whether a bound was hit on the way.
func (s *side) limit() error {
	var inTree error
	switch t := s.tree.(type) {
	case *appTree:
		inTree = t.err
	case *hostTree:
		inTree = t.err
	}
	return errors.Join(s.err, inTree)
}
