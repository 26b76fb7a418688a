package hostlink

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// handle is an O_PATH descriptor with an owner. An *os.File costs another
// system call and a finalizer each, and thousands of links need three apiece.
type handle int

const noHandle handle = -1

func (h handle) close() {
	if h >= 0 {
		_ = unix.Close(int(h)) // O_PATH and detached trees: nothing to lose
	}
}

func (h handle) procPath() string { return "/proc/self/fd/" + strconv.Itoa(int(h)) }

func (h handle) kind() (Kind, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(h), &st); err != nil {
		return kindNone, os.NewSyscallError("fstat", err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return KindFile, nil
	case unix.S_IFDIR:
		return KindDir, nil
	case unix.S_IFSOCK:
		return KindSocket, nil
	case unix.S_IFLNK:
		return KindSymlink, nil
	}
	return kindOther, nil
}

// mountFlags returns the flags of the mount that h is on, as mount(2) takes
// them. The ST_ constants of statfs have the same values but for relatime.
func (h handle) mountFlags() (uintptr, error) {
	var st unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(int(h), &st) }); err != nil {
		return 0, err
	}
	const same = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME
	flags := uintptr(st.Flags) & same
	if st.Flags&unix.ST_RELATIME != 0 {
		flags |= unix.MS_RELATIME
	}
	return flags, nil
}

// retry repeats f while a signal interrupts it. RESOLVE_BENEATH adds EAGAIN for
// renames that happen meanwhile.
func retry(f func() error) error {
	for range 128 {
		if err := f(); err != unix.EINTR && err != unix.EAGAIN { //nolint:errorlint // a bare errno
			return err
		}
	}
	return unix.EAGAIN
}

// openat2 goes without O_NOFOLLOW: with O_PATH that would open a symlink in
// the last place, which RESOLVE_NO_SYMLINKS refuses by itself.
func openat2(dir int, path string, resolve uint64) (handle, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve}
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Openat2(dir, path, &how)
		return err
	})
	if err != nil {
		return noHandle, err
	}
	return handle(fd), nil
}

func openPath(dir int, path string) (handle, error) {
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Openat(dir, path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		return err
	})
	if err != nil {
		return noHandle, err
	}
	return handle(fd), nil
}

// openStepwise is openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS for
// kernels without: each component is opened unfollowed, and going on from a
// symlink is ENOTDIR.
func openStepwise(dir int, path string) (handle, error) {
	at, owned := dir, noHandle
	for name := range strings.SplitSeq(path, "/") {
		if name == ".." || name == "" {
			owned.close()
			return noHandle, unix.EXDEV
		}
		next, err := openPath(at, name)
		owned.close()
		if err != nil {
			return noHandle, err
		}
		at, owned = int(next), next
	}
	kind, err := owned.kind()
	if err == nil && kind == KindSymlink {
		err = unix.ELOOP
	}
	if err != nil {
		owned.close()
		return noHandle, err
	}
	return owned, nil
}

// cloneTree makes a detached bind mount of a file that is not followed if it is
// a symlink.
func cloneTree(dir handle, name string) (handle, error) {
	fd, err := unix.OpenTree(int(dir), name,
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT)
	if err != nil {
		return noHandle, err
	}
	return handle(fd), nil
}

