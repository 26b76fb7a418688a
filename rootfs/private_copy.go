package rootfs

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// fdReal is the path of an entry of an open directory of ours.
func fdReal(dir *os.File, name string) string {
	p, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	if err != nil {
		return "" // the link that is tried with it fails
	}
	return filepath.Join(p, name)
}

// harmless gives the copy of an entry its owner, mode and times.
func harmless(dirfd int, name string, st *unix.Stat_t) error {
	if err := unix.Fchownat(dirfd, name, 0, int(st.Gid), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "chown", Path: name, Err: err}
	}
	if err := unix.Fchmodat(dirfd, name, st.Mode&0o1777&^writeByOthers, 0); err != nil {
		return &os.PathError{Op: "chmod", Path: name, Err: err}
	}
	return unix.UtimesNanoAt(dirfd, name, []unix.Timespec{st.Atim, st.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}

// copyFile copies a regular file with its user xattrs; the kernel shares the
// blocks where the file system can.
func copyFile(from, to int, name string) (err error) {
	fd, err := openAt(from, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	src := os.NewFile(uintptr(fd), name)
	defer src.Close()
	fd, err = unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	dst := os.NewFile(uintptr(fd), name)
	defer func() { err = errors.Join(err, dst.Close()) }()
	if unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) != nil {
		if _, err := io.Copy(dst, src); err != nil {
			return err
		}
	}
	return copyXattrs(src, dst, func(attr string) bool { return strings.HasPrefix(attr, "user.") })
}

func copyXattrs(from, to *os.File, wanted func(string) bool) error {
	buf := make([]byte, 64<<10) // XATTR_LIST_MAX
	n, err := unix.Flistxattr(int(from.Fd()), buf)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "listxattr", Path: from.Name(), Err: err}
	}
	value := make([]byte, 64<<10) // XATTR_SIZE_MAX
	for attr := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if attr == "" || !wanted(attr) {
			continue
		}
		n, err := unix.Fgetxattr(int(from.Fd()), attr, value)
		if err == nil {
			err = unix.Fsetxattr(int(to.Fd()), attr, value[:n], 0)
		}
		if err != nil {
			return &os.PathError{Op: "copy xattr " + attr, Path: from.Name(), Err: err}
		}
	}
	return nil
}
