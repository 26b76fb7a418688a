package unpack

import (
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// tree is an unpacked layer, reached through handles only: its symlinks are the
// image's.
type tree struct {
	root *os.File
}

func openTree(dir string) (*tree, error) {
	root, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return &tree{root: root}, nil
}

func (t *tree) Close() error { return t.root.Close() }

// open opens a directory of the tree for reading. Symlinks are followed inside
// of the tree.
func (t *tree) open(unsafePath string) (*os.File, error) {
	h, err := pathrs.OpenatInRoot(t.root, unsafePath)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return pathrs.Reopen(h, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC)
}

// mkdirs opens a directory of the tree and makes what of its path is missing;
// made is told each such directory.
func (t *tree) mkdirs(unsafePath string, made func(string)) (*os.File, error) {
	dir, err := t.open(unsafePath)
	if !errors.Is(err, unix.ENOENT) {
		return dir, err
	}
	parent, err := t.mkdirs(path.Dir(unsafePath), made)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	err = keepTimes(parent, func() error {
		return unix.Mkdirat(int(parent.Fd()), path.Base(unsafePath), 0o755)
	})
	if err != nil {
		return nil, &os.PathError{Op: "mkdirat", Path: unsafePath, Err: err}
	}
	made(unsafePath)
	return openAt(parent, path.Base(unsafePath))
}

// openAt opens a subdirectory of dir that is no symlink.
func openAt(dir *os.File, name string) (*os.File, error) {
	var fd int
	err := ignoreEINTR(func() (err error) {
		fd, err = unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat", Path: path.Join(dir.Name(), name), Err: err}
	}
	return os.NewFile(uintptr(fd), path.Join(dir.Name(), name)), nil
}

// kind is the file type bits of an entry, 0 if there is none, and whether it
// is a whiteout.
func kind(dir *os.File, name string) (mode uint32, whiteout bool, err error) {
	var st unix.Stat_t
	err = unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return 0, false, nil
	}
	mode = st.Mode & unix.S_IFMT
	switch {
	case err != nil:
	case mode == unix.S_IFCHR:
		whiteout = st.Rdev == 0
	case mode == unix.S_IFREG && st.Size == 0:
		whiteout = hasWhiteoutXattr(dir, name)
	}
	return mode, whiteout, err
}

func hasWhiteoutXattr(dir *os.File, name string) bool {
	_, err := unix.Lgetxattr(fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name), whiteoutXattr, nil)
	return err == nil
}

// rename moves an entry into another directory of the same tree. If there is
// one of that name already, directories are merged; else the one that is there
// stays, unless it is a whiteout, which was meant for lower layers only.
func rename(from *os.File, name string, to *os.File, newName string) error {
	err := unix.Renameat2(int(from.Fd()), name, int(to.Fd()), newName, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	fromKind, _, err := kind(from, name)
	if err != nil {
		return err
	}
	toKind, whiteout, err := kind(to, newName)
	if err != nil {
		return err
	}
	switch {
	case fromKind == unix.S_IFDIR && toKind == unix.S_IFDIR:
		return merge(from, name, to, newName)
	case whiteout:
		if err := unix.Unlinkat(int(to.Fd()), newName, 0); err != nil {
			return err
		}
		if err := unix.Renameat2(int(from.Fd()), name, int(to.Fd()), newName, unix.RENAME_NOREPLACE); err != nil || fromKind != unix.S_IFDIR {
			return err
		}
		dir, err := openAt(to, newName)
		if err != nil {
			return err
		}
		defer dir.Close()
		return setOpaque(dir, opaqueYes)
	default:
		return removeAll(from, name)
	}
}

func merge(from *os.File, name string, to *os.File, newName string) error {
	src, err := openAt(from, name)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := openAt(to, newName)
	if err != nil {
		return err
	}
	defer dst.Close()
	names, err := src.Readdirnames(-1)
	if err != nil {
		return err
	}
	err = keepTimes(dst, func() error {
		for _, n := range names {
			if err := rename(src, n, dst, n); err != nil {
				return fmt.Errorf("move %q: %w", n, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if mark := opaqueOf(src); mark != 0 {
		if err := setOpaque(dst, mark); err != nil {
			return err
		}
	}
	return unix.Unlinkat(int(from.Fd()), name, unix.AT_REMOVEDIR)
}

func removeAll(from *os.File, name string) error {
	err := unix.Unlinkat(int(from.Fd()), name, 0)
	if !errors.Is(err, unix.EISDIR) {
		return err
	}
	dir, err := openAt(from, name)
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := removeAll(dir, n); err != nil {
			return err
		}
	}
	return unix.Unlinkat(int(from.Fd()), name, unix.AT_REMOVEDIR)
}

// keepTimes runs f, which alters dir, and gives dir its times back: they are
// part of what a layer says.
func keepTimes(dir *os.File, f func() error) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return setTimes(dir, st.Atim, st.Mtim)
}

func setTimes(f *os.File, atime, mtime unix.Timespec) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), []unix.Timespec{atime, mtime}, 0)
}

func ignoreEINTR(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
