package rootfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// PutImage stores an image's manifest, config and record together, atomically
// and durably. Every layer of the record must have been committed. An image
// that is already there and whole is left as it is; a damaged one is replaced.
// rec.Version is ignored.
func (s *Store) PutImage(rec Record, manifest, config []byte) error {
	if err := checkDigest(rec.Digest); err != nil {
		return fmt.Errorf("put image: %w", err)
	}
	if _, err := s.image(rec.Digest); err == nil {
		return nil
	}
	if err := s.putImage(rec, manifest, config); err != nil {
		return fmt.Errorf("put image %s: %w", rec.Digest, err)
	}
	return nil
}

func (s *Store) putImage(rec Record, manifest, config []byte) (err error) {
	rec.Version = recordVersion
	for _, l := range rec.Layers {
		if !s.HasLayer(l.ID) {
			return fmt.Errorf("layer %q is not in the store", l.ID)
		}
	}
	for name, data := range map[string][]byte{manifestFile: manifest, configFile: config} {
		if !json.Valid(data) || len(data) > maxJSON {
			return fmt.Errorf("%s is no json, or above %d bytes", name, maxJSON)
		}
	}
	record, err := json.MarshalIndent(storedRecord{rec, hexSum(manifest), hexSum(config)}, "", "  ")
	if err != nil {
		return err
	}
	t, err := s.Temp("image")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	files := map[string][]byte{manifestFile: manifest, configFile: config, recordFile: append(record, '\n')}
	for name, data := range files {
		if err := writeSynced(filepath.Join(t.Dir(), name), data); err != nil {
			return err
		}
	}
	if err := syncDir(t.Dir()); err != nil {
		return err
	}
	return s.replaceDir(t.Dir(), s.ImageDir(rec.Digest))
}

// replaceDir renames dir to target. A target that exists is exchanged, and
// what it held is left at dir for the caller's Temp to remove.
func (s *Store) replaceDir(dir, target string) error {
	err := renameNew(dir, target)
	if errors.Is(err, fs.ErrExist) {
		err = unix.Renameat2(unix.AT_FDCWD, dir, unix.AT_FDCWD, target, unix.RENAME_EXCHANGE)
		if err != nil {
			return &os.LinkError{Op: "exchange", Old: dir, New: target, Err: err}
		}
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(target))
}

// DeleteImage removes an image's directory, atomically. References and layers
// stay: whoever deletes an image has removed the references before and looks
// after the layers afterwards, as rootfs/gc does. An absent image is success.
func (s *Store) DeleteImage(d digest.Digest) (err error) {
	if err := checkDigest(d); err != nil {
		return fmt.Errorf("delete image: %w", err)
	}
	t, err := s.Temp("old-image")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	err = os.Rename(s.ImageDir(d), filepath.Join(t.Dir(), d.Encoded()))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete image: %w", err)
	}
	return syncDir(s.path(imagesDir))
}

// SetRef makes name point at the image, atomically and durably, whether or not
// it pointed at another before. name is the full one, with its tag; that it is
// well formed is the caller's business. It returns an error that wraps
// [ErrBadName] for what cannot be a file's name.
func (s *Store) SetRef(name string, d digest.Digest) error {
	if err := errors.Join(checkName(name), checkDigest(d)); err != nil {
		return fmt.Errorf("set %w", err)
	}
	if err := s.writeSmall(filepath.Join(refsDir, escape(name)), d.String()+"\n"); err != nil {
		return fmt.Errorf("set reference %q: %w", name, err)
	}
	return nil
}

// DeleteRef removes a reference; its image stays. An absent one is success.
func (s *Store) DeleteRef(name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("delete %w", err)
	}
	if err := s.deleteSmall(refsDir, escape(name)); err != nil {
		return fmt.Errorf("delete reference %q: %w", name, err)
	}
	return nil
}

// SetSource remembers which image a source string (a path, a URL) gave, so
// that [Store.Resolve] finds the image by it. Sources keep no image alive.
func (s *Store) SetSource(source string, d digest.Digest) error {
	if err := checkDigest(d); err != nil {
		return fmt.Errorf("set source: %w", err)
	}
	if err := s.writeSmall(filepath.Join(sourcesDir, sourceFile(source)), d.String()+"\n"); err != nil {
		return fmt.Errorf("set source %q: %w", source, err)
	}
	return nil
}

// DeleteSources removes every source that points at an image keep says no to,
// and those that are damaged.
func (s *Store) DeleteSources(keep func(digest.Digest) bool) error {
	entries, err := os.ReadDir(s.path(sourcesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list sources: %w", err)
	}
	for _, e := range entries {
		d, err := s.readDigest(sourcesDir, e.Name())
		if err == nil && keep(d) {
			continue
		}
		if err := s.deleteSmall(sourcesDir, e.Name()); err != nil {
			return fmt.Errorf("delete source: %w", err)
		}
	}
	return nil
}

// writeSmall writes one file below the root by way of tmp/.
func (s *Store) writeSmall(rel, text string) (err error) {
	t, err := s.Temp("file")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	tmp, target := filepath.Join(t.Dir(), "f"), s.path(rel)
	if err := writeSynced(tmp, []byte(text)); err != nil {
		return err
	}
	if err := os.Rename(tmp, target); err != nil {
		return err
	}
	return syncDir(filepath.Dir(target))
}

func (s *Store) deleteSmall(dir, file string) error {
	err := os.Remove(s.path(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(s.path(dir))
}

// writeSynced writes a new file and waits until its content is on disk.
func writeSynced(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Chmod(0o644); err != nil { // whatever the umask
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	f, err := openDirAt(unix.AT_FDCWD, path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// renameNew renames a directory to a name that must be free. Plain rename(2)
// would silently replace an empty directory, and the directory of an empty
// layer may be in use.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// A file system without flags for rename: the layer lock, which
		// writers hold, keeps others from coming in between.
		if _, err := os.Lstat(to); err == nil {
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: unix.EEXIST}
		}
		return os.Rename(from, to)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// readSmall reads a file of a line or so.
func readSmall(path string) (string, error) {
	data, err := readFile(path, maxSmallFile)
	return string(data), err
}

// readFile reads a regular file that has at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	fd, err := openAt(unix.AT_FDCWD, path, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return readRegular(f, limit)
}

func readRegular(f *os.File, limit int64) ([]byte, error) {
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: f.Name(), Err: errors.New("not a regular file")}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &os.PathError{Op: "read", Path: f.Name(), Err: fmt.Errorf("%w: above %d bytes", ErrTooLarge, limit)}
	}
	return data, nil
}
