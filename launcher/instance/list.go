package instance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The states of an Entry.
const (
	StatusRunning = "running"
	StatusStopped = "stopped" // its container is not there, what was written in it is
	StatusUnknown = "unknown" // it can't be told, for example as it runs in another pid namespace
)

// Entry is one instance as List shows it.
type Entry struct {
	Name
	Status string
	PID    int // of PID 1 where it runs
	// Config is nil where it can't be read; Err says why then, or why the status is not known.
	Config *Config
	Err    error
}

// List gives the instances below the store at root, sorted by their directories' names. It waits for nobody.
func List(root string) ([]Entry, error) {
	dir := filepath.Join(root, instances)
	files, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list kept instances: %w", err)
	}
	var out []Entry
	for _, f := range files {
		if n, ok := parseFile(f.Name()); ok {
			out = append(out, look(Instance{Name: n, path: filepath.Join(dir, f.Name())}))
		}
	}
	return out, nil
}

func look(i Instance) Entry {
	e := Entry{Name: i.Name, Status: StatusUnknown}
	if e.Err = i.open(); e.Err != nil {
		e.Err = i.fail("open", e.Err)
		return e
	}
	defer i.Close()
	if e.Config, e.Err = i.Config(); e.Err != nil {
		return e
	}
	r, err := i.Running()
	switch {
	case err != nil && i.starting():
	case err != nil:
		e.Err = err
	case r == nil:
		e.Status = StatusStopped
	default:
		e.Status, e.PID = StatusRunning, r.PID
		r.PIDFD.Close()
	}
	return e
}

// starting says that somebody is at work on the instance, so that what there is to see may not be all.
func (i *Instance) starting() bool {
	err := unix.Flock(int(i.lock.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	return errors.Is(err, unix.EWOULDBLOCK)
}

// Find gives the instances that a user means by arg: FLAKE, FLAKE@INSTANCE, with all every one of a flake.
func Find(root, arg string, all bool) ([]Name, error) {
	entries, err := List(root)
	if err != nil {
		return nil, err
	}
	var out []Name
	for _, e := range entries {
		if e.String() == arg || all && e.Flake == arg {
			out = append(out, e.Name)
		}
	}
	if len(out) == 0 {
		return nil, &NotFoundError{arg}
	}
	return out, nil
}
