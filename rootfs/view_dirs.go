package rootfs

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// dirNode is a directory of the merged tree.
type dirNode struct {
	parent *dirNode // the root's is itself
	name   string
	path   string
	refs   []dirRef // topmost first
	kids   map[string]*dirNode
}

// dirRef is what one layer contributes to a directory.
type dirRef struct {
	layer int
	fd    int // -1 while closed
}

// descend makes the node of a directory whose topmost part is in refs[top].
func (v *View) descend(dir *dirNode, name string, top int) (*dirNode, error) {
	kid := &dirNode{parent: dir, name: name, path: strings.TrimSuffix(dir.path, "/") + "/" + name}
	for i := top; i < len(dir.refs); i++ {
		fd, err := v.fd(dir, i)
		if err != nil {
			return nil, err
		}
		sub, err := openSub(fd, name)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			break // a whiteout, or another non-directory: nothing below shows
		}
		if err != nil {
			v.flush(kid)
			return nil, err
		}
		v.open++
		kid.refs = append(kid.refs, dirRef{layer: dir.refs[i].layer, fd: sub})
		if isOpaque(sub) {
			break
		}
	}
	if dir.kids == nil {
		dir.kids = map[string]*dirNode{}
	}
	dir.kids[name] = kid
	return kid, nil
}

// openSub opens a directory; one that its owner may not read can still be
// walked through.
func openSub(dirfd int, name string) (int, error) {
	fd, err := openAt(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.EACCES) {
		fd, err = openAt(dirfd, name, unix.O_PATH|unix.O_DIRECTORY)
	}
	return fd, err
}

// fd gives the descriptor of one ref, opening it anew after a flush. The
// parent has a ref of the same layer, by construction.
func (v *View) fd(dir *dirNode, i int) (int, error) {
	ref := &dir.refs[i]
	if ref.fd >= 0 {
		return ref.fd, nil
	}
	up := slices.IndexFunc(dir.parent.refs, func(r dirRef) bool { return r.layer == ref.layer })
	parentFD, err := v.fd(dir.parent, up)
	if err != nil {
		return -1, err
	}
	fd, err := openSub(parentFD, dir.name)
	if err != nil {
		return -1, err
	}
	v.open++
	ref.fd = fd
	return fd, nil
}

// trim closes directories when many are open; only between two calls, so that
// no call loses what it holds.
func (v *View) trim() {
	if v.open > maxOpen {
		v.flush(v.root)
	}
}

// flush closes every descriptor below and at a node, the layers' own excepted.
func (v *View) flush(n *dirNode) {
	for i := range n.refs {
		if n != v.root && n.refs[i].fd >= 0 {
			unix.Close(n.refs[i].fd)
			n.refs[i].fd = -1
			v.open--
		}
	}
	for _, kid := range n.kids {
		v.flush(kid)
	}
}

func (v *View) readDir(dir *dirNode) ([]Entry, error) {
	if len(dir.refs) == 0 {
		return nil, unix.ENOENT
	}
	seen := map[string]bool{}
	var entries []Entry
	for i := range dir.refs {
		fd, err := v.fd(dir, i)
		if err != nil {
			return nil, err
		}
		names, err := readNames(fd)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			fi := &fileInfo{name: name}
			if err := statAt(fd, name, &fi.st); err != nil {
				return nil, err
			}
			if !isWhiteout(fd, name, &fi.st) {
				entries = append(entries, Entry{Info: fi, Layer: dir.refs[i].layer})
			}
		}
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Info.Name(), b.Info.Name()) })
	return entries, nil
}

// readNames lists a directory by a descriptor of its own, since reading moves
// a descriptor's position.
func readNames(dirfd int) ([]string, error) {
	f, err := openDirAt(dirfd, ".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}
