package rootfs

import (
	"slices"

	"golang.org/x/sys/unix"
)

// How the overlay form of a layer says that something below is gone; see
// Documentation/filesystems/overlayfs.rst of the kernel.
const (
	xattrOpaque   = "user.overlay.opaque"   // of a directory
	xattrWhiteout = "user.overlay.whiteout" // of an empty regular file
	opaqueYes     = 'y'                     // 'x' says: may hold xattr whiteouts
)

// isWhiteout knows both forms: the device that a privileged unpacker makes,
// and the xattr form for file systems and users that cannot have devices.
func isWhiteout(dirfd int, name string, st *unix.Stat_t) bool {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		return st.Rdev == 0
	case unix.S_IFREG:
		return st.Size == 0 && hasWhiteoutXattr(dirfd, name)
	}
	return false
}

// hasWhiteoutXattr says no to what the caller may not read, as getxattr needs
// that permission: an xattr whiteout is readable by its owner (FORMAT.md).
func hasWhiteoutXattr(dirfd int, name string) bool {
	fd, err := openAt(dirfd, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	_, err = unix.Fgetxattr(fd, xattrWhiteout, nil)
	return err == nil
}

func isOpaque(fd int) bool {
	var val [1]byte
	n, err := unix.Fgetxattr(fd, xattrOpaque, val[:])
	return err == nil && n == 1 && val[0] == opaqueYes
}

// TrimOpaque gives the part of a list of layers (bottom first) that shows: it
// leaves out what lies below the topmost one whose root is opaque. The kernel
// looks at that mark on every directory but the root, so a list must be
// trimmed before it is mounted or viewed.
func TrimOpaque(layerDirs []string) ([]string, error) {
	for i, dir := range slices.Backward(layerDirs) {
		f, err := openDirAt(unix.AT_FDCWD, dir)
		if err != nil {
			return nil, err
		}
		opaque := isOpaque(int(f.Fd()))
		f.Close()
		if opaque {
			return layerDirs[i:], nil
		}
	}
	return layerDirs, nil
}