func setAttrs(tree handle, attrs uint64) error {
	return unix.MountSetattr(int(tree), "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: attrs})
}

func moveMount(tree, dst handle) error {
	return unix.MoveMount(int(tree), "", int(dst), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

func mount(source, target string, flags uintptr) error {
	return unix.Mount(source, target, "", flags, "")
}

func openRoot(dir string) (*os.File, error) {
	return os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
}

func openDirAt(at *os.File, name string, flags int) (*os.File, error) {
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Openat(int(at.Fd()), name, flags|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openBelow opens a directory below root, following no symlink: in one call, or component by component where the kernel
// has none (< 5.6).
func openBelow(root *os.File, path string) (*os.File, error) {
	h, err := openat2(int(root.Fd()), join(path, "."), unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
	switch {
	case err == nil:
		return os.NewFile(uintptr(h), path), nil
	case err != unix.ENOSYS: //nolint:errorlint // a bare errno
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	at, err := openDirAt(root, ".", unix.O_PATH)
	if err != nil || path == "" {
		return at, err
	}
	for name := range strings.SplitSeq(path, "/") {
		next, err := openDirAt(at, name, unix.O_PATH)
		_ = at.Close() // O_PATH: nothing to lose
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// openReadable opens a directory so that its attributes can be changed.
func openReadable(root *os.File, path string) (*os.File, error) {
	at, err := openBelow(root, path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = at.Close() }() // O_PATH: nothing to lose
	return openDirAt(at, ".", unix.O_RDONLY)
}

func mkdirat(at *os.File, name string, mode uint32) error {
	return pathError("mkdir", name, unix.Mkdirat(int(at.Fd()), name, mode))
}

func mknodat(at *os.File, name string, mode uint32, dev int) error {
	return pathError("mknod", name, unix.Mknodat(int(at.Fd()), name, mode, dev))
}

func symlinkat(target string, at *os.File, name string) error {
	return pathError("symlink", name, unix.Symlinkat(target, int(at.Fd()), name))
}

// linkat gives a file of the layer a further name. The path of the first goes through directories of our own making.
func linkat(root *os.File, path string, at *os.File, name string) error {
	dir, err := openBelow(root, parent(path))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }() // O_PATH: nothing to lose
	return pathError("link", name, unix.Linkat(int(dir.Fd()), base(path), int(at.Fd()), name, 0))
}

func lchownat(at *os.File, name string, uid, gid int) error {
	return pathError("lchown", name, unix.Fchownat(int(at.Fd()), name, uid, gid, unix.AT_SYMLINK_NOFOLLOW))
}

// created is a file that is being made: thousands of them, see handle.
type created int

// createat makes a file with the permissions of mode, as far as umask and the directory's ACL let it: see chmod. Its owner
// may write to it meanwhile, without which he could give it no attributes.
func createat(at *os.File, name string, mode uint32) (created, error) {
	fd := -1
	err := retry(func() (err error) {
		flags := unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
		fd, err = unix.Openat(int(at.Fd()), name, flags, mode&0o777|0o600)
		return err
	})
	return created(fd), pathError("create", name, err)
}

func (f created) finish(name string) error { return pathError("close", name, unix.Close(int(f))) }

func (f created) chown(name string, uid, gid int) error {
	return pathError("chown", name, unix.Fchown(int(f), uid, gid))
}

// chmod is fchmod's. To look whether the file has come into being with that mode costs a tenth.
func (f created) chmod(name string, mode uint32) error {
	var st unix.Stat_t
	if unix.Fstat(int(f), &st) == nil && st.Mode&0o7777 == mode&0o7777 {
		return nil
	}
	return pathError("chmod", name, unix.Fchmod(int(f), mode&0o7777))
}

// fchmod takes st_mode's bits: os.FileMode has others for setuid and friends.
func fchmod(f *os.File, mode uint32) error {
	return pathError("chmod", f.Name(), unix.Fchmod(int(f.Fd()), mode&0o7777))
}

// setXattr leaves overlayfs's own attributes alone, and does without those that
// the file system or the caller's rights don't allow; so are ACLs that name
// somebody whom the caller's user namespace does not have.
func setXattr(f *os.File, name string, value []byte, privileged bool) error {
	if strings.HasPrefix(name, "user.overlay.") || strings.HasPrefix(name, "trusted.overlay.") {
		return nil
	}
	err := unix.Fsetxattr(int(f.Fd()), name, value, 0)
	if err == unix.EOPNOTSUPP || err == unix.EPERM && !privileged { //nolint:errorlint // a bare errno
		return nil
	}
	if err == unix.EINVAL && strings.HasPrefix(name, "system.posix_acl_") { //nolint:errorlint // a bare errno
		return nil
	}
	return pathError("setxattr "+name, f.Name(), err)
}

func setMtime(f *os.File, mtime time.Time) error {
	ts, err := unix.TimeToTimespec(mtime)
	if err != nil {
		return pathError("utimes", f.Name(), err)
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, ts}
	// An empty path with AT_EMPTY_PATH is refused by kernels before 5.8.
	return pathError("utimes", f.Name(), unix.UtimesNanoAt(int(f.Fd()), ".", times, unix.AT_SYMLINK_NOFOLLOW))
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}
