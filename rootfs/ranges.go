package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Layers with the owners that their images give them lie in a store inside of
// an ordinary user's store: ids that are not his own can be given to files, and
// such files be removed, only inside a user namespace that maps them. Who works
// on it is root there; see FORMAT.md.

// rangesDir is that store below the root.
const rangesDir = "ranges"

// RangeLayerDir is where a layer with the owners of its image is or would be.
// Its root can be opened from outside the namespace, what lies below perhaps not.
func (s *Store) RangeLayerDir(id string) string { return s.path(rangesDir, layersDir, escape(id)) }

// HasRangeLayer says whether it is there, complete.
func (s *Store) HasRangeLayer(id string) bool {
	fi, err := os.Lstat(s.RangeLayerDir(id))
	return checkID(id) == nil && err == nil && fi.IsDir()
}

// HasRanges says whether there is anything of that form, and if so [StrayRanges]
// and SweepRanges have something to look at.
func (s *Store) HasRanges() bool {
	_, err := os.Lstat(s.path(rangesDir))
	return err == nil
}

// StrayRanges lists the layers with owners whose plain form is gone: nothing
// needs them any more.
func (s *Store) StrayRanges() ([]string, error) {
	ids, err := s.list(filepath.Join(rangesDir, layersDir))
	if err != nil {
		return nil, fmt.Errorf("list layers with owners: %w", err)
	}
	return slices.DeleteFunc(ids, s.HasLayer), nil
}

// RangeTemp is [Store.Temp] for a start with a range of ids, beside the layers of
// that form. Whoever is the store's owner outside of the namespace can make it;
// what lies in it when its start was killed only SweepRanges removes.
func (s *Store) RangeTemp(prefix string) (*Temp, error) {
	return (&Store{root: s.path(rangesDir)}).Temp(prefix)
}

// StaleRangeTemp lists what of that has no owner any more.
func (s *Store) StaleRangeTemp() ([]string, error) {
	return (&Store{root: s.path(rangesDir)}).StaleTemp()
}

// MaxID is the highest uid or gid that a layer of an ordinary user's store has
// in its image.
func (s *Store) MaxID(id string) (int, error) {
	owners, err := s.Owners(id)
	if err != nil {
		return 0, err
	}
	highest := 0
	for _, o := range owners {
		highest = max(highest, o.UID, o.GID)
	}
	return highest, nil
}

// ranges opens the store inside, for root of a user namespace in which the
// store's owner is 0. It is the user's alone, so nothing in it is divided.
func (s *Store) ranges() (*Store, error) {
	if os.Geteuid() != 0 || !Privileged() {
		return nil, errors.New("open layers with owners: only inside a user namespace with a range of ids")
	}
	// Nobody else has anything to look for here: set-uid programs lie there as the images have them.
	if err := os.Mkdir(s.path(rangesDir), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make directory of layers with owners: %w", err)
	}
	in, err := Create(s.path(rangesDir))
	if err != nil {
		return nil, err
	}
	in.whole = true
	return in, nil
}

// MakeRange makes the form with owners of a layer, from its plain form and what
// is recorded about it. It is a copy: a file has but one owner. The errors are
// those of [Store.Owners] and of the file system; it is idempotent.
func (s *Store) MakeRange(ctx context.Context, id string) (err error) {
	in, err := s.ranges()
	if err != nil {
		return err
	}
	if in.HasLayer(id) {
		return nil
	}
	done, err := in.Writing(ctx)
	if err != nil {
		return err
	}
	defer done()
	unlock, err := in.LockLayer(ctx, id)
	if err != nil {
		return err
	}
	defer unlock()
	if in.HasLayer(id) {
		return nil
	}
	owners, err := s.Owners(id)
	if err != nil {
		return err
	}
	tmp, err := in.Temp("range")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tmp.Close()) }()
	dir := filepath.Join(tmp.Dir(), "layer")
	if err := copyOwned(s.LayerDir(id), dir, owners); err != nil {
		return fmt.Errorf("give layer %s its owners: %w", id[:12], err)
	}
	return in.CommitLayer(dir, id)
}

// SweepRangeTemp removes what StaleRangeTemp lists, and says how many things.
func (s *Store) SweepRangeTemp() (n int, err error) {
	in, err := s.ranges()
	if err != nil {
		return 0, err
	}
	return in.SweepTemp()
}

