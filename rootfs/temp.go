package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tempData is the directory inside a temporary one that its owner works in.
// The lock is on the outer one, so that the inner one can be renamed away (as
// a layer, say) without carrying the lock along.
const tempData = "d"

// Temp is a directory for unfinished work inside the store, and thus on the
// same file system as what it is to become. It belongs to this process: a lock
// on it, which dies with the process, keeps others from sweeping it.
type Temp struct {
	store *Store
	outer string
	lock  *os.File
}

// Temp makes an empty temporary directory, mode 0755, whose name begins with
// prefix (letters, digits and dashes). The caller closes it.
func (s *Store) Temp(prefix string) (*Temp, error) {
	if prefix == "" || strings.ContainsAny(prefix, "/.") || strings.HasPrefix(prefix, lockPrefix) {
		return nil, fmt.Errorf("make temporary directory: prefix %q: %w", prefix, ErrBadName)
	}
	if err := makeDir(s.path(tmpDir), 0o700); err != nil {
		return nil, fmt.Errorf("make temporary directory: %w", err)
	}
	for {
		outer, err := os.MkdirTemp(s.path(tmpDir), prefix+"-")
		if err != nil {
			return nil, fmt.Errorf("make temporary directory: %w", err)
		}
		lock, err := s.claim(outer)
		if err != nil {
			return nil, fmt.Errorf("make temporary directory: %w", err)
		}
		if lock == nil { // a sweeper was faster than our lock
			continue
		}
		t := &Temp{store: s, outer: outer, lock: lock}
		if err := makeDir(t.Dir(), 0o755); err != nil {
			return nil, errors.Join(fmt.Errorf("make temporary directory: %w", err), t.Close())
		}
		return t, nil
	}
}

// claim locks a fresh directory; nil says that it is gone or being swept.
func (s *Store) claim(outer string) (*os.File, error) {
	f, err := openDirAt(unix.AT_FDCWD, outer)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ok, err := tryLock(f, unix.LOCK_EX)
	if err == nil && ok && isAt(f, outer) {
		return f, nil
	}
	f.Close()
	return nil, err
}

// Dir is the directory to work in. It may be renamed away, [Store.CommitLayer]
// does so; it may also hold several things to be renamed away one by one.
func (t *Temp) Dir() string { return filepath.Join(t.outer, tempData) }

// Lock is the open file that keeps others from sweeping the directory, which
// it is a handle of. A program that takes this process's place inherits it.
func (t *Temp) Lock() *os.File { return t.lock }

// Close removes what is left and gives up the lock. It may be called twice.
func (t *Temp) Close() error {
	if t.lock == nil {
		return nil
	}
	err := t.store.RemoveTree(t.outer)
	t.lock.Close()
	t.lock = nil
	return err
}

// SweepTemp removes what crashed writers left in tmp/: everything whose lock
// nobody holds. It says how many things it removed. It may run at any time.
func (s *Store) SweepTemp() (n int, err error) {
	err = s.eachStale(func(path string, _ *os.File) error {
		if err := s.RemoveTree(path); err != nil {
			return err
		}
		n++
		return nil
	})
	return n, err
}

// StaleTemp lists what [Store.SweepTemp] would remove.
func (s *Store) StaleTemp() ([]string, error) {
	var paths []string
	err := s.eachStale(func(path string, _ *os.File) error {
		paths = append(paths, path)
		return nil
	})
	return paths, err
}

// eachStale calls do for each entry of tmp/ that has no owner, holding the
// entry's lock meanwhile. One that cannot be dealt with does not keep the
// others from their turn.
func (s *Store) eachStale(do func(path string, lock *os.File) error) error {
	entries, err := os.ReadDir(s.path(tmpDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep temporary directory: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !s.ours(e.Name(), e.IsDir()) {
			continue
		}
		path := s.path(tmpDir, e.Name())
		f, err := openStale(path, e)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && f != nil {
			ok, lockErr := tryLock(f, unix.LOCK_EX)
			err = lockErr
			if ok && isAt(f, path) {
				err = do(path, f)
			}
		} else if err == nil {
			err = do(path, nil)
		}
		if f != nil {
			f.Close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("sweep %q: %w", path, err))
		}
	}
	return errors.Join(errs...)
}

// openStale opens an entry of tmp/ for locking; nil for what no writer of ours
// makes (a link, a socket), which has no owner.
func openStale(path string, e fs.DirEntry) (*os.File, error) {
	flags := unix.O_RDONLY | unix.O_NONBLOCK
	switch {
	case e.IsDir():
		flags |= unix.O_DIRECTORY
	case !e.Type().IsRegular():
		return nil, nil
	}
	fd, err := openAt(unix.AT_FDCWD, path, flags)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}
