package rootfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// CommitLayer makes tmpDir, a finished tree in overlay form, the layer id. It
// puts everything on disk first and renames then, so that the layer is there
// completely or not at all, after a power cut too. tmpDir must lie below the
// store's tmp/ (see [Store.Temp]) and is gone afterwards. Success means that
// the layer is there, not that this call brought it: where it exists already,
// tmpDir is discarded. On an error tmpDir is still the caller's, but what it
// holds may have been altered.
//
// In root's store what other users must not reach is divided from the rest,
// see [Store.LayerParts].
func (s *Store) CommitLayer(tmpDir, id string) error {
	return s.commit(tmpDir, id, nil, false)
}

// CommitLayerOwners is [Store.CommitLayer] for a layer that was unpacked by an
// ordinary user: owners is what could not be kept. It is there when the layer
// is, also if it is empty.
func (s *Store) CommitLayerOwners(tmpDir, id string, owners []Owner) error {
	return s.commit(tmpDir, id, owners, true)
}

func (s *Store) commit(tmpDir, id string, owners []Owner, withOwners bool) error {
	if err := checkID(id); err != nil {
		return fmt.Errorf("commit layer: %w", err)
	}
	if err := s.checkInTmp(tmpDir); err != nil {
		return fmt.Errorf("commit layer %s: %w", id, err)
	}
	if err := s.commitParts(tmpDir, id, owners, withOwners); err != nil {
		return fmt.Errorf("commit layer %s: %w", id, err)
	}
	return nil
}

func (s *Store) commitParts(tmpDir, id string, owners []Owner, withOwners bool) (err error) {
	t, err := s.Temp("commit")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	c := commit{Store: s, dir: tmpDir, id: id, private: filepath.Join(t.Dir(), "private")}
	if err := c.prepare(); err != nil {
		return err
	}
	beside := func() error { return nil }
	if withOwners {
		beside = func() error { return s.writeOwners(filepath.Join(t.Dir(), "owners"), id, owners) }
	}
	return c.locked(func() error { return c.place(beside) })
}

// commit is one layer on its way into its place.
type commit struct {
	*Store
	dir, id string
	private string // where what is root's alone lies, if there is any
	divided bool
}

// prepare does what takes time: nobody waits for it.
func (c *commit) prepare() error {
	if c.HasLayer(c.id) {
		return nil
	}
	if Privileged() && !c.whole {
		var err error
		if c.divided, err = separate(c.dir, c.private); err != nil {
			return err
		}
	}
	f, err := openDirAt(unix.AT_FDCWD, c.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := retryEINTR(func() error { return unix.Syncfs(int(f.Fd())) }); err != nil {
		return &os.PathError{Op: "syncfs", Path: c.dir, Err: err}
	}
	return nil
}

// locked lets only one writer at a time put the parts of a layer in place. The
// lock is held for some renames only.
func (c *commit) locked(do func() error) error {
	unlock, err := c.LockLayer(context.Background(), "commit "+c.id)
	if err != nil {
		return err
	}
	defer unlock()
	return do()
}

// place puts what belongs to the layer beside it first, and the layer last: it
// is the layer's directory that says that all is there.
func (c *commit) place(beside func() error) error {
	if c.HasLayer(c.id) {
		return c.RemoveTree(c.dir)
	}
	// What a crashed commit left does not belong to this one.
	for _, old := range []string{c.privateDir(c.id), c.OwnersFile(c.id)} {
		if err := c.discard(old); err != nil {
			return err
		}
	}
	if c.divided {
		if err := renameNew(c.private, c.privateDir(c.id)); err != nil {
			return err
		}
		if err := syncDir(c.path(privateDir)); err != nil {
			return err
		}
	}
	if err := beside(); err != nil {
		return err
	}
	f, err := openDirAt(unix.AT_FDCWD, c.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	restore, err := makeMovable(f)
	if err != nil {
		return err
	}
	err = renameNew(c.dir, c.LayerDir(c.id))
	if err := errors.Join(err, restore()); err != nil {
		return err
	}
	return syncDir(c.path(layersDir))
}

// checkInTmp refuses to move or remove anything but unfinished work.
func (s *Store) checkInTmp(dir string) error {
	rel, err := filepath.Rel(s.path(tmpDir), dir)
	if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, "../") {
		return fmt.Errorf("%q is not below %q", dir, s.path(tmpDir))
	}
	return nil
}

// makeMovable gives a directory the write permission that moving it to another
// parent needs where the mover is not root, and says how to take it back.
func makeMovable(f *os.File) (restore func() error, err error) {
	none := func() error { return nil }
	fi, err := f.Stat()
	if err != nil {
		return none, err
	}
	if os.Geteuid() == 0 || fi.Mode()&0o200 != 0 {
		return none, nil
	}
	if err := f.Chmod(fi.Mode() | 0o200); err != nil {
		return none, err
	}
	return func() error { return f.Chmod(fi.Mode()) }, nil
}