// SweepRanges removes layers with owners that nothing needs, unless a start
// uses them. What crashed work left goes with SweepRangeTemp.
func (s *Store) SweepRanges(ctx context.Context) (removed []string, err error) {
	in, err := s.ranges()
	if err != nil {
		return nil, err
	}
	done, err := in.Collecting(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	stray, err := s.StrayRanges()
	if err != nil {
		return nil, err
	}
	for _, id := range stray {
		ok, err := in.RetireLayer(id)
		if err != nil {
			return removed, err
		}
		if ok {
			removed = append(removed, id)
		}
	}
	return removed, nil
}

// copyOwned copies a tree and gives each entry what owners says: 0:0 if nothing.
func copyOwned(from, to string, owners []Owner) error {
	c := &ownedCopy{owners: make(map[string]Owner, len(owners)), links: map[uint64]string{}, to: to}
	for _, o := range owners {
		c.owners[o.Path] = o
	}
	src, err := openDirAt(unix.AT_FDCWD, from)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	parent, err := openDirAt(unix.AT_FDCWD, filepath.Dir(to))
	if err != nil {
		return err
	}
	defer parent.Close()
	return c.dir(src, parent, filepath.Base(to), ".")
}

type ownedCopy struct {
	owners map[string]Owner
	links  map[uint64]string // by inode: the first copy's path of a file with several names
	to     string
}

// dir fills the existing directory name of parent, and gives it its owner last: nothing has to be made in it then.
func (c *ownedCopy) dir(src, parent *os.File, name, rel string) error {
	dst, err := openDirAt(int(parent.Fd()), name)
	if err != nil {
		return err
	}
	defer dst.Close()
	names, err := src.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := c.entry(src, dst, n, filepath.Join(rel, n)); err != nil {
			return err
		}
	}
	if err := copyXattrs(src, dst, func(attr string) bool { return len(attr) > 5 && attr[:5] == "user." }); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: rel, Err: err}
	}
	return c.dress(int(parent.Fd()), name, rel, &st)
}

func (c *ownedCopy) entry(src, dst *os.File, name, rel string) error {
	from, to := int(src.Fd()), int(dst.Fd())
	var st unix.Stat_t
	if err := statAt(from, name, &st); err != nil {
		return &os.PathError{Op: "stat", Path: rel, Err: err}
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFDIR {
		if err := unix.Mkdirat(to, name, 0o700); err != nil {
			return &os.PathError{Op: "mkdir", Path: rel, Err: err}
		}
		sub, err := openDirAt(from, name)
		if err != nil {
			return err
		}
		defer sub.Close()
		return c.dir(sub, dst, name, rel)
	}
	if st.Nlink > 1 {
		if first, ok := c.links[st.Ino]; ok {
			if err := unix.Linkat(unix.AT_FDCWD, first, to, name, 0); err != nil {
				return &os.PathError{Op: "link", Path: rel, Err: err}
			}
			return nil
		}
		c.links[st.Ino] = filepath.Join(c.to, rel)
	}
	if err := copyEntry(from, to, name, kind, &st); err != nil {
		return &os.PathError{Op: "copy", Path: rel, Err: err}
	}
	return c.dress(to, name, rel, &st)
}

func copyEntry(from, to int, name string, kind uint32, st *unix.Stat_t) error {
	switch kind {
	case unix.S_IFREG:
		return copyFile(from, to, name)
	case unix.S_IFLNK:
		text, err := readlinkAt(from, name)
		if err != nil {
			return err
		}
		return unix.Symlinkat(text, to, name)
	case unix.S_IFIFO:
		return unix.Mkfifoat(to, name, 0o600)
	case unix.S_IFCHR:
		if st.Rdev == 0 { // a whiteout
			return unix.Mknodat(to, name, unix.S_IFCHR, 0)
		}
	}
	return fmt.Errorf("a layer holds no entry of type %#o", kind)
}

// dress gives owner, mode, recorded xattrs and times, in the order in which one does not undo the other.
func (c *ownedCopy) dress(dirfd int, name, rel string, st *unix.Stat_t) error {
	o := c.owners[rel]
	if err := unix.Fchownat(dirfd, name, o.UID, o.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: fmt.Sprintf("give to %d:%d", o.UID, o.GID), Path: rel, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		mode := st.Mode & 0o7777
		if o.Mode != 0 {
			mode = o.Mode & 0o7777
		}
		if rel == "." {
			mode |= 0o555 // every start opens it, from outside the namespace
		}
		if err := unix.Fchmodat(dirfd, name, mode, 0); err != nil {
			return &os.PathError{Op: "chmod", Path: rel, Err: err}
		}
	}
	for attr, value := range o.Xattrs {
		err := unix.Lsetxattr(fdPath(dirfd, name), attr, []byte(value), 0)
		// trusted.* and the labels of other systems mean nothing to a user, nor does a file system without ACLs fail for root.
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) {
			return &os.PathError{Op: "set xattr " + attr, Path: rel, Err: err}
		}
	}
	return unix.UtimesNanoAt(dirfd, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}
