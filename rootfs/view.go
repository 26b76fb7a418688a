package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// View shows what a stack of unpacked layers looks like when the kernel's
// overlayfs merges it (option userxattr), without mounting anything:
//
//   - the topmost layer that has an entry supplies it; a whiteout hides what
//     is below it. A whiteout is a character device 0:0, or an empty regular
//     file with the xattr user.overlay.whiteout;
//   - a directory merges with the directories of the same name below it, down
//     to the first whiteout or non-directory, or to the first that is opaque
//     (user.overlay.opaque = y). The trusted.overlay.* xattrs mean nothing, as
//     they do under userxattr. So do redirects.
//
// Paths are those of the merged tree, and come from images and manifests: they
// are not trusted. A leading slash makes no difference; an absolute link leads
// to the view's root; ".." ends there; after 40 links the answer is ELOOP.
// Trailing slashes are ignored ("lib/" is the link lib, not what it leads to).
// Nothing outside the layers is ever reached: every step is one name below an
// open directory, with O_NOFOLLOW.
//
// Errors are *[fs.PathError]; an absent entry, or one whose parent is absent,
// matches [fs.ErrNotExist]; below a non-directory it is ENOTDIR.
//
// A View may be used by several goroutines. It keeps directories open, for it
// is made for tens of thousands of questions, and holds a shared lock on each
// layer, so that a collection leaves them alone; Close ends both. The layers
// must not change meanwhile.
type View struct {
	mu    sync.Mutex
	dirs  map[string]dirResult // directory part of a path as given → node
	roots []*os.File           // same order as layerDirs
	root  *dirNode
	open  int // descriptors held besides roots
}

// maxOpen is how many directories stay open between two calls.
const maxOpen = 512

// NewView opens the layers, bottom first as [Image.LayerDirs] gives them. With
// none the view is empty: not even its root exists. A layer that is absent or
// just being removed gives an error that matches [fs.ErrNotExist].
func NewView(layerDirs []string) (*View, error) {
	v := &View{dirs: map[string]dirResult{}, root: &dirNode{path: "/"}}
	v.root.parent = v.root
	for _, dir := range layerDirs {
		f, err := openLayer(dir)
		if err != nil {
			v.Close()
			return nil, fmt.Errorf("open layer: %w", err)
		}
		v.roots = append(v.roots, f)
	}
	for i, f := range slices.Backward(v.roots) {
		v.root.refs = append(v.root.refs, dirRef{layer: i, fd: int(f.Fd())})
	}
	return v, nil
}

// openLayer opens and locks a layer as every start does.
func openLayer(dir string) (*os.File, error) {
	f, err := openDirAt(unix.AT_FDCWD, dir)
	if err != nil {
		return nil, err
	}
	if err := lockLayer(f, dir); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// strangerPatience is far longer than a collection takes from its lock on a
// layer to the moment at which the layer is gone from its place.
const strangerPatience = 100 * time.Millisecond

// lockLayer takes the shared lock. Who holds the exclusive one is collecting,
// and the layer is about to go; but any user can hold it on a layer that he can
// read, for as long as he likes. If the layer is still in its place after a
// while it is used without the lock: his keeps collection away from it too.
func lockLayer(f *os.File, dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), strangerPatience)
	defer cancel()
	err := waitLock(ctx, f, unix.LOCK_SH)
	switch {
	case errors.Is(err, unix.EBADF), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EOPNOTSUPP):
		return nil // a file system without locks: nobody else can take one either
	case errors.Is(err, ErrBusy) && !forStrangers(dir), err == nil && !isAt(f, dir), errors.Is(err, ErrBusy) && !isAt(f, dir):
		return &os.PathError{Op: "lock", Path: dir, Err: unix.ENOENT}
	case errors.Is(err, ErrBusy):
		return nil
	}
	return err
}

// forStrangers says whether other users can get at a layer to lock it.
func forStrangers(dir string) bool {
	for range 2 { // layers/sha256, layers
		dir = filepath.Dir(dir)
		if fi, err := os.Stat(dir); err != nil || fi.Mode()&0o011 == 0 {
			return false
		}
	}
	return true
}

