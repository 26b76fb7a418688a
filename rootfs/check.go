package rootfs

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// LayerError says that a layer's directory does not hold what was unpacked into
// it. It matches [ErrDamaged].
type LayerError struct {
	ID         string
	Have, Want int64 // bytes of file content
}

func (e *LayerError) Error() string {
	return fmt.Sprintf("layer %s holds %d bytes of files, %d were unpacked", e.ID, e.Have, e.Want)
}

// Is makes errors.Is(err, ErrDamaged) true.
func (e *LayerError) Is(target error) bool { return target == ErrDamaged }

// Remedy says what the user can do.
func (e *LayerError) Remedy() string {
	return "remove the image with flake-ctl remove --container, and get it again"
}

// CheckLayer looks whether a layer still holds as much as was unpacked. It reads
// no content: what was changed without a change of size it does not see. Of a
// layer with directories that the caller may not enter it can say nothing.
func (s *Store) CheckLayer(l LayerRecord) error {
	if l.UnpackedSize == 0 {
		return nil // records do not tell "none" from "unknown"
	}
	dir, err := openLayer(s.LayerDir(l.ID))
	if err != nil {
		return fmt.Errorf("check layer: %w", err)
	}
	defer dir.Close()
	c := &sizeCheck{seen: map[uint64]bool{}}
	if err := c.dir(int(dir.Fd())); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil
		}
		return fmt.Errorf("check layer %s: %w", l.ID, err)
	}
	if c.size != l.UnpackedSize {
		return &LayerError{ID: l.ID, Have: c.size, Want: l.UnpackedSize}
	}
	return nil
}

// sizeCheck adds up files, each once whatever its names.
type sizeCheck struct {
	seen map[uint64]bool
	size int64
}

func (c *sizeCheck) dir(fd int) error {
	names, err := readNames(fd)
	if err != nil {
		return err
	}
	for _, name := range names {
		var st unix.Stat_t
		if err := statAt(fd, name, &st); err != nil {
			return err
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			if st.Nlink == 1 || !c.seen[st.Ino] {
				c.size += st.Size
			}
			if st.Nlink > 1 {
				c.seen[st.Ino] = true
			}
		case unix.S_IFDIR:
			sub, err := openAt(fd, name, unix.O_RDONLY|unix.O_DIRECTORY)
			if err != nil {
				return err
			}
			err = c.dir(sub)
			unix.Close(sub)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
