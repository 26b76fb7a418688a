package overlay

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// fdPath names an open file to a system call that wants a path. The descriptor table is the whole process's, so
// this holds on every thread.
func fdPath(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }

// takesLayersSingly tells whether overlayfs knows lowerdir+. Before 6.5 the kernel finds an option that it does not
// know only when the file system is made, and complains in its log each time.
func takesLayersSingly() bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return true
	}
	return atLeast(unix.ByteSliceToString(u.Release[:]), 6, 7)
}

// atLeast compares a kernel's release; what is no release counts as new.
func atLeast(release string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		return true
	}
	return a > major || a == major && b >= minor
}

func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func openDir(path string, flags int) (f *os.File, err error) {
	err = retry(func() error {
		fd, err := unix.Open(path, flags|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == nil {
			f = os.NewFile(uintptr(fd), path)
		}
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// openBelow opens a directory by one name, never through a symlink.
func openBelow(dir *os.File, name string, flags int) (f *os.File, err error) {
	err = retry(func() error {
		fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == nil {
			f = os.NewFile(uintptr(fd), dir.Name()+"/"+name)
		}
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat", Path: dir.Name() + "/" + name, Err: err}
	}
	return f, nil
}

// fscontext is a file system being configured (fsopen(2), Linux 5.2).
type fscontext struct {
	file *os.File
	kind string
}

func fsopen(kind string) (*fscontext, error) {
	fd, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, &MountError{Op: "fsopen", Source: kind, Err: err}
	}
	return &fscontext{os.NewFile(uintptr(fd), "fsopen:"+kind), kind}, nil
}

func (c *fscontext) close() { c.file.Close() }

func (c *fscontext) set(key, value string) error {
	if err := unix.FsconfigSetString(int(c.file.Fd()), key, value); err != nil {
		return &MountError{Op: "fsconfig", Source: c.kind, Data: key + "=" + value, Log: c.log(), Err: err}
	}
	return nil
}

func (c *fscontext) flag(key string) error {
	if err := unix.FsconfigSetFlag(int(c.file.Fd()), key); err != nil {
		return &MountError{Op: "fsconfig", Source: c.kind, Data: key, Log: c.log(), Err: err}
	}
	return nil
}

// mount makes the file system and gives a handle on it; it is attached nowhere yet.
func (c *fscontext) mount(attrs int) (*os.File, error) {
	if err := unix.FsconfigCreate(int(c.file.Fd())); err != nil {
		return nil, &MountError{Op: "fsconfig create", Source: c.kind, Log: c.log(), Err: err}
	}
	fd, err := unix.Fsmount(int(c.file.Fd()), unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, &MountError{Op: "fsmount", Source: c.kind, Log: c.log(), Err: err}
	}
	return os.NewFile(uintptr(fd), c.kind), nil
}

// log reads what the kernel has to say about the last failure: one message a read, "e overlay: text".
func (c *fscontext) log() (out []string) {
	buf := make([]byte, 4096)
	for range 16 {
		n, err := unix.Read(int(c.file.Fd()), buf)
		if n <= 0 || err != nil {
			break
		}
		line := strings.TrimSpace(string(buf[:n]))
		if len(line) > 2 && line[1] == ' ' {
			line = line[2:]
		}
		out = append(out, line)
	}
	return out
}

// attach moves a mount that lies nowhere to target.
func attach(mnt, target *os.File) error {
	err := unix.MoveMount(int(mnt.Fd()), "", int(target.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	if err != nil {
		return &MountError{Op: "move_mount", Source: mnt.Name(), Target: target.Name(), Err: err}
	}
	return nil
}
