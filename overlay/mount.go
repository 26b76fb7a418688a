package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLayers is OVL_MAX_STACK.
const maxLayers = 500

// Mount mounts the root that spec describes on the existing directory target, in the mount namespace of the calling
// thread. It leaves nothing behind when it fails. The caller closes the Mounted when no process uses the root any
// more: until then its layers are locked (LOCK_SH).
//
// Errors: *SpecError, *LayerError (ErrLayerGone), *FeatureError, *MountError, and ErrScratchBusy.
func Mount(spec Spec, target string) (_ *Mounted, err error) {
	if err := spec.check(target); err != nil {
		return nil, err
	}
	layers, err := OpenLayers(spec.Lower)
	if err != nil {
		return nil, err
	}
	m := &Mounted{locks: layers}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	point, err := openDir(target, unix.O_PATH)
	if err != nil {
		return nil, fmt.Errorf("open mount point: %w", err)
	}
	defer point.Close()
	s, err := prepare(spec, point, layers[0])
	if err != nil {
		return nil, explain(err, spec)
	}
	defer s.close()
	defer s.uncover(point)
	if spec.HostLayer != nil {
		links, err := s.hostLayer(spec.HostLayer)
		if err != nil {
			return nil, err
		}
		defer links.Close()
		layers = append([]*os.File{links}, layers...)
	}
	if m.root, err = mountOverlay(spec, layers, s, point); err != nil {
		return nil, explain(err, spec)
	}
	if spec.Writable == Disk {
		m.locks = append(m.locks, s.work)
		s.work = nil
	}
	return m, nil
}

func (s *Spec) check(target string) error {
	switch {
	case len(s.Lower) == 0:
		return &SpecError{"layers", "none given"}
	case len(s.Lower) >= maxLayers:
		return &SpecError{"layers", fmt.Sprintf("%d given, overlayfs takes at most %d", len(s.Lower), maxLayers-1)}
	case s.Writable < Tmpfs || s.Writable > None:
		return &SpecError{"writable part", s.Writable.String()}
	case s.Writable == Disk && !filepath.IsAbs(s.Scratch):
		return &SpecError{"writable directory", fmt.Sprintf("%q is no absolute path", s.Scratch)}
	case s.TmpfsSize < 0:
		return &SpecError{"size of the writable part", "negative"}
	case !filepath.IsAbs(target):
		return &SpecError{"mount point", fmt.Sprintf("%q is no absolute path", target)}
	}
	for _, l := range s.Lower {
		if !filepath.IsAbs(l) {
			return &SpecError{"layer", fmt.Sprintf("%q is no absolute path", l)}
		}
	}
	return nil
}

// options are the parameters of one overlay, in fields until the very last moment. All paths are fdPaths.
type options struct {
	lower       []string // topmost first
	upper, work string   // empty: read-only
}

func (s *scratch) options(layers []*os.File) options {
	var o options
	if s.work == nil {
		// Read-only: the seeds are one more layer, which also makes it the two that overlayfs insists on.
		o.lower = append(o.lower, fdPath(s.upper))
		if s.hides != nil {
			o.lower = append(o.lower, fdPath(s.hides))
		}
	} else {
		o.upper, o.work = fdPath(s.upper), fdPath(s.work)
	}
	for _, l := range layers {
		o.lower = append(o.lower, fdPath(l))
	}
	return o
}

// data renders the options for mount(2). No name in it needs an escape.
func (o options) data() string {
	out := "userxattr,lowerdir=" + strings.Join(o.lower, ":")
	if o.upper != "" {
		out += ",upperdir=" + o.upper + ",workdir=" + o.work
	}
	return out
}

// mountOverlay tries the interfaces from the newest on. A newer kernel's option is often only refused when the
// file system is made, so nothing short of that tells whether an interface will do.
func mountOverlay(spec Spec, layers []*os.File, s *scratch, target *os.File) (*os.File, error) {
	o := s.options(layers)
	if !takesLayersSingly() {
		return classicOverlay(o, s, target)
	}
	mnt, err := newOverlay(o)
	if err == nil {
		s.uncover(target)
		if err = attach(mnt, target); err == nil {
			return mnt, nil
		}
		mnt.Close()
		return nil, err
	}
	if !retriable(err) {
		return nil, err
	}
	root, err2 := classicOverlay(o, s, target)
	if err2 != nil {
		return nil, errors.Join(err2, err)
	}
	return root, nil
}

