package engine

import (
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Values that init knows beside a signal.
const (
	toApp   = 0 // to the app's own process
	toGroup = 1 // to the app's whole process group, as a terminal would
)

// kept are signals that mean this process and not the app: its own children, faults of its own, and what the Go
// runtime uses for itself. KILL and STOP can't be caught.
var kept = []syscall.Signal{
	unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGKILL, unix.SIGSTOP,
	unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, unix.SIGILL, unix.SIGTRAP, unix.SIGSYS, unix.SIGSTKFLT,
}

// Real-time signals; the C library keeps those below for itself.
const (
	firstRealtime = 35
	lastSignal    = 64
)

func forwarded() (out []os.Signal) {
	for n := syscall.Signal(1); n <= lastSignal; n++ {
		if slices.Contains(kept, n) || n > unix.SIGSYS && n < firstRealtime {
			continue
		}
		// What the caller has us ignore (nohup, a shell's background job), the app inherits as ignored.
		if !signal.Ignored(n) {
			out = append(out, n)
		}
	}
	return out
}

// forwarder sends the signals of this process to the app's init. Those that come before there is an app wait.
type forwarder struct {
	in   chan os.Signal
	done chan struct{}
	wg   sync.WaitGroup
	once sync.Once
}

func newForwarder() *forwarder {
	f := &forwarder{in: make(chan os.Signal, 64), done: make(chan struct{})}
	signal.Notify(f.in, forwarded()...)
	return f
}

// start begins to forward to pid, the container's init, which must not be reaped before stop.
func (f *forwarder) start(pid int) {
	f.wg.Go(func() {
		for {
			select {
			case s := <-f.in:
				forward(pid, s.(syscall.Signal))
			case <-f.done:
				return
			}
		}
	})
}

// stop ends the forwarding and waits for a signal that is on its way. It may be called again.
func (f *forwarder) stop() {
	f.once.Do(func() {
		signal.Stop(f.in)
		close(f.done)
	})
	f.wg.Wait()
}

func forward(pid int, sig syscall.Signal) {
	value := uint64(toApp)
	switch sig {
	case unix.SIGINT, unix.SIGQUIT:
		// Sent by a key when we are the terminal's job, to all of its processes. The app is in a session of
		// its own where the terminal does not reach it.
		if foreground() {
			value = toGroup
		}
	case unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU, unix.SIGCONT, unix.SIGWINCH:
		value = toGroup
	}
	_ = queue(pid, sig, value)
	switch sig {
	case unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU:
		_ = unix.Kill(unix.Getpid(), unix.SIGSTOP) // and so the caller's shell sees a stopped job
	}
}
