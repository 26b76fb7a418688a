package rootfs

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// Xattrs gives the extended attributes that the image has put on an entry, which
// is not followed if it is a link; of a merged directory those of its topmost
// part, as overlayfs does. What overlayfs notes for itself is not among them, nor
// what this host's security modules and file systems do; nor is what the caller
// may not read.
func (v *View) Xattrs(unsafePath string) (attrs map[string][]byte, err error) {
	err = v.at("listxattr", unsafePath, false, func(at location) error {
		var st unix.Stat_t
		fd, err := v.statEntry(at, &st)
		if err != nil {
			return err
		}
		name := at.name
		if name == "" {
			name = "."
		}
		attrs, err = imageXattrs(fdPath(fd, name))
		return err
	})
	return attrs, err
}

// ofImage tells the attributes that a layer can have got from its image.
func ofImage(attr string) bool {
	switch attr {
	case xattrACL, xattrDefaultACL, xattrCapability:
		return true
	}
	return strings.HasPrefix(attr, "user.") && !strings.HasPrefix(attr, overlayPrefix)
}

func imageXattrs(path string) (map[string][]byte, error) {
	buf := make([]byte, 64<<10) // XATTR_LIST_MAX, and XATTR_SIZE_MAX
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var attrs map[string][]byte
	for attr := range strings.SplitSeq(string(buf[:n]), "\x00") {
		if !ofImage(attr) {
			continue
		}
		n, err := unix.Lgetxattr(path, attr, buf)
		if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if attrs == nil {
			attrs = map[string][]byte{}
		}
		attrs[attr] = append([]byte{}, buf[:n]...)
	}
	return attrs, nil
}
