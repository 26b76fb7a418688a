package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	whPrefix = ".wh."                // image-spec: whiteout of the name that follows
	whMeta   = ".wh..wh."            // image-spec: reserved
	whOpaque = ".wh..wh..opq"        // image-spec: opaque whiteout of the directory it lies in
	opaque   = "user.overlay.opaque" // overlayfs, mounted with userxattr
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
	for _, m := range u.masks {
		if err := t.mask(m); err != nil {
			return fmt.Errorf("make whiteout %q: %w", path.Join(m.dir, m.name), err)
		}
	}
	if u.root == nil {
		return nil
	}
	if err := t.apply(u.root); err != nil {
		return fmt.Errorf("set root directory: %w", err)
	}
	return nil
}

func (t *tree) mask(m mask) error {
	dir, err := t.open(m.dir)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // a later entry replaced the directory, which hides it as well
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	if m.name == "" {
		return setOpaque(dir)
	}
	var st unix.Stat_t
	switch err := unix.Fstatat(int(dir.Fd()), m.name, &st, unix.AT_SYMLINK_NOFOLLOW); {
	case errors.Is(err, unix.ENOENT):
		return keepTimes(dir, func() error {
			return ignoreEINTR(func() error { return unix.Mknodat(int(dir.Fd()), m.name, unix.S_IFCHR, 0) })
		})
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
	return setOpaque(sub)
}

// apply gives the root directory what its entry says.
func (t *tree) apply(hdr *tar.Header) error {
	fd := int(t.root.Fd())
	if err := unix.Fchown(fd, hdr.Uid, hdr.Gid); err != nil {
		return err
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

func setOpaque(dir *os.File) error {
	return unix.Fsetxattr(int(dir.Fd()), opaque, []byte{'y'}, 0)
}
