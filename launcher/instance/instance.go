package instance

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The names in an instance's directory.
const (
	configFile  = "config"
	stateFile   = "state"
	writableDir = "writable"
	instances   = "instances"
)

// maxConfig bounds what a reader takes into memory.
const maxConfig = 1 << 20

// Instance is the directory of one instance, open and locked.
type Instance struct {
	Name
	// Fresh says that Enter has made it.
	Fresh bool
	path  string
	lock  *os.File
}

// Lock kinds for Enter.
const (
	Shared    = unix.LOCK_SH // who enters the instance, until he is in
	Exclusive = unix.LOCK_EX // who starts or removes it
)

// Enter opens the instance below the store at root and waits for its lock; with create it is made if it is not there,
// else an absent one is a *NotFoundError. The caller closes it.
func Enter(root string, n Name, how int, create bool) (*Instance, error) {
	file, err := n.file()
	if err != nil {
		return nil, err
	}
	in := &Instance{Name: n, path: filepath.Join(root, instances, file)}
	if err := checkDir(filepath.Join(root, instances), create); err != nil {
		return nil, in.fail("open", err)
	}
	for {
		err := in.open()
		if errors.Is(err, unix.ENOENT) {
			if !create {
				return nil, &NotFoundError{n.String()}
			}
			if err = unix.Mkdir(in.path, 0o700); err == nil {
				in.Fresh = true
			} else if !errors.Is(err, unix.EEXIST) {
				return nil, in.fail("make", err)
			}
			continue
		}
		if err != nil {
			return nil, in.fail("open", err)
		}
		if err := in.Relock(how); err != nil {
			in.Close()
			return nil, err
		}
		if in.still() {
			return in, nil
		}
		in.Close() // it was removed while we waited
		in.Fresh = false
	}
}

// checkDir refuses a directory of instances that is not the caller's own.
func checkDir(dir string, create bool) error {
	f, err := openDir(dir)
	if errors.Is(err, unix.ENOENT) && create {
		if err := unix.Mkdir(dir, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		f, err = openDir(dir)
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// openDir opens a directory that only the caller can have made.
func openDir(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
		return nil, &UnsafeError{path, "it is a symbolic link or no directory"}
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	if err := checkOwner(f, unix.S_IFDIR); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// checkOwner refuses what another user made or may write to. Kept instances are nobody else's business: not root's
// store, either, which others only read.
func checkOwner(f *os.File, kind uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return err
	}
	switch {
	case st.Mode&unix.S_IFMT != kind:
		return &UnsafeError{f.Name(), "it is of another kind than we make"}
	case int(st.Uid) != os.Geteuid():
		return &UnsafeError{f.Name(), fmt.Sprintf("it belongs to user %d", st.Uid)}
	case st.Mode&0o022 != 0:
		return &UnsafeError{f.Name(), fmt.Sprintf("its mode %04o lets others write", st.Mode&0o7777)}
	}
	return nil
}

func (i *Instance) open() (err error) {
	i.lock, err = openDir(i.path)
	return err
}

// still says that the open directory is what the path names.
func (i *Instance) still() bool {
	var a, b unix.Stat_t
	return unix.Fstat(int(i.lock.Fd()), &a) == nil && unix.Lstat(i.path, &b) == nil && a.Dev == b.Dev && a.Ino == b.Ino
}

// Relock changes the kind of lock, and may have let go of it in between.
func (i *Instance) Relock(how int) error {
	for {
		err := unix.Flock(int(i.lock.Fd()), how)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return i.fail("lock", err)
		}
	}
}

// Lock is the open directory, with the lock on it.
func (i *Instance) Lock() *os.File { return i.lock }

// Path is the directory.
func (i *Instance) Path() string { return i.path }

// Close gives up the lock, unless somebody has inherited it.
func (i *Instance) Close() { i.lock.Close() }

func (i *Instance) fail(op string, err error) error {
	var unsafe *UnsafeError
	if errors.As(err, &unsafe) {
		return err
	}
	return &AccessError{op, i.path, err}
}

// file opens a file of the instance; nil if it is not there.
func (i *Instance) file(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(i.lock.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	path := filepath.Join(i.path, name)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.EISDIR) {
		return nil, &UnsafeError{path, "it is a symbolic link or a directory"}
	}
	if err != nil {
		return nil, i.fail("open", err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := checkOwner(f, unix.S_IFREG); err != nil {
		f.Close()
		return nil, i.fail("open", err)
	}
	return f, nil
}

// Config reads what the instance was made from; nil if it never was.
func (i *Instance) Config() (*Config, error) {
	f, err := i.file(configFile, unix.O_RDONLY)
	if f == nil || err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, i.fail("read", err)
	}
	b := make([]byte, min(st.Size(), maxConfig))
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, i.fail("read", err)
	}
	c, err := decodeConfig(b)
	if err == nil && c.Name != i.Name {
		err = errDamaged
	}
	if err != nil {
		return nil, i.fail("read", err)
	}
	return c, nil
}