// Close closes the layers and gives up their locks. It may be called twice.
func (v *View) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.root == nil {
		return nil
	}
	v.flush(v.root)
	for _, f := range v.roots {
		f.Close()
	}
	v.root, v.roots, v.dirs = nil, nil, nil
	return nil
}

// Lstat describes an entry itself. Sys is a *syscall.Stat_t, with the device
// and inode that the entry has in its layer; of a merged directory it is the
// topmost one's.
func (v *View) Lstat(unsafePath string) (fs.FileInfo, error) {
	return v.stat("lstat", unsafePath, false)
}

// Stat is [View.Lstat] of what a link leads to.
func (v *View) Stat(unsafePath string) (fs.FileInfo, error) {
	return v.stat("stat", unsafePath, true)
}

func (v *View) stat(op, unsafePath string, follow bool) (fs.FileInfo, error) {
	fi := &fileInfo{name: path.Base(path.Clean("/" + unsafePath))}
	err := v.at(op, unsafePath, follow, func(at location) error {
		_, err := v.statEntry(at, &fi.st)
		return err
	})
	if err != nil {
		return nil, err
	}
	return fi, nil
}

// Readlink gives what a link holds, as it is; EINVAL for what is no link.
func (v *View) Readlink(unsafePath string) (target string, err error) {
	err = v.at("readlink", unsafePath, false, func(at location) error {
		var st unix.Stat_t
		fd, err := v.statEntry(at, &st)
		if err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK {
			return unix.EINVAL
		}
		target, err = readlinkAt(fd, at.name)
		return err
	})
	return target, err
}

// Resolve gives the canonical form of a path: absolute, without "." and "..",
// with every link in its directory part resolved. The last component is kept
// as it is, link or not. What does not exist is kept too, so that the answer
// is where the entry would appear if its missing parents were made.
func (v *View) Resolve(unsafePath string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.root == nil {
		return "", closed("resolve", unsafePath)
	}
	v.trim()
	at, err := v.walk(v.root, unsafePath, walkMode{keepMissing: true})
	if err != nil {
		return "", &fs.PathError{Op: "resolve", Path: unsafePath, Err: err}
	}
	return path.Join(at.dir.path, at.name, strings.Join(at.missing, "/")), nil
}

// ReadFile reads a regular file of at most limit bytes, following links. A
// larger one gives an error that wraps [ErrTooLarge].
func (v *View) ReadFile(unsafePath string, limit int64) (data []byte, err error) {
	err = v.at("read", unsafePath, true, func(at location) error {
		f, err := v.openRegular(at, unsafePath)
		if err != nil {
			return err
		}
		defer f.Close()
		data, err = readRegular(f, limit)
		return err
	})
	return data, err
}

// Open opens a regular file for reading, following links. The file is the
// caller's to close, and may outlive the view; the lock on its layer does not.
func (v *View) Open(unsafePath string) (f *os.File, err error) {
	err = v.at("open", unsafePath, true, func(at location) error {
		f, err = v.openRegular(at, unsafePath)
		return err
	})
	return f, err
}

func (v *View) openRegular(at location, name string) (*os.File, error) {
	var st unix.Stat_t
	dirfd, err := v.statEntry(at, &st)
	if err != nil {
		return nil, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		return nil, unix.EISDIR
	default: // to open a device or a fifo can have effects
		return nil, errors.New("not a regular file")
	}
	fd, err := openAt(dirfd, at.name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// ReadDir lists a merged directory, following links, sorted by name. Each
// entry's Info is that of [View.Lstat] and costs nothing more.
func (v *View) ReadDir(unsafePath string) ([]fs.DirEntry, error) {
	entries, err := v.Entries(unsafePath)
	if err != nil {
		return nil, err
	}
	out := make([]fs.DirEntry, 0, len(entries))
	for _, e := range entries {
		out = append(out, fs.FileInfoToDirEntry(e.Info))
	}
	return out, nil
}

// Origin says which layer supplies an entry, as an index into the list the
// view was made of. Of a merged directory it is the topmost.
func (v *View) Origin(unsafePath string) (layer int, err error) {
	err = v.at("origin", unsafePath, false, func(at location) error {
		var st unix.Stat_t
		layer, err = v.find(at, &st)
		return err
	})
	return layer, err
}
