package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// upgradePatience is how long Create waits for writers to end; if they do not,
// the store is brought up to date by a later one.
const upgradePatience = 100 * time.Millisecond

// upgrade brings a store of format 1 up to date and says whether it could. In
// format 1 root's layers were closed and not divided: they are divided before
// they are opened. While a layer is in use the store stays as it is, and works
// as before, for root alone. A crash in between leaves images without a layer,
// which the next pull heals.
func (s *Store) upgrade() (done bool, err error) {
	if !Privileged() {
		return true, nil // an ordinary user's layers stay closed
	}
	ctx, cancel := context.WithTimeout(context.Background(), upgradePatience)
	defer cancel()
	free, err := s.Collecting(ctx)
	if errors.Is(err, ErrBusy) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer free()
	ids, err := s.Layers()
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		if ok, err := s.upgradeLayer(id); err != nil || !ok {
			return false, err
		}
	}
	return true, s.makeDirs(false)
}

func (s *Store) upgradeLayer(id string) (done bool, err error) {
	if _, err := os.Lstat(s.privateDir(id)); err == nil {
		return true, nil // made after the format changed, or by an upgrade that did not end
	}
	dir := s.LayerDir(id)
	f, err := openDirAt(unix.AT_FDCWD, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("upgrade layer: %w", err)
	}
	defer f.Close()
	if ok, err := tryLock(f, unix.LOCK_EX); err != nil || !ok {
		return false, err
	}
	t, err := s.Temp("upgrade")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	moved := filepath.Join(t.Dir(), id)
	if err := os.Rename(dir, moved); err != nil {
		return false, fmt.Errorf("upgrade layer: %w", err)
	}
	return true, s.CommitLayer(moved, id)
}
