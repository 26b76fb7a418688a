package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// maxHeld bounds what is remembered of the xattrs of one layer: they come from
// the tar, and a hostile one could fill the memory with them.
const maxHeld = 16 << 20

var errTooMuch = errors.New("too many extended attributes that cannot be kept")

// Owner is what the image says about one entry and what the tree cannot say.
// It is the record that the store keeps beside the layer (rootfs.Owner).
type Owner struct {
	Path     string // relative and clean, "." for the root
	UID, GID int
	Mode     uint32 // st_mode, where it is not the one on disk, else 0
	Xattrs   map[string]string
}

// note is what one header says beyond what the library gets to do.
type note struct {
	uid, gid int
	xattrs   map[string]string
	mode     uint32
	// wide: the entry is made with more rights for its owner than mode has,
	// so that work below it or on it can go on; Finish takes them away.
	wide bool
	// check: the kernel may refuse to set the set-group-id bit, silently.
	check bool
}

// holdings are the notes by inode: entries still move (see Settle), and have
// several names.
type holdings struct{ byInode map[uint64]*note }

// note remembers what the caller cannot give an entry, and alters the header to
// what he can. target is the other name of a hard link.
func (u *unpacking) note(hdr *tar.Header, name, target string) error {
	n := &note{uid: hdr.Uid, gid: hdr.Gid, mode: uint32(hdr.Mode) & 0o7777}
	n.check = n.mode&unix.S_ISGID != 0
	user := u.takeXattrs(hdr, n)
	switch hdr.Typeflag {
	case tar.TypeDir:
		n.widen(hdr, 0o700)
	case tar.TypeLink:
		// The same file: what the last header says of it counts, as it does
		// where the library sets it. Its xattrs are there already.
		for _, key := range user {
			delete(hdr.PAXRecords, key)
		}
		if old, ok := u.notes[target]; ok {
			n.xattrs = old.xattrs
			u.keep(target, n)
		} else if n.lasting() {
			u.keep(target, n)
		}
	case tar.TypeSymlink:
		n.mode, n.check = 0, false
	default:
		if len(user) > 0 {
			n.widen(hdr, 0o200) // to set a user xattr is to write
		}
	}
	u.keep(name, n)
	if u.heldBytes > maxHeld {
		return errTooMuch
	}
	return nil
}

func (u *unpacking) keep(name string, n *note) {
	if n.lasting() {
		u.notes[name] = n
	} else {
		delete(u.notes, name)
	}
}

// lasting says that there is something to do or to tell.
func (n *note) lasting() bool {
	return n.uid != 0 || n.gid != 0 || len(n.xattrs) > 0 || n.wide || n.check
}

func (n *note) widen(hdr *tar.Header, rights uint32) {
	if n.mode&rights != rights {
		hdr.Mode |= int64(rights)
		n.wide = true
	}
}

// takeXattrs takes from the header what the kernel gives no meaning or refuses
// when a user sets it. ACLs count to that: the ids in them are the image's, and
// would be other users of this host. It gives the keys of those that stay.
func (u *unpacking) takeXattrs(hdr *tar.Header, n *note) (user []string) {
	for key, value := range hdr.PAXRecords {
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok {
			continue
		}
		if strings.HasPrefix(name, "user.") {
			user = append(user, key)
			continue
		}
		if n.xattrs == nil {
			n.xattrs = map[string]string{}
		}
		n.xattrs[name] = value
		u.heldBytes += len(name) + len(value)
		delete(hdr.PAXRecords, key)
	}
	return user
}

// hold finds the inode of each entry that has a note.
func (u *unpacking) hold(t *tree) error {
	u.held = &holdings{byInode: make(map[uint64]*note, len(u.notes))}
	var dir *os.File
	defer func() { closeIf(dir) }()
	at := ""
	for _, name := range slices.Sorted(maps.Keys(u.notes)) {
		if parent := path.Dir(name); dir == nil || parent != at {
			closeIf(dir)
			var err error
			dir, err = t.open(parent)
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
				dir = nil // a later entry of the layer replaced it
				continue
			}
			if err != nil {
				return err
			}
			at = parent
		}
		var st unix.Stat_t
		err := unix.Fstatat(int(dir.Fd()), path.Base(name), &st, unix.AT_SYMLINK_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "fstatat", Path: name, Err: err}
		}
		u.held.byInode[st.Ino] = u.notes[name]
	}
	u.notes = nil
	return nil
}

func closeIf(f *os.File) {
	if f != nil {
		f.Close()
	}
}

// Finish gives the entries of a layer that was unpacked with Rootless the modes
// that were put off, and lists what of the image could not be kept, sorted by
// path: what is not listed belongs to 0:0 and is as the image has it. res is
// what Layer returned; Settle comes before. For a layer unpacked as root it
// does nothing.
//
// The root of the layer stays open to its owner whatever the image says, since
// a start has to open it; its mode is in the list then.
func Finish(dir string, res *Result) ([]Owner, error) {
	if res.held == nil || len(res.held.byInode) == 0 {
		return nil, nil
	}
	t, err := openTree(dir)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	f := finishing{holdings: res.held}
	if err := f.dir(t.root, "."); err != nil {
		return nil, fmt.Errorf("finish layer: %w", err)
	}
	slices.SortFunc(f.owners, func(a, b Owner) int { return strings.Compare(a.Path, b.Path) })
	return f.owners, nil
}

type finishing struct {
	*holdings
	owners []Owner
}

// dir works on what is below first: it may be out of reach afterwards.
func (f *finishing) dir(dir *os.File, rel string) error {
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := f.entry(dir, name, path.Join(rel, name)); err != nil {
			return err
		}
	}
	if rel != "." {
		return nil
	}
	return f.settle(dir, ".", ".")
}

func (f *finishing) entry(dir *os.File, name, rel string) error {
	mode, _, err := kind(dir, name)
	if err != nil {
		return &os.PathError{Op: "stat", Path: rel, Err: err}
	}
	if mode == unix.S_IFDIR {
		sub, err := openAt(dir, name)
		if err != nil {
			return err
		}
		defer sub.Close()
		if err := f.dir(sub, rel); err != nil {
			return err
		}
	}
	return f.settle(dir, name, rel)
}

// settle does what is left for one entry, and records it.
func (f *finishing) settle(dir *os.File, name, rel string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: rel, Err: err}
	}
	n, ok := f.byInode[st.Ino]
	if !ok {
		return nil
	}
	want := n.mode
	if rel == "." {
		want |= 0o500
	}
	if n.wide && st.Mode&0o7777 != want {
		if err := chmodAt(dir, name, want); err != nil {
			return err
		}
	}
	o := Owner{Path: rel, UID: n.uid, GID: n.gid, Xattrs: n.xattrs}
	if n.wide || n.check {
		if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &os.PathError{Op: "stat", Path: rel, Err: err}
		}
		if st.Mode&0o7777 != n.mode {
			o.Mode = st.Mode&unix.S_IFMT | n.mode
		}
	}
	if o.UID != 0 || o.GID != 0 || o.Mode != 0 || len(o.Xattrs) > 0 {
		f.owners = append(f.owners, o)
	}
	return nil
}

// chmodAt changes the mode of an entry that is no symlink.
func chmodAt(dir *os.File, name string, mode uint32) error {
	var fd int
	err := ignoreEINTR(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err == nil {
		err = unix.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), mode)
		unix.Close(fd)
	}
	if err != nil {
		return &os.PathError{Op: "chmod", Path: path.Join(dir.Name(), name), Err: err}
	}
	return nil
}
