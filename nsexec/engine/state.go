package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"
)

// A running container is one directory `c-PID-N` below the state directory, locked for as long as its engine
// lives. libcontainer's own state lies below it; a directory that nobody locks is what a killed engine left.
const (
	instancePrefix = "c-"
	containerID    = "app"
	stateFile      = "state.json" // libcontainer's name for it
)

// noCgroup is a path that can't exist and can't be made. See decisions/0001-no-cgroup.md.
const noCgroup = "/proc/flake-launcher/no-cgroup"

type instance struct {
	dir     string
	lock    *os.File
	cgroups map[string]string // of the container, once there is one
}

// newInstance makes and locks a directory of our own.
func newInstance(stateDir string) (_ *instance, err error) {
	if err := PrepareStateDir(stateDir); err != nil {
		return nil, err
	}
	for n := 0; ; n++ {
		dir := filepath.Join(stateDir, instancePrefix+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(n))
		if err := os.Mkdir(dir, 0o700); errors.Is(err, os.ErrExist) {
			continue
		} else if err != nil {
			return nil, &StateError{Dir: stateDir, Err: err}
		}
		f, err := lockedDir(dir)
		if err != nil {
			return nil, &StateError{Dir: dir, Err: err}
		}
		if f != nil {
			return &instance{dir: dir, lock: f}, nil
		}
		// A sweeper took the new directory for a dead one before we had locked it.
	}
}

// PrepareStateDir makes the state directory, or makes sure that it is ours alone: whoever can write there could
// have us kill processes and remove files. It fails with a *StateError.
func PrepareStateDir(dir string) error {
	if err := checkStateDir(dir); err != nil {
		return &StateError{Dir: dir, Err: err}
	}
	return nil
}

func checkStateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: dir, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return unix.ENOTDIR
	case int(st.Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to user %d", st.Uid)
	case st.Mode&0o022 != 0:
		return fmt.Errorf("its mode %#o lets others write", st.Mode&0o7777)
	}
	return nil
}

// lockedDir opens and locks dir, waiting; nil without an error when it has been removed meanwhile.
func lockedDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := lock(f, true); err != nil {
		f.Close()
		return nil, err
	}
	if !stillThere(f, dir) {
		f.Close()
		return nil, nil
	}
	return f, nil
}

func stillThere(f *os.File, path string) bool {
	held, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(held, named)
}

// close removes everything that the instance left in the state directory.
func (i *instance) close() error {
	err := os.RemoveAll(i.dir)
	i.lock.Close()
	return err
}

// create gives a container that has not started yet.
//
// With no limits, libcontainer.Create would still make a leaf in every cgroup hierarchy, move the app out of its
// caller's cgroup and so out of its caller's limits. Loading a prepared state is libcontainer's public way to a
// container with given cgroup paths: ones that lead nowhere leave all cgroups alone. With limits they lead to a leaf of
// this start's own, and are on record before it is made: a crash at any moment leaves the sweeper what it needs.
func (i *instance) create(config *configs.Config) (*libcontainer.Container, error) {
	paths := nowhere()
	if limited(config) {
		var err error
		if paths, err = leaf(config.Cgroups); err != nil {
			return nil, &LimitError{err}
		}
	} else {
		config.RootlessCgroups = true
		config.Cgroups.Rootless = true
	}
	i.cgroups = paths
	state := libcontainer.State{
		BaseState:   libcontainer.BaseState{ID: containerID, Config: *config},
		CgroupPaths: paths,
	}
	data, err := json.Marshal(&state)
	if err != nil {
		return nil, fmt.Errorf("write container state: %w", err)
	}
	dir := filepath.Join(i.dir, containerID)
	if err := os.Mkdir(dir, 0o711); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), data, 0o600); err != nil {
		return nil, err
	}
	return libcontainer.Load(i.dir, containerID)
}

// nowhere names no cgroup, in the form that the manager of this host's hierarchy wants: by controller in
// version 1 (an unknown one is never looked at), under the empty name in version 2.
func nowhere() map[string]string {
	if cgroups.IsCgroup2UnifiedMode() {
		return map[string]string{"": noCgroup}
	}
	return map[string]string{"none": noCgroup}
}

// sweep removes what killed engines left in stateDir: their directories, cgroup leaves, and an init that was
// caught before it could follow its engine. Whatever can't be removed is left for the next start.
func sweep(stateDir string) {
	found, err := filepath.Glob(filepath.Join(stateDir, instancePrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		sweepOne(dir)
	}
}

func sweepOne(dir string) {
	f, err := os.Open(dir)
	if err != nil {
		return
	}
	defer f.Close()
	if lock(f, false) != nil || !stillThere(f, dir) {
		return
	}
	if c, err := libcontainer.Load(dir, containerID); err == nil && end(c) != nil {
		return // what it tells of is still there
	}
	_ = os.RemoveAll(dir)
}

// end kills what is left of a container and removes its traces. The pid in its state is trusted only together
// with the start time beside it, which libcontainer compares.
func end(c *libcontainer.Container) error {
	for range 50 {
		if c.Signal(unix.SIGKILL) != nil {
			break // not running (any more)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return c.Destroy()
}
