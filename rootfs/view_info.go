package rootfs

import (
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// fileInfo is what os.Lstat would give for an entry.
type fileInfo struct {
	name string
	st   unix.Stat_t
}

var _ fs.FileInfo = (*fileInfo)(nil)

func (i *fileInfo) Name() string { return i.name }
func (i *fileInfo) Size() int64  { return i.st.Size }
func (i *fileInfo) IsDir() bool  { return i.Mode().IsDir() }

// Sys gives a *syscall.Stat_t.
func (i *fileInfo) Sys() any { return syscallStat(&i.st) }

func (i *fileInfo) ModTime() time.Time { return time.Unix(i.st.Mtim.Unix()) }

func (i *fileInfo) Mode() fs.FileMode {
	mode := fs.FileMode(i.st.Mode & 0o777)
	switch i.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	}
	if i.st.Mode&unix.S_ISUID != 0 {
		mode |= fs.ModeSetuid
	}
	if i.st.Mode&unix.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	if i.st.Mode&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}
