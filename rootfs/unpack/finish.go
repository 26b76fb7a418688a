package unpack

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	whPrefix = ".wh."         // image-spec: whiteout of the name that follows
	whMeta   = ".wh..wh."     // image-spec: reserved
	whOpaque = ".wh..wh..opq" // image-spec: opaque whiteout of the directory it lies in

	// overlayfs, mounted with userxattr
	opaque        = "user.overlay.opaque"   // of a directory
	opaqueYes     = 'y'                     // nothing below it shows
	opaqueMixed   = 'x'                     // it holds whiteouts in xattr form
	whiteoutXattr = "user.overlay.whiteout" // of an empty regular file
)

// mask is one whiteout of the layer, kept until all entries are made: it hides
// what lies in lower layers only, wherever it stands in the tar.
type mask struct {
	dir  string // relative to the root, as the library resolved it
	name string // "" makes dir opaque
}

// whiteout is the library's hook, called with the place at which it would
// create the entry.
func (u *unpacking) whiteout(_ *tar.Header, place string) (bool, error) {
	base := filepath.Base(place)
	name, ok := strings.CutPrefix(base, whPrefix)
	if !ok {
		return true, nil
	}
	dir, err := filepath.Rel(u.dir, filepath.Dir(place))
	if err != nil {
		return false, err
	}
	switch {
	case base == whOpaque:
		u.masks = append(u.masks, mask{dir: dir})
	case strings.HasPrefix(base, whMeta):
		// Reserved (aufs' own files), to be ignored.
	case name == "" || name == "." || name == "..":
		return false, unsafeEntry("whiteout without a name")
	default:
		u.masks = append(u.masks, mask{dir: dir, name: name})
	}
	return false, nil
}

// finish makes the whiteouts and applies the root's own entry.
func (u *unpacking) finish() (err error) {
	t, err := openTree(u.dir)
	if err != nil {
		return err
	}
	defer t.Close()
	// Opaque directories first: they need no whiteouts.
	slices.SortStableFunc(u.masks, func(a, b mask) int { return cmp.Compare(min(len(a.name), 1), min(len(b.name), 1)) })
	for _, m := range u.masks {
		if err := u.mask(t, m); err != nil {
			return fmt.Errorf("make whiteout %q: %w", path.Join(m.dir, m.name), err)
		}
	}
	if u.root != nil {
		if err := t.apply(u.root, u.notes == nil); err != nil {
			return fmt.Errorf("set root directory: %w", err)
		}
	}
	if u.notes != nil {
		return u.hold(t)
	}
	return nil
}

func (u *unpacking) mask(t *tree, m mask) error {
	dir, err := t.open(m.dir)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // a later entry replaced the directory, which hides it as well
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if m.name == "" {
		return setOpaque(dir, opaqueYes)
	}
	var st unix.Stat_t
	switch err := unix.Fstatat(int(dir.Fd()), m.name, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case errors.Is(err, unix.ENOENT):
		return keepTimes(dir, func() error { return u.makeWhiteout(dir, m.name) })
	case err != nil:
		return err
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return nil // the new entry hides the lower one
	}
	sub, err := t.open(path.Join(m.dir, m.name))
	if err != nil {
		return err
	}
	defer sub.Close()
	return setOpaque(sub, opaqueYes)
}

func mknodWhiteout(dirfd int, name string) error {
	return ignoreEINTR(func() error { return unix.Mknodat(dirfd, name, unix.S_IFCHR, 0) })
}

// makeWhiteout makes the device 0:0, which everybody may since Linux 5.8. Older
// kernels, some file servers and sandboxes refuse it, and overlayfs root, too:
// then it is the form by xattrs, which overlayfs knows since 6.7.
func (u *unpacking) makeWhiteout(dir *os.File, name string) error {
	if opaqueOf(dir) == opaqueYes {
		return nil // nothing below shows, and such a directory would list it
	}
	fd := int(dir.Fd())
	err := u.mknod(fd, name)
	if err == nil || !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	if u.notes == nil && !u.byXattr {
		return fmt.Errorf("%w: %w", ErrNoWhiteouts, err)
	}
	// With mode 0644, since the xattr has to be read.
	file, err := unix.Openat(fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return &os.PathError{Op: "openat", Path: name, Err: err}
	}
	defer unix.Close(file)
	if err := unix.Fchmod(file, 0o644); err != nil { // whatever the umask
		return err
	}
	if err := setXattr(file, whiteoutXattr, 'y'); err != nil {
		return err
	}
	return setOpaque(dir, opaqueMixed)
}

// knowsXattrs says whether the kernel's overlayfs knows whiteouts by xattrs.
func knowsXattrs() bool {
	var u unix.Utsname
	var major, minor int
	if err := unix.Uname(&u); err != nil {
		return false
	}
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return err == nil && (major > 6 || major == 6 && minor >= 7)
}

// apply gives the root directory what its entry says.
func (t *tree) apply(hdr *tar.Header, owner bool) error {
	fd := int(t.root.Fd())
	if owner {
		if err := unix.Fchown(fd, hdr.Uid, hdr.Gid); err != nil {
			return err
		}
	}
	if err := unix.Fchmod(fd, uint32(hdr.Mode)&0o7777); err != nil {
		return err
	}
	for key, value := range hdr.PAXRecords {
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok {
			continue
		}
		if err := unix.Fsetxattr(fd, name, []byte(value), 0); err != nil && !errors.Is(err, unix.ENOTSUP) {
			return fmt.Errorf("set xattr %q: %w", name, err)
		}
	}
	if hdr.ModTime.Unix() < 0 {
		return nil
	}
	mtime := unix.NsecToTimespec(hdr.ModTime.UnixNano())
	return setTimes(t.root, mtime, mtime)
}

// setOpaque marks a directory. That it hides all that is below it counts for
// more than that it holds whiteouts in xattr form.
func setOpaque(dir *os.File, value byte) error {
	if value == opaqueMixed && opaqueOf(dir) == opaqueYes {
		return nil
	}
	return setXattr(int(dir.Fd()), opaque, value)
}

// opaqueOf is the mark of a directory, 0 if it has none.
func opaqueOf(dir *os.File) byte {
	var value [1]byte
	if n, err := unix.Fgetxattr(int(dir.Fd()), opaque, value[:]); err != nil || n != 1 {
		return 0
	}
	return value[0]
}

func setXattr(fd int, name string, value byte) error {
	err := unix.Fsetxattr(fd, name, []byte{value}, 0)
	if errors.Is(err, unix.ENOTSUP) {
		return ErrNoXattrs
	}
	return err
}
