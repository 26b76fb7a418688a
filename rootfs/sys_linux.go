package rootfs

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// retryEINTR repeats a system call that a signal interrupted.
func retryEINTR(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// openAt opens one name below dirfd. The name's own last component is never
// followed when it is a link.
func openAt(dirfd int, name string, flags int) (int, error) {
	fd := -1
	err := retryEINTR(func() (err error) {
		fd, err = unix.Openat(dirfd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		return err
	})
	return fd, err
}

// openDirAt opens a directory for reading and locking, not following a link.
func openDirAt(dirfd int, name string) (*os.File, error) {
	fd, err := openAt(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// statAt is lstat of one name below dirfd.
func statAt(dirfd int, name string, st *unix.Stat_t) error {
	return retryEINTR(func() error {
		return unix.Fstatat(dirfd, name, st, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// readlinkAt reads a link of any length the kernel allows.
func readlinkAt(dirfd int, name string) (string, error) {
	buf := make([]byte, 256)
	for {
		n, err := unix.Readlinkat(dirfd, name, buf)
		if err != nil {
			return "", err
		}
		if n < len(buf) {
			return string(buf[:n]), nil
		}
		buf = make([]byte, 4*len(buf))
	}
}

// syscallStat gives the stat in the type that fs.FileInfo.Sys promises. Both
// types are the kernel's struct stat; the array below does not compile where
// their sizes differ.
func syscallStat(st *unix.Stat_t) *syscall.Stat_t {
	var _ [unsafe.Sizeof(syscall.Stat_t{})]byte = [unsafe.Sizeof(unix.Stat_t{})]byte{}
	return (*syscall.Stat_t)(unsafe.Pointer(st))
}
