package instance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// Running is an instance that can be entered.
type Running struct {
	PID   int      // of its PID 1
	PIDFD *os.File // an open descriptor of that
	*Config
}

// Running finds the instance's container; nil if there is none. Whoever wants to enter holds the shared lock.
func (i *Instance) Running() (*Running, error) {
	f, err := i.file(stateFile, unix.O_RDWR)
	if f == nil || err != nil {
		return nil, err
	}
	defer f.Close()
	keeper, err := locked(f)
	if err != nil {
		return nil, i.fail("look at", err)
	}
	switch {
	case keeper < 0:
		return nil, nil
	case keeper == 0:
		return nil, &ElsewhereError{i.Name}
	}
	h, ok := readHolder(f)
	if !ok {
		return nil, &BusyError{i.Name, fmt.Sprintf("process %d holds it, and its state is damaged", keeper)}
	}
	pidfd, err := openProcess(h.PID, func() bool { again, err := locked(f); return err == nil && again == keeper })
	if pidfd == nil || err != nil {
		return nil, err
	}
	c, err := i.Config()
	if err == nil && c == nil {
		err = i.fail("read", errDamaged)
	}
	if err != nil {
		pidfd.Close()
		return nil, err
	}
	return &Running{h.PID, pidfd, c}, nil
}

// openProcess opens a process by its number. The number is right if what made us believe in it holds afterwards, too;
// nil if it does not.
func openProcess(pid int, holds func() bool) (*os.File, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	if !holds() {
		unix.Close(fd)
		return nil, nil
	}
	return os.NewFile(uintptr(fd), "pidfd"), nil
}

// locked gives the process that holds the lock on a state file: -1 if nobody does, 0 if it is not to be seen from here.
func locked(f *os.File) (int, error) {
	all := unix.Flock_t{Type: unix.F_WRLCK}
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &all)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if all.Type == unix.F_UNLCK {
			return -1, nil
		}
		return int(all.Pid), nil
	}
}

func readHolder(f *os.File) (initproc.Holder, bool) {
	b := make([]byte, 256)
	n, _ := f.ReadAt(b, 0)
	return initproc.ParseHolder(b[:n])
}

// patience is how long an instance that was killed may take to end.
const patience = 10 * time.Second

// settled waits until what ran in the instance is gone, where its keeper was killed and could not wait: two containers
// must not write to the same place. A process that has only the same number is told apart by when it began.
func (i *Instance) settled() error {
	f, err := i.file(stateFile, unix.O_RDONLY)
	if f == nil || err != nil {
		return err
	}
	defer f.Close()
	h, ok := readHolder(f)
	if !ok {
		return nil
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if h.Began == 0 || began(h.PID) != h.Began {
			return nil
		}
		if time.Now().After(deadline) {
			return &BusyError{i.Name, fmt.Sprintf("process %d of it does not end", h.PID)}
		}
	}
}

// began is when a process started, in ticks since boot; 0 if there is none, or none to be seen.
func began(pid int) uint64 {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return 0
	}
	n, _ := strconv.ParseUint(fields[19], 10, 64)
	return n
}
