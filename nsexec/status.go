package nsexec

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Status is how an app ended: by exiting with Code, or killed by Signal when that is not 0.
type Status struct {
	Code   int
	Signal syscall.Signal
}

// StatusOf reads a raw wait status.
func StatusOf(ws syscall.WaitStatus) Status {
	if ws.Signaled() {
		return Status{Signal: ws.Signal()}
	}
	return Status{Code: ws.ExitStatus()}
}

func (s Status) String() string {
	if s.Signal != 0 {
		return fmt.Sprintf("killed by %v", s.Signal)
	}
	return fmt.Sprintf("exited with %d", s.Code)
}

// Exit ends this process the way the app ended: with the same code, or by the same signal, raised on
// ourselves with its default action and without a core dump (the app has left its own). A shell then sees
// what it would have seen of the app. Exit does not return.
func Exit(s Status) {
	if s.Signal == 0 {
		os.Exit(s.Code)
	}
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	// The limit does not count for a core pattern that is a pipe; not being dumpable does.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	raise(s.Signal)
	// Not reached, but for a signal whose default action is to ignore it, which can't have killed an app.
	os.Exit(128 + int(s.Signal))
}

// raise makes sig's default action happen to this process. signal.Reset would only bring back the Go
// runtime's own handler, which prints a trace for SIGQUIT and its like, so the disposition is set by hand.
func raise(sig syscall.Signal) {
	signal.Reset(sig)
	setDefault(sig)
	var set unix.Sigset_t
	n := uint(sig) - 1
	set.Val[n/64] |= 1 << (n % 64)
	_ = unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
	_ = unix.Kill(unix.Getpid(), sig)
	// The signal may land on another thread: leave it the time.
	for range 100 {
		_ = unix.Nanosleep(&unix.Timespec{Nsec: 1e7}, nil)
	}
}
