package include

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Kind is what a source is taken for; the values are the keys of `include`.
type Kind string

// The kinds of sources.
const (
	Tar  Kind = "tar"  // an archive, compressed or not, to unpack at the root
	Path Kind = "path" // a file or directory, to appear at its own path
)

// Source is a file of the host that a layer is made of. Path is absolute.
type Source struct {
	Kind Kind
	Path string
}

// maxWatch bounds what a start has to look at for one source: a stat each.
const maxWatch = 250

// State is what a source looks like, without its content.
type State struct {
	Source Source
	// Watch are the paths whose inode, size and times tell a start, cheaply,
	// that the source changed. Of a directory with all that is below these are
	// all entries if there are at most 250; otherwise only directories, the
	// first 250: a file that is edited in place is not noticed then.
	Watch []Watched

	fingerprint string
}

// Watched is a path to watch, as it was when Look came by: what changes
// between that and a later look must not go unseen. Stat is that of stat(2),
// nil for a link that leads nowhere.
type Watched struct {
	Path string
	Stat *unix.Stat_t
}

// Look finds out what a source looks like. Every entry below a directory
// counts, by its inode, mode, owner, size and times, however many there are.
// The error is an *Error, for one that is missing or out of the caller's reach.
func (m *Maker) Look(s Source) (*State, error) {
	l := &looking{sum: sha256.New(), State: State{Source: s}}
	var err error
	if s.Kind == Tar {
		err = l.tar()
	} else if err = m.checkTop(s.Path); err == nil {
		err = l.tree()
	}
	if err != nil {
		return nil, sourceError(s, err)
	}
	l.fingerprint = hex.EncodeToString(l.sum.Sum(nil))
	return &l.State, nil
}

// looking is the state of one Look.
type looking struct {
	State
	sum         hash.Hash
	dirs, files []Watched
	above       Watched // the directory that the source is in
	entries     int
}

func (l *looking) tar() error {
	var st unix.Stat_t
	if err := ignoreEINTR(func() error { return unix.Stat(l.Source.Path, &st) }); err != nil {
		return pathError("stat", l.Source.Path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return errKind
	}
	l.add("", &st)
	l.Watch = []Watched{{l.Source.Path, &st}}
	return nil
}

func (l *looking) tree() error {
	top := watched(l.Source.Path)
	l.above = watched(filepath.Dir(l.Source.Path))
	err := walk(l.Source.Path, func(e *entry) error {
		l.add(e.rel, &e.st)
		l.note(e)
		return nil
	})
	if err != nil {
		return err
	}
	l.Watch = l.dirs
	if l.entries <= maxWatch {
		l.Watch = append(l.Watch, l.files...)
	}
	if len(l.Watch) == 0 { // a fifo: what a stat of it says
		l.Watch = []Watched{top}
	}
	return nil
}

// watched is a path as it is now.
func watched(path string) Watched {
	var st unix.Stat_t
	if ignoreEINTR(func() error { return unix.Stat(path, &st) }) != nil {
		return Watched{Path: path}
	}
	return Watched{path, &st}
}

// checkTop refuses trees that have no end: what is unpacked of them would be in them.
func (m *Maker) checkTop(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil //nolint:nilerr // the walk says more
	}
	for _, s := range m.Stores {
		root, err := filepath.EvalSymlinks(s.Root())
		if err != nil {
			root = s.Root()
		}
		if real == "/" || root == real || strings.HasPrefix(root, real+"/") {
			return &refusal{"it holds " + root + ", where the layers are kept", "name the files and directories in it that the app needs"}
		}
	}
	return nil
}

// add puts what tells two states of an entry apart into the fingerprint.
func (l *looking) add(rel string, st *unix.Stat_t) {
	fmt.Fprintf(l.sum, "%q %d %d %o %d:%d %d %d %d\n", rel, st.Dev, st.Ino, st.Mode, st.Uid, st.Gid, st.Size, st.Mtim.Nano(), st.Ctim.Nano())
}

// note remembers an entry to watch. A link cannot change but by its directory, and a start, which follows links, sees it
// there alone.
func (l *looking) note(e *entry) {
	l.entries++
	st := e.st
	w := Watched{filepath.Join(l.Source.Path, e.rel), &st}
	switch e.st.Mode & unix.S_IFMT {
	case unix.S_IFLNK:
		if e.rel == "." {
			l.dirs = append(l.dirs, l.above)
		}
	case unix.S_IFDIR:
		if len(l.dirs) < maxWatch {
			l.dirs = append(l.dirs, w)
		}
	case unix.S_IFREG:
		if len(l.files) < maxWatch {
			l.files = append(l.files, w)
		}
	}
}

// entry is one file of a tree of the host.
type entry struct {
	parent *os.File // it is reached by this and name only
	name   string
	rel    string // to the top of the tree, "." for that itself
	st     unix.Stat_t
}

// walk visits a tree, parents first and each directory in the order of its
// names, and follows no link below its top: others may write to what root has
// included. Links on the way to the top are the caller's.
func walk(top string, visit func(*entry) error) error {
	// Its directory need not be readable.
	parent, err := os.OpenFile(filepath.Dir(top), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	return walkEntry(&entry{parent: parent, name: filepath.Base(top), rel: "."}, top, visit)
}

func walkEntry(e *entry, path string, visit func(*entry) error) error {
	err := ignoreEINTR(func() error {
		return unix.Fstatat(int(e.parent.Fd()), e.name, &e.st, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		return pathError("stat", path, err)
	}
	if err := visit(e); err != nil {
		return err
	}
	if e.st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	dir, err := openAt(e, path, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return pathError("read", path, err)
	}
	slices.Sort(names)
	for _, name := range names {
		sub := &entry{parent: dir, name: name, rel: filepath.Join(e.rel, name)}
		if err := walkEntry(sub, filepath.Join(path, name), visit); err != nil {
			return err
		}
	}
	return nil
}

// openAt opens an entry for reading if it still is no link.
func openAt(e *entry, path string, flags int) (*os.File, error) {
	var fd int
	err := ignoreEINTR(func() (err error) {
		fd, err = unix.Openat(int(e.parent.Fd()), e.name, flags|unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		return err
	})
	if err != nil {
		return nil, pathError("open", path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func ignoreEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}
