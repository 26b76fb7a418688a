package initproc

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Sealed gives an executable or readable memory file with fixed content: what runs or reads it inside the
// container can't change it, and no path on the host leads to it.
func Sealed(name string, content []byte, executable bool) (_ *os.File, err error) {
	// It counts for memory files, too, and to write beyond it is death by SIGXFSZ.
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil && limit.Cur < uint64(len(content)) {
		return nil, &SizeLimitError{}
	}
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	kind := unix.MFD_NOEXEC_SEAL
	if executable {
		kind = unix.MFD_EXEC
	}
	fd, err := unix.MemfdCreate(name, flags|kind)
	if errors.Is(err, unix.EINVAL) { // before 6.3 there was nothing to choose
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if _, err := f.Write(content); err != nil {
		return nil, err
	}
	seals := unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return f, nil
}

// SizeLimitError says that the caller's limit for the size of files leaves no room for what a start needs.
type SizeLimitError struct{}

func (*SizeLimitError) Error() string { return "the limit for the size of files is too low" }

// Remedy tells the user what to do about it.
func (*SizeLimitError) Remedy() string { return "raise it (ulimit -f, LimitFSIZE of a service)" }
