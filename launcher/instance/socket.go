package instance

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// socketFile is where the terminal of a running app is to be had (attach).
const socketFile = "terminal"

// address is that of the socket, by the open directory: a path to it can be longer than an address may be.
func (i *Instance) address() *unix.SockaddrUnix {
	return &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", i.lock.Fd(), socketFile)}
}

func newSocket() (int, error) {
	return unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
}

// Serving says whether an app of the instance has a terminal. Unlike Connect it takes that from nobody: a socket of
// another type is refused in another way where somebody listens.
func (i *Instance) Serving() (bool, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, i.fail("connect to", err)
	}
	defer unix.Close(fd)
	err = unix.Connect(fd, i.address())
	switch {
	case errors.Is(err, unix.EPROTOTYPE):
		return true, nil
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ECONNREFUSED):
		return false, nil
	case err == nil:
		err = unix.EPROTOTYPE
	}
	return false, i.fail("connect to", err)
}

// Connect gives a connection to the terminal of the app that runs in the instance; nil if none does. Who
// was connected before loses it.
func (i *Instance) Connect() (*os.File, error) {
	fd, err := newSocket()
	if err != nil {
		return nil, i.fail("connect to", err)
	}
	err = unix.Connect(fd, i.address())
	if err == nil {
		return os.NewFile(uintptr(fd), socketFile), nil
	}
	unix.Close(fd)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, nil
	}
	return nil, i.fail("connect to", err)
}

// Listen makes the socket, in the place of one that nobody listens at any more. The caller holds the exclusive lock.
func (i *Instance) Listen() (*os.File, error) {
	if err := unix.Unlinkat(int(i.lock.Fd()), socketFile, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, i.fail("listen in", err)
	}
	fd, err := newSocket()
	if err != nil {
		return nil, i.fail("listen in", err)
	}
	if err = unix.Bind(fd, i.address()); err == nil {
		err = unix.Listen(fd, 8)
	}
	if err != nil {
		unix.Close(fd)
		return nil, i.fail("listen in", err)
	}
	return os.NewFile(uintptr(fd), socketFile), nil
}
