package instance

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Reset ends what runs in an instance and removes all that was written in it. It waits for starts that are just entering;
// those that come later make the instance anew. An absent one is a *NotFoundError.
func Reset(store *rootfs.Store, n Name) error {
	i, err := Enter(store.Root(), n, Exclusive, false)
	if err != nil {
		return err
	}
	defer i.Close()
	return i.Remove(store)
}

// Remove is Reset for who has the exclusive lock.
func (i *Instance) Remove(store *rootfs.Store) error {
	if err := i.end(); err != nil {
		return err
	}
	if err := store.RetireInstance(filepath.Base(i.path)); err != nil {
		return fmt.Errorf("remove kept instance %s: %w", i.Name, err)
	}
	return nil
}

// end kills the container and waits until it is gone.
func (i *Instance) end() error {
	f, err := i.file(stateFile, unix.O_RDWR)
	if f == nil || err != nil {
		return err
	}
	defer f.Close()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		keeper, err := locked(f)
		switch {
		case err != nil:
			return i.fail("look at", err)
		case keeper < 0:
			return i.settled()
		case keeper == 0:
			return &ElsewhereError{i.Name}
		case time.Now().After(deadline):
			return &BusyError{i.Name, "a process in it does not end"}
		}
		// PID 1 and not its keeper: who waits for it, waits for all in the container. Without a state there is no choice.
		victim := keeper
		if h, ok := readHolder(f); ok {
			victim = h.PID
		}
		pidfd, err := openProcess(victim, func() bool { again, err := locked(f); return err == nil && again == keeper })
		if err != nil {
			return err
		}
		if pidfd == nil {
			continue
		}
		err = unix.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL, nil, 0)
		pidfd.Close()
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end kept instance %s: %w", i.Name, err)
		}
	}
}
