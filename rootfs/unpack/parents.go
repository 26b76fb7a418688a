package unpack

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Below is the merged view of the layers below one. Paths are relative to its
// root; a view that answers with absolute ones is understood too.
type Below interface {
	// Lstat follows links in all but the last component, inside the view.
	Lstat(path string) (fs.FileInfo, error)
	// Resolve follows links in all but the last component and keeps what is
	// missing as it is.
	Resolve(path string) (string, error)
}

// BelowOwners is a Below that knows owners which the tree does not have, since
// the layers below were unpacked without privileges too.
type BelowOwners interface {
	Below
	// Owner gives what is recorded about a directory, if anything is.
	Owner(path string) (Owner, bool, error)
}

// Settle completes the layer that Layer unpacked into dir with this result, if
// that names implied parents: these become the directories that the layers below
// have in their place, with mode, owner and times; where those have a symlink,
// what the layer put there moves to where the link leads, and the link stays.
// A parent that exists nowhere keeps mode 0755 and owner root.
//
// The result holds for this one stack of layers only. Where the layer itself
// names both places, what it has at the link's target wins.
func Settle(dir string, res *Result, below Below) error {
	implied := res.ImpliedParents
	if len(implied) == 0 {
		return nil
	}
	t, err := openTree(dir)
	if err != nil {
		return err
	}
	defer t.Close()
	s := &settling{tree: t, held: res.held, below: below, implied: map[string]struct{}{}, places: map[string]place{}}
	for _, p := range implied {
		s.implied[p] = struct{}{}
	}
	order := slices.Clone(implied)
	slices.SortFunc(order, byDepth)
	for _, p := range order {
		if err := s.settle(p); err != nil {
			return fmt.Errorf("settle implied directory %q: %w", p, err)
		}
	}
	// Deepest first: each of them is touched by what is done below it.
	slices.SortFunc(s.inherit, byDepth)
	for _, p := range slices.Backward(slices.Compact(s.inherit)) {
		if err := s.inheritMeta(p); err != nil {
			return fmt.Errorf("copy metadata of directory %q: %w", p, err)
		}
	}
	return nil
}

// byDepth puts parents before their children.
func byDepth(a, b string) int {
	return cmp.Or(cmp.Compare(strings.Count(a, "/"), strings.Count(b, "/")), cmp.Compare(a, b))
}

// place is where a directory of the layer ends up.
type place struct {
	path string
	// seen: the layers below show a directory there. False below a directory
	// that hides them.
	seen bool
}

type settling struct {
	*tree
	held    *holdings // nil as root
	below   Below
	implied map[string]struct{}
	places  map[string]place
	inherit []string
}

func (s *settling) settle(p string) error {
	parent, err := s.place(path.Dir(p))
	if err != nil {
		return err
	}
	now := path.Join(parent.path, path.Base(p)) // its parents have moved already
	end, err := s.place(p)
	if err != nil {
		return err
	}
	named := false
	if now != end.path {
		named = s.names(end.path)
		if err := s.move(now, end.path); err != nil {
			return err
		}
	}
	if end.seen && !named {
		s.inherit = append(s.inherit, end.path)
	}
	return nil
}

// place finds where directory p of the layer belongs.
func (s *settling) place(p string) (place, error) {
	if p == "." {
		return place{path: ".", seen: true}, nil
	}
	if known, ok := s.places[p]; ok {
		return known, nil
	}
	parent, err := s.place(path.Dir(p))
	if err != nil {
		return place{}, err
	}
	found := place{path: path.Join(parent.path, path.Base(p))}
	if parent.seen && !s.hides(parent.path) {
		_, implied := s.implied[p]
		if found, err = s.lookUp(found.path, implied); err != nil {
			return place{}, err
		}
	}
	s.places[p] = found
	return found, nil
}

