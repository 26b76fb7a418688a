package hostlink

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSymlinks is the kernel's MAXSYMLINKS.
const maxSymlinks = 40

// stat is what resolution needs to know of a file.
type stat struct {
	kind     Kind
	mode     uint32 // permission bits with setuid, setgid and sticky, as st_mode has them
	uid, gid int
	mtime    unix.Timespec
	own      bool // a link or node of the plan, not the image's
	linked   bool // a host file is bound here
}

func statOf(fi fs.FileInfo) stat {
	st := stat{mode: permissions(fi.Mode())}
	switch fi.Mode().Type() {
	case 0:
		st.kind = KindFile
	case fs.ModeDir:
		st.kind = KindDir
	case fs.ModeSymlink:
		st.kind = KindSymlink
	case fs.ModeSocket:
		st.kind = KindSocket
	default:
		st.kind = kindOther
	}
	if sys, ok := fi.Sys().(*syscall.Stat_t); ok {
		st.uid, st.gid = int(sys.Uid), int(sys.Gid)
		st.mtime = unix.Timespec(sys.Mtim)
	}
	return st
}

func permissions(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	for bit, st := range map[fs.FileMode]uint32{
		fs.ModeSetuid: syscall.S_ISUID, fs.ModeSetgid: syscall.S_ISGID, fs.ModeSticky: syscall.S_ISVTX,
	} {
		if m&bit != 0 {
			mode |= st
		}
	}
	return mode
}

// tree is a file system that walk can be run on. Both methods get canonical
// paths, "" being the root; lstat returns kindNone for what is missing.
type tree interface {
	lstat(path string) (stat, error)
	readlink(path string) (string, error)
}

var (
	_ tree = (*Host)(nil)
	_ tree = (*picture)(nil)
)

// place is where a path leads.
type place struct {
	path string // canonical: nothing but its last component may be a symlink
	st   stat
	dir  string   // the deepest directory on the way that exists
	via  []string // directories that hold the symlinks passed
}

// walk resolves unsafePath inside t: absolute symlinks start at t's root and
// ".." stops there. What lies behind a missing component, or behind a file, is
// kept as it is. The last component is followed only if asked.
func walk(t tree, unsafePath string, follow bool) (place, error) {
	todo := strings.Split(unsafePath, "/")
	p := place{st: stat{kind: KindDir}}
	gone, jumped := false, false
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			if !gone {
				p.path = parent(p.path)
				p.dir = p.path
				jumped = true
			}
			continue
		}
		next := join(p.path, name)
		if gone {
			p.path = next
			continue
		}
		st, err := t.lstat(next)
		if err != nil {
			return place{}, err
		}
		if st.kind == KindSymlink && (follow || len(todo) > 0) {
			if links++; links > maxSymlinks {
				return place{}, &fs.PathError{Op: "resolve", Path: "/" + unsafePath, Err: syscall.ELOOP}
			}
			target, err := t.readlink(next)
			if err != nil {
				return place{}, err
			}
			p.via = append(p.via, p.path)
			if strings.HasPrefix(target, "/") {
				p.path, p.dir = "", ""
				jumped = true
			}
			todo = append(strings.Split(target, "/"), todo...)
			continue
		}
		p.path, p.st, jumped = next, st, false
		switch {
		case st.kind == KindDir && len(todo) > 0:
			p.dir = next
		case len(todo) > 0:
			gone = true
			p.st = stat{}
		}
	}
	if jumped && !gone {
		st, err := t.lstat(p.path)
		if err != nil {
			return place{}, err
		}
		p.st = st
	}
	return p, nil
}

func parent(p string) string {
	i := strings.LastIndexByte(p, '/')
	return p[:max(i, 0)]
}

func base(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// missing says whether an error means that nothing is there.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// picture is the app's root as it will look: the image with the links and nodes
// planned so far.
type picture struct {
	img   Image
	seen  map[string]stat
	texts map[string]string // targets of symlinks of our own
}

func newPicture(img Image) *picture {
	return &picture{img: img, seen: make(map[string]stat), texts: make(map[string]string)}
}

func (p *picture) lstat(path string) (stat, error) {
	if st, ok := p.seen[path]; ok {
		return st, nil
	}
	var st stat
	fi, err := p.img.Lstat("/" + path)
	switch {
	case err == nil:
		st = statOf(fi)
	case !missing(err):
		return stat{}, err
	}
	p.seen[path] = st
	return st, nil
}

func (p *picture) readlink(path string) (string, error) {
	if text, ok := p.texts[path]; ok {
		return text, nil
	}
	return p.img.Readlink("/" + path)
}

func (p *picture) put(path string, kind Kind, linked bool) {
	p.seen[path] = stat{kind: kind, own: true, linked: linked}
}
