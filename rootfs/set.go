package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// Set is the caller's own store and further ones that are read where they are:
// root's, and what an administrator or the user has added. Nothing is copied
// between them, and only the own one is ever written to.
type Set struct {
	own    *Store
	stores []*Store // own first
	unread []string
}

// Stored is an image and the store it lies in.
type Stored struct {
	*Image
	Store *Store
}

// OpenSet makes a set of the caller's own store, which may be nil for a caller
// who has none, and the additional ones at these absolute paths, in this order.
// An additional store that is absent is left out; one that the caller may not
// read too, see [Set.Unread]. One that is not safe to use (see [Open]) or of an
// unknown format is an error: to leave it out could make a name mean another
// image. A path that is named twice counts once.
func OpenSet(own *Store, additional []string) (*Set, error) {
	set := &Set{own: own}
	seen := map[string]bool{}
	if own != nil {
		set.stores = append(set.stores, own)
		seen[own.root] = true
	}
	for _, root := range additional {
		if !filepath.IsAbs(root) {
			return nil, &UnsafeRootError{Root: root, Reason: "an additional store needs an absolute path", remedy: "write it from / on in additional_stores"}
		}
		root = filepath.Clean(root)
		if seen[root] {
			continue
		}
		seen[root] = true
		s, err := Open(root)
		var denied *AccessError
		switch {
		case err == nil && s.closed():
			set.unread = append(set.unread, root)
		case err == nil:
			set.stores = append(set.stores, s)
		case errors.Is(err, ErrNoStore):
		case errors.As(err, &denied) && errors.Is(err, fs.ErrPermission):
			set.unread = append(set.unread, root)
		default:
			return nil, fmt.Errorf("open additional store: %w", err)
		}
	}
	return set, nil
}

// closed says that the caller may not look at the layers, as in a store of
// root's that has format 1 still.
func (s *Store) closed() bool {
	return errors.Is(unix.Faccessat(unix.AT_FDCWD, s.path(layersDir), unix.R_OK|unix.X_OK, unix.AT_EACCESS), fs.ErrPermission)
}

// Own is the store that the caller writes to; nil if he has none.
func (s *Set) Own() *Store { return s.own }

// Stores lists all, in the order in which they are asked.
func (s *Set) Stores() []*Store { return append([]*Store(nil), s.stores...) }

// Unread lists the additional stores that exist and that the caller may not read.
func (s *Set) Unread() []string { return append([]string(nil), s.unread...) }

// Resolve is [Store.Resolve] over all: the first store that knows the name in
// any of its forms wins. What is ambiguous in that store is *[AmbiguousError].
func (s *Set) Resolve(name string) (digest.Digest, error) {
	ref, _, err := s.ResolveRef(name)
	return ref.Digest, err
}

// ResolveRef is [Set.Resolve], and says also by which reference of which store
// the image was found; the reference's name is empty where it was none.
func (s *Set) ResolveRef(name string) (Ref, *Store, error) {
	for _, store := range s.stores {
		ref, err := store.ResolveRef(name)
		if err == nil {
			return ref, store, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return Ref{}, nil, err
		}
	}
	return Ref{}, nil, &NotFoundError{Name: name, Unread: s.unread}
}

// Image gives an image from the first store that has all of it. Its layers are
// to be asked of that store. If none has, the first one that is damaged is the
// error, else *[NotFoundError].
func (s *Set) Image(d digest.Digest) (*Image, *Store, error) {
	var first error
	for _, store := range s.stores {
		img, err := store.Image(d)
		if err == nil {
			return img, store, nil
		}
		if first == nil && !errors.Is(err, fs.ErrNotExist) {
			first = err
		}
	}
	if first == nil {
		first = &NotFoundError{Name: d.String(), Unread: s.unread}
	}
	return nil, nil, first
}

// Images lists the complete images of all stores, store by store. An image that
// two of them have is listed twice.
func (s *Set) Images() ([]Stored, error) {
	var all []Stored
	for _, store := range s.stores {
		images, err := store.Images()
		if err != nil {
			return nil, err
		}
		for _, img := range images {
			all = append(all, Stored{img, store})
		}
	}
	return all, nil
}
