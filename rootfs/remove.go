package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// RetireLayer removes a layer that nothing is using, and all that belongs to
// it. Every start, every plan compilation and every [View] holds a shared lock
// on the layer directories it reads; where one is held the layer stays and
// removed is false. Otherwise the layer is gone from its place at once, and its
// content before the call returns; a crash in between leaves work for
// [Store.SweepTemp] and [Store.SweepLeftovers]. An absent layer gives an error
// that matches [fs.ErrNotExist].
func (s *Store) RetireLayer(id string) (removed bool, err error) {
	if err := checkID(id); err != nil {
		return false, fmt.Errorf("retire layer: %w", err)
	}
	dirs := []string{s.LayerDir(id)}
	if private := s.privateDir(id); exists(private) {
		dirs = append(dirs, private)
	}
	if removed, err = s.retire(dirs...); err != nil || !removed {
		return removed, err
	}
	return true, s.discard(s.OwnersFile(id))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// retire removes directories that belong together, the one that says that the
// others are there first, unless somebody holds a lock on one of them.
func (s *Store) retire(dirs ...string) (removed bool, err error) {
	var locked []*os.File
	defer func() { // the locks are held until the content is gone
		for _, f := range locked {
			f.Close()
		}
	}()
	for _, dir := range dirs {
		f, err := openOwn(dir)
		if err != nil {
			return false, fmt.Errorf("retire layer: %w", err)
		}
		locked = append(locked, f)
		if ok, err := tryLock(f, unix.LOCK_EX); err != nil || !ok {
			return false, err
		}
	}
	t, err := s.Temp("old-layer")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	for i, dir := range dirs {
		if _, err := makeMovable(locked[i]); err != nil {
			return false, fmt.Errorf("retire layer: %w", err)
		}
		if err := os.Rename(dir, filepath.Join(t.Dir(), fmt.Sprintf("%d-%s", i, filepath.Base(dir)))); err != nil {
			return false, fmt.Errorf("retire layer: %w", err)
		}
		if err := syncDir(filepath.Dir(dir)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// openOwn opens a directory of ours, whatever its mode.
func openOwn(dir string) (*os.File, error) {
	f, err := openDirAt(unix.AT_FDCWD, dir)
	if !errors.Is(err, fs.ErrPermission) {
		return f, err
	}
	unreadable, err := openUnreadable(unix.AT_FDCWD, dir)
	if err != nil {
		return nil, err
	}
	defer unreadable.Close()
	return openDirAt(unix.AT_FDCWD, dir)
}

// RemoveTree removes a file or a tree below the store's root; an absent one is
// success. It works from directory handle to directory handle and follows no
// link on the way, so that nothing an image contains can lead it astray. What
// the owner cannot read or write (a layer may hold directories of mode 0000)
// it makes so first.
func (s *Store) RemoveTree(path string) error {
	rel, err := filepath.Rel(s.root, path)
	if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, "../") {
		return fmt.Errorf("remove %q: it is not below the store", path)
	}
	parent, err := openBeneath(s.root, filepath.Dir(rel))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	defer parent.Close()
	if err := removeAt(int(parent.Fd()), filepath.Base(rel)); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return nil
}

// openBeneath opens a directory below root, refusing links.
func openBeneath(root, rel string) (*os.File, error) {
	f, err := openDirAt(unix.AT_FDCWD, root)
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(rel, "/") {
		next, err := openDirAt(int(f.Fd()), name)
		f.Close()
		if err != nil {
			return nil, err
		}
		f = next
	}
	return f, nil
}

// removeAt removes name, whatever it is.
func removeAt(dirfd int, name string) error {
	err := retryEINTR(func() error { return unix.Unlinkat(dirfd, name, 0) })
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return &os.PathError{Op: "unlink", Path: name, Err: err}
	}
	if err := emptyAt(dirfd, name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	err = retryEINTR(func() error { return unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR) })
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return &os.PathError{Op: "rmdir", Path: name, Err: err}
	}
	return nil
}

// emptyAt removes the content of a directory.
func emptyAt(dirfd int, name string) error {
	f, err := openDirAt(dirfd, name)
	if errors.Is(err, fs.ErrPermission) {
		var unreadable *os.File
		if unreadable, err = openUnreadable(dirfd, name); err != nil {
			return err
		}
		f, err = openDirAt(dirfd, name)
		unreadable.Close()
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.Mode()&0o300 != 0o300 {
		if err := f.Chmod(0o700); err != nil {
			return err
		}
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := removeAt(int(f.Fd()), n); err != nil {
			return err
		}
	}
	return nil
}

// openUnreadable gives a directory of ours the mode 0700 by way of a handle
// that needs no permission. A chmod by name could be led to another file.
func openUnreadable(dirfd int, name string) (*os.File, error) {
	fd, err := openAt(dirfd, name, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	if err := unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), 0o700); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "chmod", Path: name, Err: err}
	}
	return f, nil
}