func (s *settling) lookUp(p string, implied bool) (place, error) {
	fi, err := s.below.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return place{path: p}, nil
	}
	if err != nil {
		return place{}, err
	}
	if fi.IsDir() {
		return place{path: p, seen: true}, nil
	}
	if !implied || fi.Mode()&fs.ModeSymlink == 0 {
		return place{path: p}, nil // the layer's directory replaces it
	}
	inside, err := s.below.Resolve(path.Join(p, "x")) // so that p itself is followed
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return place{path: p}, nil // a link to a file, or into a circle: the directory replaces it
	}
	if err != nil {
		return place{}, err
	}
	target := path.Dir(strings.TrimPrefix(path.Clean(inside), "/"))
	_, err = s.below.Lstat(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
		return place{}, err
	}
	return place{path: target, seen: err == nil}, nil
}

// names says that the layer has a directory of its own at p, whose metadata count.
func (s *settling) names(p string) bool {
	if _, implied := s.implied[p]; implied {
		return false
	}
	dir, err := s.open(p)
	if err != nil {
		return false
	}
	dir.Close()
	return true
}

// hides says that directory p of the layer shows nothing of lower layers.
func (s *settling) hides(p string) bool {
	dir, err := s.open(p)
	if err != nil {
		return false // not part of the layer: nothing hides
	}
	defer dir.Close()
	return opaqueOf(dir) == opaqueYes
}

func (s *settling) move(from, to string) error {
	src, err := s.open(path.Dir(from))
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // a later entry of the layer replaced it
	}
	if err != nil {
		return err
	}
	defer src.Close()
	if mode, _, err := kind(src, path.Base(from)); err != nil || mode != unix.S_IFDIR {
		return err
	}
	if to == "." {
		return keepTimes(s.root, func() error { return s.intoRoot(src, path.Base(from)) })
	}
	dst, err := s.mkdirs(path.Dir(to), func(p string) { s.inherit = append(s.inherit, p) })
	if err != nil {
		return err
	}
	defer dst.Close()
	return keepTimes(src, func() error {
		return keepTimes(dst, func() error { return rename(src, path.Base(from), dst, path.Base(to)) })
	})
}

// intoRoot empties a directory into the root, for a link to /.
func (s *settling) intoRoot(src *os.File, name string) error {
	dir, err := openAt(src, name)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if n == name {
			return fmt.Errorf("directory %q lies in a link to itself: %w", name, unix.ELOOP)
		}
		if err := rename(dir, n, s.root, n); err != nil {
			return err
		}
	}
	if opaqueOf(dir) == opaqueMixed {
		if err := setOpaque(s.root, opaqueMixed); err != nil {
			return err
		}
	}
	return unix.Unlinkat(int(src.Fd()), name, unix.AT_REMOVEDIR)
}

// inheritMeta gives a directory of the layer what the one below has.
func (s *settling) inheritMeta(p string) error {
	fi, err := s.below.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !fi.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("no owner in %T", fi.Sys())
	}
	dir, err := s.open(p)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	mode := st.Mode & 0o7777
	if s.held != nil {
		if mode, err = s.holdMeta(p, dir, mode); err != nil {
			return err
		}
	} else if err := unix.Fchown(int(dir.Fd()), int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Fchmod(int(dir.Fd()), mode); err != nil {
		return err
	}
	return setTimes(dir, unix.Timespec(st.Atim), unix.Timespec(st.Mtim))
}

// holdMeta leaves for Finish what an ordinary user cannot inherit, or not yet,
// and gives the mode to have meanwhile.
func (s *settling) holdMeta(p string, dir *os.File, mode uint32) (uint32, error) {
	var own unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &own); err != nil {
		return 0, err
	}
	n := &note{mode: mode}
	if b, ok := s.below.(BelowOwners); ok {
		o, found, err := b.Owner(p)
		if err != nil {
			return 0, err
		}
		if found {
			n.uid, n.gid = o.UID, o.GID
		}
		if found && o.Mode != 0 {
			n.mode = o.Mode & 0o7777
		}
	}
	n.check = n.mode&unix.S_ISGID != 0
	n.wide = n.mode&0o700 != 0o700
	if n.lasting() {
		s.held.byInode[own.Ino] = n
	}
	return n.mode | 0o700, nil
}
