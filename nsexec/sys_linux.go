package nsexec

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelSigaction is struct sigaction of rt_sigaction(2), as large as any architecture has it: all zero is
// SIG_DFL with no flags, wherever the fields lie.
type kernelSigaction [4]uint64

// kernelSigsetSize is sizeof(sigset_t) of the kernel.
const kernelSigsetSize = 8

func setDefault(sig syscall.Signal) {
	var act kernelSigaction
	_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&act)), 0,
		kernelSigsetSize, 0, 0)
}
