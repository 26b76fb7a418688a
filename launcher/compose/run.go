package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/nsexec/engine"
	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
	"github.com/flake-launcher/flake-launcher/overlay"
)

// rootName is the mount point of every root, below the state directory. All starts share it, as each sees only the
// root in its own mount namespace.
const rootName = "root"

// Run starts the app, waits for it, and gives its status; errors are those of engine.Run and of what is mounted
// before. Nothing of the start is left when it returns but the calling thread's private mount namespace.
//
// That thread stays locked to the goroutine and can't be used for anything else. The app dies with it, so call Run on
// the main thread (runtime.LockOSThread in an init function), which lives as long as the process.
func Run(job Job) (nsexec.Status, error) {
	runtime.LockOSThread()
	initBinary, err := initproc.Binary()
	if err != nil {
		return nsexec.Status{}, err
	}
	desc, err := engine.ParseDescription(job.Config)
	if err != nil {
		return nsexec.Status{}, err
	}
	for _, b := range job.Binds {
		if b.Tmpfs != "" {
			desc.AddTmpfs(b.Target, b.Tmpfs, b.ReadOnly, b.NoExec)
			continue
		}
		desc.AddBind(b.Source, b.Target, b.ReadOnly, b.Devices)
	}
	if err := privateMounts(); err != nil {
		return nsexec.Status{}, err
	}
	point, err := mountPoint(job.StateDir)
	if err != nil {
		return nsexec.Status{}, err
	}
	root, err := job.mount(point, desc)
	if err != nil {
		return nsexec.Status{}, err
	}
	defer job.cleanup(point, root)
	return engine.Run(engine.Container{
		Description: desc,
		Rootfs:      point,
		Args:        job.Args,
		Env:         job.Env,
		Cwd:         job.Cwd,
		UID:         job.UID,
		GID:         job.GID,
		Groups:      job.Groups,
		Stdio:       job.Stdio,
		Init:        initBinary,
		Filters:     job.Filters,
		StateDir:    job.StateDir,
	})
}

// privateMounts gives the thread a mount namespace of its own. What is unmounted on the host goes away here too, or
// a running app would keep a medium busy; nothing goes the other way.
func privateMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return &NamespaceError{Op: "make mount namespace", Err: err}
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return &NamespaceError{Op: "detach mount namespace", Err: err}
	}
	return nil
}

// mountPoint makes the directory for the root; libcontainer wants it without symlinks on the way.
func mountPoint(stateDir string) (string, error) {
	if stateDir == "" {
		stateDir = engine.DefaultStateDir
	}
	if err := engine.PrepareStateDir(stateDir); err != nil {
		return "", err
	}
	dir := filepath.Join(stateDir, rootName)
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return "", &engine.StateError{Dir: stateDir, Err: err}
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", &engine.StateError{Dir: stateDir, Err: err}
	}
	return dir, nil
}

func (j *Job) mount(point string, desc *engine.Description) (_ *overlay.Mounted, err error) {
	writable, err := overlay.ParseWritable(j.Writable)
	if err != nil {
		return nil, err
	}
	seed := j.Seed
	if writable == overlay.None {
		seed = append(missingPoints(desc.MountPoints(), j.Lower), seed...)
	}
	root, err := overlay.Mount(overlay.Spec{
		Lower:     j.Lower,
		Writable:  writable,
		Scratch:   j.Scratch,
		HostLayer: j.HostLayer,
		TmpfsSize: j.TmpfsSize,
		Seed:      seed,
	}, point)
	if err != nil {
		return nil, err
	}
	if err := hostlink.Apply(root.Root(), j.Links); err != nil {
		j.cleanup(point, root)
		return nil, err
	}
	return root, nil
}

// missingPoints are the mount points at the top of a read-only root that no layer has: images made from nothing lack
// /proc and its like, and libcontainer can't make them there. What lies deeper is for the plan to seed.
func missingPoints(points, layers []string) (out []overlay.Node) {
	for _, point := range points {
		if filepath.Dir(point) != "/" {
			continue
		}
		found := slices.ContainsFunc(layers, func(layer string) bool {
			_, err := os.Lstat(filepath.Join(layer, point))
			return err == nil
		})
		if !found {
			out = append(out, overlay.Node{Path: point, Mode: 0o755})
		}
	}
	return out
}

// cleanup takes the root away. Errors have no consequence: what is left goes with the mount namespace, and a scratch
// directory with the next sweep of the store.
func (j *Job) cleanup(point string, root *overlay.Mounted) {
	_ = unix.Unmount(point, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	_ = root.Close()
	if j.RemoveScratch && j.Scratch != "" {
		_ = os.RemoveAll(j.Scratch)
	}
}

// NamespaceError says that the mount namespace for the root could not be made.
type NamespaceError struct {
	Op  string
	Err error
}

func (e *NamespaceError) Error() string { return fmt.Sprintf("%s: %v", e.Op, e.Err) }

// Unwrap gives the cause.
func (e *NamespaceError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *NamespaceError) Remedy() string { return "run as root, outside of other containers" }
