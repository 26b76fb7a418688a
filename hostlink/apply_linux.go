package hostlink

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Links are read-only, and neither setuid programs nor devices of the host work
// through them: see decisions/0001-link-flags.md.
const (
	linkAttrs = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV
	linkFlags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV
)

// Apply binds links below root, an O_PATH handle of the app's mounted root. The
// caller has to be in a mount namespace of its own whose mounts are private; on
// an error the links made so far stay, and the namespace has to be thrown away.
// No descriptor is left open. A directory comes without what is mounted below it.
//
// Neither end is followed through a symlink: a source that was replaced since
// the plan was made is a [*SourceGoneError], a target that leads elsewhere, and
// all else, is a [*MountError].
func Apply(root *os.File, links []Link) error {
	b := newBinder(root)
	defer b.close()
	for i := range links {
		if err := b.bind(&links[i]); err != nil {
			return err
		}
	}
	return nil
}

// binder remembers what the kernel turned out not to know, and the directories
// used last: links come sorted, and resolving a whole path for each end of each
// link took twice the time.
type binder struct {
	root     *os.File
	classic  bool // no open_tree (< 5.2) or mount_setattr (< 5.12)
	noResolv bool // no openat2 (< 5.6)
	from, to lastDir
}

type lastDir struct {
	path string
	h    handle
}

func newBinder(root *os.File) *binder {
	return &binder{root: root, from: lastDir{h: noHandle}, to: lastDir{h: noHandle}}
}

func (b *binder) close() {
	b.from.set("", noHandle)
	b.to.set("", noHandle)
}

func (d *lastDir) set(path string, h handle) {
	d.h.close()
	d.path, d.h = path, h
}

func (b *binder) bind(l *Link) error {
	err := b.bindOnce(l)
	if errors.Is(err, unix.ENOSYS) && !b.classic {
		b.classic = true
		err = b.bindOnce(l)
	}
	if l.Kind == KindDir {
		b.close() // what was opened may lie below the new mount now
	}
	return err
}

func (b *binder) bindOnce(l *Link) error {
	src, err := b.source(l)
	if err != nil {
		return err
	}
	defer src.close()
	dst, err := b.target(l.Target)
	if err != nil {
		return &MountError{Op: "openat2", Source: l.Source, Target: l.Target, Err: err}
	}
	defer dst.close()
	attach := b.attach
	if b.classic {
		attach = b.attachClassic
	}
	if op, err := attach(src, dst, l.Target); err != nil {
		return &MountError{Op: op, Source: l.Source, Target: l.Target, Err: err}
	}
	return nil
}

// source opens the host's file, as a detached mount or for mount(2), and makes
// sure that it is still what was planned.
func (b *binder) source(l *Link) (handle, error) {
	op, h, err := b.openSource(l.Source)
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return noHandle, &SourceGoneError{Source: l.Source, Target: l.Target, Err: err}
	case err != nil:
		return noHandle, &MountError{Op: op, Source: l.Source, Target: l.Target, Err: err}
	}
	kind, err := h.kind()
	if err == nil && kind != l.Kind {
		err = &SourceGoneError{Source: l.Source, Target: l.Target}
	}
	if err != nil {
		h.close()
		return noHandle, err
	}
	return h, nil
}

func (b *binder) openSource(path string) (op string, h handle, err error) {
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 || slash == len(path)-1 {
		return "open", noHandle, unix.EINVAL
	}
	dir, name := path[:slash+1], path[slash+1:]
	if b.from.h == noHandle || b.from.path != dir {
		h, err := b.openHostDir(dir)
		if err != nil {
			return "open", noHandle, err
		}
		b.from.set(dir, h)
	}
	if b.classic {
		h, err = openPath(int(b.from.h), name)
		return "open", h, err
	}
	h, err = cloneTree(b.from.h, name)
	return "open_tree", h, err
}

// openHostDir refuses symlinks: the planner resolved them and judged the
// outcome. Without openat2 they are followed, and only the watch on the
// directories tells of a change.
func (b *binder) openHostDir(dir string) (handle, error) {
	if !b.noResolv {
		h, err := openat2(unix.AT_FDCWD, dir, unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
		if !errors.Is(err, unix.ENOSYS) {
			return h, err
		}
		b.noResolv = true
	}
	return openPath(unix.AT_FDCWD, dir)
}

// target opens a place strictly below the root.
func (b *binder) target(path string) (handle, error) {
	path = strings.TrimPrefix(path, "/")
	dir := parent(path)
	if b.to.h == noHandle || b.to.path != dir {
		h, err := b.below(int(b.root.Fd()), join(dir, "."))
		if err != nil {
			return noHandle, err
		}
		b.to.set(dir, h)
	}
	return b.below(int(b.to.h), base(path))
}

func (b *binder) below(dir int, path string) (handle, error) {
	if !b.noResolv {
		h, err := openat2(dir, path, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_MAGICLINKS)
		if !errors.Is(err, unix.ENOSYS) {
			return h, err
		}
		b.noResolv = true
	}
	return openStepwise(dir, path)
}

// attach uses the mount API of kernel 5.12: the mount gets its flags before
// anybody can see it.
func (*binder) attach(tree, dst handle, _ string) (op string, err error) {
	if err := setAttrs(tree, linkAttrs); err != nil {
		return "mount_setattr", err
	}
	return "move_mount", moveMount(tree, dst)
}

// attachClassic uses mount(2). It can set flags only on a mount that is in
// place, and has to find that anew: dst stays the file below it.
func (b *binder) attachClassic(src, dst handle, target string) (op string, err error) {
	if err := mount(src.procPath(), dst.procPath(), unix.MS_BIND); err != nil {
		return "mount", err
	}
	top, err := b.target(target)
	if err != nil {
		return "open", err
	}
	defer top.close()
	// Without root a remount must not lose flags that the host's mount has.
	locked, err := top.mountFlags()
	if err != nil {
		return "statfs", err
	}
	return "remount", mount("", top.procPath(), unix.MS_BIND|unix.MS_REMOUNT|linkFlags|locked)
}
