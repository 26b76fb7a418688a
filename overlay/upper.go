package overlay

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Names below the writable part; an overlay's work directory has to lie beside its upper one.
const (
	upperName = "upper"
	workName  = "work"
	hidesName = "hides"
)

// scratch is the directory that holds the writable part, or with None the layer of the seeds.
type scratch struct {
	dir     *os.File
	upper   *os.File
	work    *os.File
	hides   *os.File // layer of whiteouts below upper, see hide; nil without
	covered bool     // the tmpfs lies on the target and has to go from there
}

func (s *scratch) close() {
	for _, f := range []*os.File{s.upper, s.work, s.hides, s.dir} {
		if f != nil {
			f.Close()
		}
	}
}

// prepare makes the writable part. A tmpfs is put on target for the time being: overlayfs takes no layer from a
// mount that is attached nowhere. like is the topmost layer, whose mode and owner the root has to keep.
func prepare(spec Spec, target, like *os.File) (_ *scratch, err error) {
	s := &scratch{}
	defer func() {
		if err != nil {
			s.uncover(target)
			s.close()
		}
	}()
	switch spec.Writable {
	case Disk:
		if s.dir, err = openDir(spec.Scratch, unix.O_RDONLY); err != nil {
			return nil, fmt.Errorf("open writable directory: %w", err)
		}
	default:
		if s.dir, err = mountTmpfs(spec.TmpfsSize, target); err != nil {
			return nil, err
		}
		s.covered = true
	}
	var fresh bool
	if s.upper, fresh, err = makeDir(s.dir, upperName, 0o755); err != nil {
		return nil, err
	}
	if fresh {
		if err := copyOwner(s.upper, like); err != nil {
			return nil, err
		}
	}
	if spec.Writable != None {
		if err := s.makeWork(spec.Writable); err != nil {
			return nil, err
		}
	}
	return s, s.seed(spec.Seed)
}

func (s *scratch) makeWork(w Writable) (err error) {
	if s.work, _, err = makeDir(s.dir, workName, 0o700); err != nil {
		return err
	}
	// The kernel only warns of an upper that two mounts share. The lock is on work/, as whoever owns the
	// directory above may hold a lock of his own on that.
	if err := retry(func() error { return unix.Flock(int(s.work.Fd()), unix.LOCK_EX|unix.LOCK_NB) }); err != nil {
		return err
	}
	return probeXattr(s.work, w)
}

// uncover takes the tmpfs away from target. What overlayfs holds of it stays.
func (s *scratch) uncover(target *os.File) {
	if s.covered {
		s.covered = false
		// Through the directory's own path: target's descriptor lies below the tmpfs.
		_ = unix.Unmount(target.Name(), unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	}
}

func mountTmpfs(size int64, target *os.File) (*os.File, error) {
	var data []string
	if size > 0 {
		data = append(data, fmt.Sprintf("size=%d", size))
	}
	data = append(data, "mode=0700")
	mnt, err := newTmpfs(data)
	if err == nil {
		if err = attach(mnt, target); err == nil {
			return mnt, nil
		}
		mnt.Close()
	}
	if !retriable(err) {
		return nil, err
	}
	options := strings.Join(data, ",")
	if err := unix.Mount("tmpfs", fdPath(target), "tmpfs", 0, options); err != nil {
		return nil, &MountError{Op: "mount", Source: "tmpfs", Target: target.Name(), Data: options, Err: err}
	}
	return openDir(target.Name(), unix.O_RDONLY)
}

func newTmpfs(options []string) (*os.File, error) {
	ctx, err := fsopen("tmpfs")
	if err != nil {
		return nil, err
	}
	defer ctx.close()
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		if err := ctx.set(key, value); err != nil {
			return nil, err
		}
	}
	return ctx.mount(0)
}

// makeDir makes or opens one directory below dir; fresh tells which.
func makeDir(dir *os.File, name string, mode uint32) (f *os.File, fresh bool, err error) {
	err = unix.Mkdirat(int(dir.Fd()), name, mode)
	fresh = err == nil
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, false, &os.PathError{Op: "mkdirat", Path: dir.Name() + "/" + name, Err: err}
	}
	f, err = openBelow(dir, name, unix.O_RDONLY)
	return f, fresh, err
}

// copyOwner gives dir the mode and owner of like: the upper's root is what an app sees as `/`.
func copyOwner(dir, like *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(like.Fd()), &st); err != nil {
		return &os.PathError{Op: "fstat", Path: like.Name(), Err: err}
	}
	return own(dir, st.Mode&0o7777, int(st.Uid), int(st.Gid))
}

// own sets owner and mode, in this order: a change of owner clears the setgid bit.
func own(f *os.File, mode uint32, uid, gid int) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	if int(st.Uid) != uid || int(st.Gid) != gid {
		if err := unix.Fchown(int(f.Fd()), uid, gid); err != nil {
			return &os.PathError{Op: "fchown", Path: f.Name(), Err: err}
		}
	}
	if err := unix.Fchmod(int(f.Fd()), mode); err != nil {
		return &os.PathError{Op: "fchmod", Path: f.Name(), Err: err}
	}
	return nil
}

// Attributes in the name space that userxattr uses.
const (
	xattrProbe  = "user.overlay.probe"
	xattrOpaque = "user.overlay.opaque"
)

// probeXattr finds out whether the writable part can hold user.* attributes. Without them overlayfs mounts, and
// then answers EIO when a directory of a layer is removed.
func probeXattr(work *os.File, w Writable) error {
	err := unix.Fsetxattr(int(work.Fd()), xattrProbe, []byte("y"), 0)
	if err == nil {
		_ = unix.Fremovexattr(int(work.Fd()), xattrProbe)
		return nil
	}
	if !errors.Is(err, unix.ENOTSUP) {
		return &os.PathError{Op: "fsetxattr", Path: work.Name(), Err: err}
	}
	if w == Tmpfs {
		return &FeatureError{Feature: "user attributes on tmpfs", Minimum: "6.6", Err: err,
			Hint: "start with --writable disk"}
	}
	return &FeatureError{Feature: "user attributes on this file system", Minimum: "2.6", Err: err,
		Hint: "put the store on ext4, xfs or btrfs, mounted with user_xattr"}
}
