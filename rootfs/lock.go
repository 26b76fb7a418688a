package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

const (
	lockPrefix = "lock-"

	// A waiting writer looks again after these times: a lock is held for as
	// long as a layer takes to download, so half a second more never shows.
	lockPollMin = 5 * time.Millisecond
	lockPollMax = 250 * time.Millisecond
)

// Writing announces a writer: from now on until done is called no collection
// removes anything. Whoever makes an image reachable in several steps holds it
// from the first look at what is there ([Store.HasLayer]) to the last
// [Store.SetRef] or the registration that pins the image; otherwise a
// collection in between takes the layers that nothing names yet. Any number of
// writers may hold it. It waits for a running collection until ctx ends, and
// then returns an error that wraps [ErrBusy]. done may be called twice. The
// lock dies with the process.
func (s *Store) Writing(ctx context.Context) (done func(), err error) {
	return s.lockStore(ctx, unix.LOCK_SH)
}

// Collecting is the counterpart of [Store.Writing]: it waits until no writer
// is left and keeps new ones waiting. Starts are not kept waiting: they hold
// the layers they use instead, see [Store.RetireLayer].
func (s *Store) Collecting(ctx context.Context) (done func(), err error) {
	return s.lockStore(ctx, unix.LOCK_EX)
}

// lockStore locks the directory tmp/: only the store's owner can open it, so
// no other user can keep the owner waiting.
func (s *Store) lockStore(ctx context.Context, how int) (func(), error) {
	if err := makeDir(s.path(tmpDir), 0o700); err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	f, err := openDirAt(unix.AT_FDCWD, s.path(tmpDir))
	if err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	if err := waitLock(ctx, f, how); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock store %q: %w", s.root, err)
	}
	return func() { f.Close() }, nil
}

// LockLayer makes the caller the only one, among all processes, that works on
// key (a layer's digest, say) until unlock is called: two pulls of the same
// layer fetch it once, the second finds it there. It waits until ctx ends, and
// then returns an error that wraps [ErrBusy]. unlock may be called twice. The
// lock dies with the process, and its file in tmp/ is swept.
func (s *Store) LockLayer(ctx context.Context, key string) (unlock func(), err error) {
	path := s.path(tmpDir, lockPrefix+digest.FromString(key).Encoded())
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			if err := makeDir(filepath.Dir(path), 0o700); err != nil {
				return nil, fmt.Errorf("lock layer: %w", err)
			}
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("lock layer: %w", err)
		}
		if err := waitLock(ctx, f, unix.LOCK_EX); err != nil {
			f.Close()
			return nil, fmt.Errorf("lock layer %s: %w", key, err)
		}
		if !isAt(f, path) { // the one before us removed the file it held
			f.Close()
			continue
		}
		released := false
		return func() {
			if released {
				return
			}
			released = true
			// Removed while still held: whoever waits on this inode finds
			// out by isAt and opens the next one.
			_ = os.Remove(path)
			f.Close()
		}, nil
	}
}

// waitLock polls, since a blocked flock cannot be interrupted by a context.
func waitLock(ctx context.Context, f *os.File, how int) error {
	for wait := lockPollMin; ; wait = min(2*wait, lockPollMax) {
		ok, err := tryLock(f, how)
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
		case <-time.After(wait):
		}
	}
}

// tryLock takes the flock or says false when somebody else has it.
func tryLock(f *os.File, how int) (bool, error) {
	err := retryEINTR(func() error { return unix.Flock(int(f.Fd()), how|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return true, nil
}

// isAt says whether the open file is still what path names: a lock on a file
// that was removed or moved meanwhile protects nothing.
func isAt(f *os.File, path string) bool {
	var a, b unix.Stat_t
	if unix.Fstat(int(f.Fd()), &a) != nil || unix.Lstat(path, &b) != nil {
		return false
	}
	return a.Dev == b.Dev && a.Ino == b.Ino
}