// newOverlay uses one lowerdir+ for each layer (Linux 6.7).
func newOverlay(o options) (*os.File, error) {
	ctx, err := fsopen("overlay")
	if err != nil {
		return nil, err
	}
	defer ctx.close()
	if err := ctx.set("source", "overlay"); err != nil {
		return nil, err
	}
	if err := ctx.flag("userxattr"); err != nil {
		return nil, err
	}
	for _, l := range o.lower {
		if err := ctx.set("lowerdir+", l); err != nil {
			return nil, err
		}
	}
	if o.upper != "" {
		if err := ctx.set("upperdir", o.upper); err != nil {
			return nil, err
		}
		if err := ctx.set("workdir", o.work); err != nil {
			return nil, err
		}
	}
	// No device node of an image may work: an app's /dev is made by its engine.
	return ctx.mount(unix.MOUNT_ATTR_NODEV)
}

// classicOverlay uses mount(2) (userxattr: Linux 5.11), whose options have to fit into a page.
func classicOverlay(o options, s *scratch, target *os.File) (*os.File, error) {
	data := o.data()
	if len(data) >= os.Getpagesize() {
		return nil, &FeatureError{Feature: fmt.Sprintf("overlay of %d layers", len(o.lower)), Minimum: "6.7",
			Hint: "use a newer kernel, or an image with fewer layers", Err: unix.E2BIG}
	}
	// The tmpfs has to go from the target first, but the layers in it are found through a mount. So the
	// overlay goes on top of it, and both are seen as one.
	point := target
	if s.covered {
		point = s.dir
	}
	if err := unix.Mount("overlay", fdPath(point), "overlay", unix.MS_NODEV, data); err != nil {
		return nil, &MountError{Op: "mount", Source: "overlay", Target: target.Name(), Flags: unix.MS_NODEV, Data: data, Err: err}
	}
	s.covered = false // it is hidden below the overlay now
	return openDir(target.Name(), unix.O_PATH)
}

// retriable tells whether an older interface could do better.
func retriable(err error) bool {
	for _, e := range []error{unix.ENOSYS, unix.EINVAL, unix.EOPNOTSUPP, unix.EPERM, unix.ENODEV} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// explain turns what the kernel says into what it means.
func explain(err error, spec Spec) error {
	switch {
	case errors.Is(err, unix.ENODEV):
		return &FeatureError{Feature: "overlayfs", Minimum: "5.11", Err: err,
			Hint: "load the kernel's module with `modprobe overlay`, or use a kernel that has it"}
	case errors.Is(err, unix.ELOOP):
		return overlap(spec.Lower, err)
	case spec.Writable == Disk && (errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EWOULDBLOCK)):
		return &scratchBusyError{dir: spec.Scratch, err: err}
	}
	return err
}

// overlap names the layers that overlayfs does not take together.
func overlap(layers []string, err error) error {
	real := make([]string, len(layers))
	for i, l := range layers {
		var rerr error
		if real[i], rerr = filepath.EvalSymlinks(l); rerr != nil {
			return err
		}
	}
	for i, outer := range real {
		for j, inner := range real {
			if i != j && (outer == inner || strings.HasPrefix(inner, strings.TrimSuffix(outer, "/")+"/")) {
				return &OverlapError{Outer: layers[i], Inner: layers[j], Err: err}
			}
		}
	}
	return err
}

type scratchBusyError struct {
	dir string
	err error
}

func (e *scratchBusyError) Error() string {
	return fmt.Sprintf("mount root: writable directory %q is in use: %v", e.dir, e.err)
}

// Remedy tells the user what to do about it.
func (e *scratchBusyError) Remedy() string { return "end the other start that uses it" }

func (e *scratchBusyError) Is(target error) bool { return target == ErrScratchBusy }

func (e *scratchBusyError) Unwrap() error { return e.err }
