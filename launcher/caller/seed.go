package caller

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Image is the merged view of the layers.
type Image interface {
	Lstat(path string) (fs.FileInfo, error)
	Resolve(path string) (string, error)
}

// Seeds collects what the writable part gets before the overlay lies on it: places for what is mounted, and directories
// that the app may write to though their owner is not mapped (the kernel could not copy them up: EOVERFLOW).
type Seeds struct {
	Image Image
	// UID and GID own what is new.
	UID, GID uint32
	// Single says that the start knows one id only. A directory on the way that is somebody else's is then not for the
	// caller to write to, though he stands in as its owner.
	Single bool
	// Fixed gives all directories UID and GID, where owners in the layers are not those inside.
	Fixed bool

	Nodes []plan.Node
}

// Dir adds the directory at path, with those above it, as the image has them. leaf is what is not in the image: its mode,
// or that of a directory that has to be writable whatever the image says (Mode of the image with the owner's bits).
func (s *Seeds) Dir(path string, leaf plan.Node) error {
	target, err := s.Image.Resolve(pathClean(path))
	if err != nil {
		return fmt.Errorf("find %s in the image: %w", path, err)
	}
	if target == "/" || s.Above(target) != nil {
		return nil
	}
	st, err := s.Image.Lstat(target)
	switch {
	case err == nil && st.IsDir() && !leaf.Opaque:
		leaf = s.like(st)
		leaf.Mode |= 0o700
	case err == nil && !st.IsDir():
		return nil // a file of the image is in the way: it stays
	}
	s.put(target, leaf)
	return nil
}

// errInTheWay ends the way to a place below a file of the image.
var errInTheWay = errors.New("a file of the image is in the way")

// Place adds a mount point: a directory, or an empty file, where the image has none of the kind.
func (s *Seeds) Place(path string, dir bool) error {
	target, err := s.Image.Resolve(pathClean(path))
	if err != nil {
		return fmt.Errorf("find %s in the image: %w", path, err)
	}
	if st, err := s.Image.Lstat(target); err == nil && st.IsDir() == dir && st.Mode()&fs.ModeSymlink == 0 {
		return nil // as it is
	}
	if err := s.Above(target); err != nil {
		return err
	}
	leaf := plan.Node{Mode: unix.S_IFREG | 0o644, UID: s.UID, GID: s.GID}
	if dir {
		leaf.Mode = unix.S_IFDIR | 0o755
	}
	s.put(target, leaf)
	return nil
}

// Symlink adds a symlink where the image has nothing.
func (s *Seeds) Symlink(path, text string) error {
	if _, err := s.Image.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	target, err := s.Image.Resolve(path)
	if err == nil {
		err = s.Above(target)
	}
	if err != nil {
		return err
	}
	s.put(target, plan.Node{Mode: unix.S_IFLNK | 0o777, UID: s.UID, GID: s.GID, Text: text})
	return nil
}

// Leads says whether a path of the host leads to real inside by the symlinks that were added.
func (s *Seeds) Leads(path, real string) bool {
	for range 40 {
		next := path
		for _, n := range s.Nodes {
			if link := "/" + n.Path; n.Text != "" && within(path, link) {
				to := n.Text
				if to[0] != '/' {
					to = pathClean(link + "/../" + to)
				}
				next = pathClean(to + path[len(link):])
				break
			}
		}
		if next == path {
			break
		}
		path = next
	}
	return path == real
}

// Above adds the directories above target, a canonical path.
func (s *Seeds) Above(target string) error {
	for n := 1; n < len(target); n++ {
		if target[n] != '/' || s.has(target[:n]) {
			continue
		}
		node := plan.Node{Mode: 0o755, UID: s.UID, GID: s.GID}
		if s.Single {
			node.Mode = 0o555
		}
		st, err := s.Image.Lstat(target[:n])
		if err == nil && !st.IsDir() {
			return errInTheWay
		}
		if err == nil {
			node = s.like(st)
			if sys, ok := st.Sys().(*syscall.Stat_t); s.Single && ok && sys.Uid != s.UID {
				node.Mode = node.Mode&0o7555 | 0o500
			}
		}
		s.put(target[:n], node)
	}
	return nil
}

// like is a directory as the image has it.
func (s *Seeds) like(st fs.FileInfo) plan.Node {
	n := plan.Node{Mode: 0o755, UID: s.UID, GID: s.GID}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		n.Mode = sys.Mode & 0o7777
		if !s.Single && !s.Fixed {
			n.UID, n.GID = sys.Uid, sys.Gid
		}
	}
	return n
}

func (s *Seeds) has(path string) bool {
	return slices.ContainsFunc(s.Nodes, func(n plan.Node) bool { return n.Path == strings.TrimPrefix(path, "/") })
}

func (s *Seeds) put(path string, n plan.Node) {
	if s.has(path) {
		return
	}
	n.Path = strings.TrimPrefix(path, "/")
	s.Nodes = append(s.Nodes, n)
}

func pathClean(p string) string { return path.Clean("/" + p) }

// seed makes places for the binds of this moment where the mounted root would not let us: it is read-only, or its
// directories belong to somebody who is not mapped.
func (m *Moment) seed(p *plan.Plan) error {
	layers := slices.Clone(p.Lower)
	slices.Reverse(layers)
	view, err := rootfs.NewView(layers)
	if err != nil {
		return fmt.Errorf("open layers: %w", err)
	}
	defer view.Close()
	s := &Seeds{Image: view, UID: p.UID, GID: p.GID, Single: p.User, Fixed: p.Range != nil, Nodes: slices.Clone(p.Seed)}
	for _, l := range m.Symlinks {
		if err := s.Symlink(l.Path, l.Text); err != nil {
			return err
		}
	}
	m.Symlinks = nil
	for _, b := range m.Binds {
		if s.has(b.Target) || covered(m.Binds, b) || within(b.Target, "/dev") {
			continue
		}
		dir := true
		var st unix.Stat_t
		if unix.Stat(b.Source, &st) == nil {
			dir = st.Mode&unix.S_IFMT == unix.S_IFDIR
		}
		if err := s.Place(b.Target, dir); err != nil {
			return &ShareError{b.Source, "no place for it at " + b.Target + ": " + err.Error(), "show it at another place"}
		}
	}
	m.Seed = s.Nodes[len(p.Seed):]
	return nil
}

// covered says whether the place of a bind lies in what another one before it shows.
func covered(binds []Bind, b Bind) bool {
	for _, o := range binds {
		if o == b {
			return false
		}
		if within(b.Target, o.Target) {
			return true
		}
	}
	return false
}
