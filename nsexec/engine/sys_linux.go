package engine

import (
	"errors"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// currentUmask reads the umask. The kernel only tells it by taking a new one; no other goroutine makes files
// while a container is being prepared.
func currentUmask() uint32 {
	old := unix.Umask(0o077)
	unix.Umask(old)
	return uint32(old)
}

// queuedInfo is siginfo_t as rt_sigqueueinfo(2) takes it; the kernel reads 128 bytes.
type queuedInfo struct {
	signo, errno, code int32
	_                  int32 // 64-bit kernels align the union
	pid                int32
	uid                uint32
	value              uint64
	_                  [96]byte
}

const siQueue = -1 // SI_QUEUE

// queue sends a signal with a value.
func queue(pid int, sig syscall.Signal, value uint64) error {
	info := queuedInfo{signo: int32(sig), code: siQueue, pid: int32(unix.Getpid()),
		uid: uint32(unix.Getuid()), value: value}
	_, _, errno := unix.Syscall(unix.SYS_RT_SIGQUEUEINFO, uintptr(pid), uintptr(sig), uintptr(unsafe.Pointer(&info)))
	if errno != 0 {
		return errno
	}
	return nil
}

// lock takes an exclusive lock on an open directory. Without wait, a lock that somebody holds is EWOULDBLOCK.
func lock(dir *os.File, wait bool) error {
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		err := unix.Flock(int(dir.Fd()), how)
		if !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("flock", err)
		}
	}
}

// foreground tells whether we are the job that the caller's terminal talks to.
func foreground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
