package rootfs

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is the kernel's MAXSYMLINKS.
const maxLinks = 40

type dirResult struct {
	dir *dirNode
	err error
}

// location is where a walk ended: at the entry name of dir, or at dir itself
// where name is empty. missing is what is left of the path below a directory
// that lacks its first component.
type location struct {
	dir     *dirNode
	name    string
	missing []string
}

type walkMode struct {
	followLast  bool
	keepMissing bool
}

// at finds an entry and hands it to do, under the lock.
func (v *View) at(op, unsafePath string, follow bool, do func(location) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.root == nil {
		return closed(op, unsafePath)
	}
	v.trim()
	loc, err := v.locate(unsafePath, follow)
	if err == nil {
		err = do(loc)
	}
	if err != nil {
		return &fs.PathError{Op: op, Path: unsafePath, Err: bare(err)}
	}
	return nil
}

func closed(op, unsafePath string) error {
	return &fs.PathError{Op: op, Path: unsafePath, Err: fs.ErrClosed}
}

// bare takes the cause out of a path error, whose path would be a name inside
// a layer.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// locate is walk with a memory for the directory part, which neighbouring
// questions share.
func (v *View) locate(unsafePath string, follow bool) (location, error) {
	p := strings.TrimRight(unsafePath, "/")
	cut := strings.LastIndexByte(p, '/') + 1
	dirPart, base := p[:cut], p[cut:]
	if base == "" || base == "." || base == ".." {
		return v.walk(v.root, p, walkMode{followLast: true})
	}
	known, ok := v.dirs[dirPart]
	if !ok {
		known = v.locateDir(dirPart)
	}
	if known.err != nil {
		return location{}, known.err
	}
	if !follow {
		return location{dir: known.dir, name: base}, nil
	}
	return v.walk(known.dir, base, walkMode{followLast: true})
}

func (v *View) locateDir(dirPart string) dirResult {
	loc, err := v.walk(v.root, dirPart, walkMode{followLast: true})
	if err == nil && loc.name != "" {
		err = unix.ENOTDIR
	}
	res := dirResult{loc.dir, err}
	switch {
	case err == nil, errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		v.dirs[strings.Clone(dirPart)] = res // other errors may pass
	}
	return res
}

// walk goes from dir along a path, one name at a time, and expands links into
// the rest of the path as it meets them.
func (v *View) walk(dir *dirNode, rest string, mode walkMode) (location, error) {
	loc := location{dir: dir}
	for links := 0; ; {
		rest = strings.TrimLeft(rest, "/")
		if rest == "" {
			return loc, nil
		}
		name, after, _ := strings.Cut(rest, "/")
		last := strings.TrimLeft(after, "/") == ""
		rest = after
		switch {
		case name == ".":
			continue
		case name == ".." && len(loc.missing) > 0:
			loc.missing = loc.missing[:len(loc.missing)-1]
			continue
		case name == "..":
			loc.dir = loc.dir.parent
			continue
		case len(loc.missing) > 0:
			loc.missing = append(loc.missing, name)
			continue
		case last && !mode.followLast:
			loc.name = name
			return loc, nil
		}
		kid, target, err := v.step(loc.dir, name)
		switch {
		case errors.Is(err, unix.ENOENT) && mode.keepMissing:
			loc.missing = append(loc.missing, name)
		case err != nil:
			return location{}, err
		case kid != nil:
			loc.dir = kid
		case target != "":
			if links++; links > maxLinks {
				return location{}, unix.ELOOP
			}
			if target[0] == '/' {
				loc.dir = v.root
			}
			rest = target + "/" + rest
			if last { // keep "last" true for the target's own last name
				rest = target
			}
		case last:
			loc.name = name
			return loc, nil
		default:
			return location{}, unix.ENOTDIR
		}
	}
}

// step looks at one entry: a directory gives its node, a link its target, and
// all else neither.
func (v *View) step(dir *dirNode, name string) (kid *dirNode, target string, err error) {
	if kid = dir.kids[name]; kid != nil {
		return kid, "", nil
	}
	var st unix.Stat_t
	top, err := v.lookup(dir, name, &st)
	if err != nil {
		return nil, "", err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		kid, err = v.descend(dir, name, top)
		return kid, "", err
	case unix.S_IFLNK:
		fd, err := v.fd(dir, top)
		if err != nil {
			return nil, "", err
		}
		if target, err = readlinkAt(fd, name); err == nil && target == "" {
			err = unix.ENOENT
		}
		return nil, target, err
	}
	return nil, "", nil
}

// lookup finds the topmost entry and says which of the directory's refs has it.
func (v *View) lookup(dir *dirNode, name string, st *unix.Stat_t) (top int, err error) {
	for i := range dir.refs {
		fd, err := v.fd(dir, i)
		if err != nil {
			return 0, err
		}
		err = statAt(fd, name, st)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil && isWhiteout(fd, name, st) {
			err = unix.ENOENT
		}
		return i, err
	}
	return 0, unix.ENOENT
}

// statEntry stats what a location names, and gives the descriptor of the
// directory that has it, or of the directory itself.
func (v *View) statEntry(at location, st *unix.Stat_t) (fd int, err error) {
	top := 0
	if at.name != "" {
		if top, err = v.lookup(at.dir, at.name, st); err != nil {
			return -1, err
		}
		return v.fd(at.dir, top)
	}
	if len(at.dir.refs) == 0 { // the root of an empty view
		return -1, unix.ENOENT
	}
	if fd, err = v.fd(at.dir, top); err == nil {
		err = unix.Fstat(fd, st)
	}
	return fd, err
}

// find says which layer has what a location names.
func (v *View) find(at location, st *unix.Stat_t) (layer int, err error) {
	top := 0
	if at.name != "" {
		if top, err = v.lookup(at.dir, at.name, st); err != nil {
			return 0, err
		}
	} else if len(at.dir.refs) == 0 {
		return 0, unix.ENOENT
	}
	return at.dir.refs[top].layer, nil
}
