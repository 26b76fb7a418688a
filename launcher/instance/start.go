package instance

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Prepare makes ready what a start of the container needs, under the exclusive lock: the configuration is written, the
// state is empty and returned open, and with onDisk the directory of the writable part is there and returned open. What
// an earlier start has written stays if it belongs to the same images, else the error is a *StackError.
func (i *Instance) Prepare(c *Config, onDisk bool) (state, writable *os.File, err error) {
	if err := i.settled(); err != nil {
		return nil, nil, err
	}
	if err := i.matches(c); err != nil {
		return nil, nil, err
	}
	if err := i.write(configFile, c.encode()); err != nil {
		return nil, nil, i.fail("write", err)
	}
	if state, err = i.file(stateFile, unix.O_RDWR|unix.O_CREAT); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			state.Close()
		}
	}()
	if err := state.Truncate(0); err != nil {
		return nil, nil, i.fail("write", err)
	}
	if !onDisk {
		return state, nil, nil
	}
	dir := filepath.Join(i.path, writableDir)
	if err := unix.Mkdir(dir, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, nil, i.fail("make", err)
	}
	if writable, err = openDir(dir); err != nil {
		return nil, nil, i.fail("open", err)
	}
	return state, writable, nil
}

// matches compares with what the present content was written over, if there is any.
// Also a start that does not look at the writable part must not say that it belongs to other images.
func (i *Instance) matches(c *Config) error {
	var st unix.Stat_t
	err := unix.Fstatat(int(i.lock.Fd()), writableDir, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return i.fail("open", err)
	}
	old, err := i.Config()
	if err != nil {
		return err
	}
	if old == nil || !equal(old.Stack, c.Stack) {
		return &StackError{i.Name}
	}
	return nil
}

func equal(a, b []string) bool {
	if len(a) != len(b) {
		return false
	}
	for n := range a {
		if a[n] != b[n] {
			return false
		}
	}
	return true
}

// write replaces a file of the instance; it is whole or as it was before, also after a power cut.
func (i *Instance) write(name string, content []byte) (err error) {
	temp := name + ".new"
	dir := int(i.lock.Fd())
	if err := unix.Unlinkat(dir, temp, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	fd, err := unix.Openat(dir, temp, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), temp)
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = unix.Unlinkat(dir, temp, 0)
		return err
	}
	return unix.Renameat(dir, temp, dir, name)
}
