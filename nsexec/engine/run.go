package engine

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/nsexec"
	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// Run starts the container, waits for its app and gives the app's status. Signals that arrive meanwhile go to
// the app. When Run returns, no process of the container is left, nor its state.
//
// It must be called on a locked thread that lives until Run returns: the container's root is looked up in that
// thread's mount namespace, and the container is killed when that thread ends, in whichever way.
//
// An app that could not be executed is an *nsexec.ExecError; every other error means that there was no app.
func Run(c Container) (nsexec.Status, error) {
	if !haveNsenter {
		return nsexec.Status{}, ErrNoCgo
	}
	config := c.complete()
	spareCollector()
	logrus.SetOutput(io.Discard) // libcontainer's chatter; its errors come back as errors
	sweep(c.StateDir)
	inst, err := newInstance(c.StateDir)
	if err != nil {
		return nsexec.Status{}, err
	}
	defer inst.close()

	fwd := newForwarder()
	defer fwd.stop()
	ch, err := newChannel(&c, config.NoNewPrivileges)
	if err != nil {
		return nsexec.Status{}, &StartError{"prepare init", err}
	}
	defer ch.close()
	container, err := inst.create(config)
	var limits *LimitError
	if errors.As(err, &limits) {
		return nsexec.Status{}, err
	} else if err != nil {
		return nsexec.Status{}, &StartError{"create", err}
	}
	defer func() { _ = end(container) }()

	process := &libcontainer.Process{
		Args: ch.argv,
		// Complete, so that libcontainer does not search the image's passwd for a home.
		Env:              []string{"HOME=/"},
		Cwd:              c.Cwd,
		UID:              c.UID,
		GID:              c.GID,
		AdditionalGroups: c.Groups,
		ExtraFiles:       ch.files,
		Init:             true,
		LogLevel:         libcontainerErrors,
	}
	if err := container.Run(process); err != nil {
		// The init may have been set up and have failed on its own: what it says is nearer to the cause.
		_ = end(container)
		ch.closeChild()
		if _, reported := ch.wait(&c, fwd, 0); reported != nil && !errors.Is(reported, errSilent) {
			return nsexec.Status{}, reported
		}
		if limits := limitError(err, config, inst.cgroups); limits != nil {
			return nsexec.Status{}, limits
		}
		return nsexec.Status{}, &StartError{"run", err}
	}
	ch.closeChild()
	pid, err := process.Pid()
	if err != nil {
		return nsexec.Status{}, &StartError{"find init", err}
	}
	status, err := ch.wait(&c, fwd, pid)
	fwd.stop() // before the pid can be reaped and given to somebody else
	state, _ := process.Wait()
	if errors.Is(err, errSilent) && state != nil {
		// Killed before it could report: by the kernel for want of memory, or from outside.
		if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return nsexec.StatusOf(ws), nil
		}
	}
	return status, err
}

// libcontainerErrors is logrus.ErrorLevel: without it the C half writes, and we parse, dozens of debug lines.
const libcontainerErrors = "2"

// errSilent means that init ended without saying how its app did.
var errSilent = errors.New("start container: init ended without a report")

// Descriptors in the order in which init sees them from 3 on.
const (
	fdInit   = 3
	fdBlob   = 4
	fdStatus = 5
	fdStdio  = 6
)

// channel is the way to init: the files that it gets and the reports that come back.
type channel struct {
	argv    []string
	files   []*os.File // in the order of the descriptors above
	own     []*os.File // those of files that are ours to close
	reports *os.File
}

func newChannel(c *Container, noNewPrivs bool) (_ *channel, err error) {
	ch := &channel{}
	defer func() {
		if err != nil {
			ch.close()
		}
	}()
	if len(c.Init) == 0 {
		return nil, initproc.ErrNotBuilt
	}
	if len(c.Stdio) != 3 {
		return nil, fmt.Errorf("%d standard descriptors", len(c.Stdio))
	}
	// libcontainer gets /dev/null as its own standard input and output and the caller's pass by it as extra
	// files: it would give the caller's files to the app's user (chown), and reopen some.
	program := initproc.Program{
		Stdio:       [3]int{fdStdio, fdStdio + 1, fdStdio + 2},
		DeathSignal: unix.SIGKILL,
		NoNewPrivs:  noNewPrivs,
		Filters:     c.Filters,
		OwnGroup:    true,
		Keyring:     true,
		Env:         c.Env,
		Args:        c.Args,
	}
	blob, err := program.Marshal()
	if err != nil {
		return nil, err
	}
	binary, err := initproc.Sealed("flake-init", c.Init, true)
	if err != nil {
		return nil, err
	}
	ch.own = append(ch.own, binary)
	data, err := initproc.Sealed("flake-program", blob, false)
	if err != nil {
		return nil, err
	}
	ch.own = append(ch.own, data)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	ch.reports = r
	ch.own = append(ch.own, w)
	ch.files = append([]*os.File{binary, data, w}, c.Stdio...)
	ch.argv = []string{fmt.Sprintf("/proc/self/fd/%d", fdInit), fmt.Sprint(fdBlob), fmt.Sprint(fdStatus)}
	return ch, nil
}

// closeChild closes our copies of what init holds, so that the end of the pipe is seen.
func (ch *channel) closeChild() {
	for _, f := range ch.own {
		f.Close()
	}
	ch.own = nil
}

func (ch *channel) close() {
	ch.closeChild()
	if ch.reports != nil {
		ch.reports.Close()
	}
}

// wait reads reports until the app has ended or failed. Signals are forwarded to pid once there is an app.
func (ch *channel) wait(c *Container, fwd *forwarder, pid int) (nsexec.Status, error) {
	defer runtime.KeepAlive(ch)
	for {
		r, err := initproc.ReadReport(ch.reports)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nsexec.Status{}, errSilent
		} else if err != nil {
			return nsexec.Status{}, &StartError{"read report", err}
		}
		switch r.Kind {
		case initproc.Started:
			fwd.start(pid)
		case initproc.Ended:
			return nsexec.StatusOf(r.Wait), nil
		case initproc.Failed:
			if r.Exec {
				return nsexec.Status{}, &nsexec.ExecError{Target: c.Args[0], Errno: r.Errno, Exists: r.Exists}
			}
			return nsexec.Status{}, &StartError{r.Stage, r.Errno}
		}
	}
}
