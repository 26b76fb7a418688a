package nsexec

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// Kept makes a start whose container stays, without an app, until it is killed: see Direct.Hold. Scratch of the Direct
// is then a directory that may have been used by such a start before, and stays.
type Kept struct {
	// Lock is let go of as soon as the container can be entered, and when the start fails.
	Lock *os.File
	// State is open for writing, and empty. It gets the record that initproc.ParseHolder reads; a POSIX lock on all of
	// it says that the container lives.
	State *os.File
	// Title is what ps shows of the process that stays outside.
	Title []string
}

func (k *Kept) files() []*os.File {
	if k == nil {
		return nil
	}
	return []*os.File{k.Lock, k.State}
}

func (k *Kept) op(o *initproc.Ops) {
	if k != nil {
		o.Hold(int(k.Lock.Fd()), int(k.State.Fd()))
	}
}

func (k *Kept) upper(kind uint32) uint32 {
	if k != nil && kind == initproc.UpperDisk {
		return initproc.UpperKept
	}
	return kind
}

// ReportedError is the failure of a program of ours that has said on stderr what is wrong.
type ReportedError struct{ Status syscall.WaitStatus }

func (e *ReportedError) Error() string { return "start container: " + StatusOf(e.Status).String() }

// runStage runs the program as a child, without a terminal to write to, until it says that what is to stay is there.
func runStage(title []string, ops []byte, stdin *os.File, files []*os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return &DirectError{"open " + os.DevNull, err}
	}
	defer null.Close()
	if stdin == nil {
		stdin = null
	}
	defer func() {
		for _, f := range files {
			unix.CloseOnExec(int(f.Fd()))
		}
	}()
	// What stays behind must not keep the caller's pipes and locks open.
	restore := hideDescriptors()
	defer restore()
	st, err := newStage(ops, files)
	if err != nil {
		return err
	}
	defer st.close()
	p, err := os.StartProcess(st.path(), title, &os.ProcAttr{Env: st.env(), Files: []*os.File{stdin, null, os.Stderr}})
	if err != nil {
		return &DirectError{"execute its program", errors.Unwrap(err)}
	}
	end, err := p.Wait()
	if err != nil {
		return &DirectError{"wait for its program", err}
	}
	if ws := end.Sys().(syscall.WaitStatus); ws != 0 {
		return &ReportedError{ws}
	}
	return nil
}

// hideDescriptors has no program that is executed from now on inherit descriptors beyond 2, and gives the way back.
func hideDescriptors() (restore func()) {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil { // no proc: none is handed over to the app either
		_ = unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC)
		return func() {}
	}
	var hidden []uintptr
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.CloseOnExec(fd)
			hidden = append(hidden, uintptr(fd))
		}
	}
	return func() {
		for _, fd := range hidden {
			_, _ = unix.FcntlInt(fd, unix.F_SETFD, 0)
		}
	}
}

// Hold starts the container and returns once it can be entered. What is left is a process of its own session, whose
// parent is not the caller, and the container's PID 1. Messages of a failure go to stderr; the error is a
// *ReportedError then. Of Args and Env nothing is used, and all files that the caller gave are closed to what he
// executes later.
func (d *Direct) Hold() error {
	ops, err := d.List()
	if err != nil {
		return &DirectError{"write its program", err}
	}
	return runStage(d.Kept.Title, ops, nil, d.inherited())
}

// Rights are what a process that enters a container later needs of the list that made it.
type Rights struct {
	// Namespaces are those to enter (CLONE_NEW*).
	Namespaces uint32
	// Ops limit what the process may do.
	Ops []byte
	Identity
	// Filters are seccomp programs, loaded in this order.
	Filters [][]byte
}

// Rights gives those for the container that this start makes.
func (d *Direct) Rights() (Rights, error) {
	ns, ops, err := initproc.Split(d.Ops)
	if err != nil {
		return Rights{}, err
	}
	if d.User || d.Range != nil {
		ns |= unix.CLONE_NEWUSER
	}
	return Rights{ns, ops, d.Identity(), d.Filters}, nil
}

// Graft is a path of the host to be shown in a running container. Attrs are MOUNT_ATTR_*.
type Graft struct {
	Source, Target string
	Attrs          uint32
	Optional       bool // leave it out if Source is missing
}

// File is a file that a running container is to have. Mode is that of stat(2), S_IFREG where it names no type; of a symlink
// (S_IFLNK) Content is the text.
type File struct {
	Target  string
	Content []byte
	Mode    uint32
}

// Join is a start inside of a container that is there: this process becomes the small program, like Direct.Exec.
type Join struct {
	Speaker string
	// PID is that of the container's PID 1, PIDFD an open descriptor of it. Lock is let go of when the container was
	// entered.
	PID         int
	PIDFD, Lock *os.File
	Rights
	// Grafts are mounted, unless the container shows the same there already; missing mount points are made.
	Grafts []Graft
	// Fresh are written where their content differs, and left alone where that can't be done.
	Fresh []File
	// Cwd is where the app starts; no Path means "/".
	Cwd Cwd
	// Preserve are further descriptors of this process for the app.
	Preserve  []int
	Args, Env []string
	// After is a program with its arguments that runs when the app has ended, with AfterEnv and the caller's stderr.
	After, AfterEnv []string
	// Again is a program to become, with this process's environment, if the container turns out to be about to end.
	Again     string
	AgainArgs []string
}

// Exec starts the app. It returns only when that failed before anything was done.
func (j *Join) Exec() error {
	ops, err := j.ops(nil)
	if err != nil {
		return &DirectError{"write its program", err}
	}
	return execStage(j.Speaker, ops, []*os.File{j.PIDFD, j.Lock})
}

// Serve starts the app in a session and terminal of its own, and then is Attach. Who connects to the socket (unix,
// SOCK_SEQPACKET) is at that terminal, one at a time; it ends with the app. connect is called before the app runs.
// Errors are as those of Direct.Hold.
func (j *Join) Serve(listener *os.File, title []string, connect func() (*os.File, error)) error {
	defer listener.Close()
	socket, err := connect()
	if err != nil {
		return err
	}
	if socket == nil {
		return &DirectError{"connect to its terminal", unix.ECONNREFUSED}
	}
	defer socket.Close()
	served := *j
	served.After, served.Again = nil, "" // the caller's
	ops, err := served.ops(listener)
	if err != nil {
		return &DirectError{"write its program", err}
	}
	if err := runStage(title, ops, os.Stdin, []*os.File{j.PIDFD, j.Lock, listener}); err != nil {
		return err
	}
	return j.attach(socket)
}

// Attach makes this process the caller's side of such a terminal; it ends as the app does, and runs After then. It
// returns only when that failed before anything was done.
func (j *Join) Attach(connect func() (*os.File, error)) error {
	socket, err := connect()
	if err != nil {
		return err
	}
	if socket == nil { // the app has ended since
		return &DirectError{"execute the launcher again", unix.Exec("/proc/self/exe", j.AgainArgs, os.Environ())}
	}
	defer socket.Close()
	return j.attach(socket)
}

func (j *Join) attach(socket *os.File) error {
	o := &initproc.Ops{}
	o.Name(j.Speaker, "")
	if len(j.After) > 0 {
		o.After(j.After[0], j.After, j.AfterEnv)
	}
	if j.Again != "" {
		o.Again(j.Again, j.AgainArgs, os.Environ())
	}
	o.Attach(int(socket.Fd()))
	ops, err := o.Bytes()
	if err != nil {
		return &DirectError{"write its program", err}
	}
	return execStage(j.Speaker, ops, []*os.File{socket})
}

func (j *Join) ops(listener *os.File) ([]byte, error) {
	if len(j.Args) == 0 {
		return nil, fmt.Errorf("no command")
	}
	o := &initproc.Ops{}
	o.Name(j.Speaker, strconv.Quote(j.Args[0]))
	if len(j.Preserve) > 0 && listener == nil {
		o.Preserve(j.Preserve)
	}
	if listener != nil {
		o.Serve(int(listener.Fd()), int(j.Lock.Fd()))
	}
	if len(j.After) > 0 {
		o.After(j.After[0], j.After, j.AfterEnv)
	}
	if j.Again != "" {
		o.Again(j.Again, j.AgainArgs, os.Environ())
	}
	for _, g := range j.Grafts {
		flags := uint32(initproc.Recursive)
		if g.Optional {
			flags |= initproc.Optional
		}
		o.Graft(g.Source, g.Target, g.Attrs, flags)
	}
	for _, f := range j.Fresh {
		o.Fresh(f.Target, f.Content, f.Mode)
	}
	o.Join(int(j.PIDFD.Fd()), int(j.Lock.Fd()), j.PID, j.Namespaces)
	o.Append(j.Ops)
	o.Filters(j.Filters)
	if j.Cwd.Path != "" && j.Cwd.Path != "/" {
		o.Cwd(initproc.Cwd(j.Cwd))
	}
	o.IDs(j.UID, j.GID, j.Groups)
	o.Run(&initproc.Program{DeathSignal: orphaned, Env: j.Env, Args: j.Args})
	return o.Bytes()
}

// orphaned is what the process around a joined app gets when this one is killed; ops.h has the same number.
const orphaned = syscall.Signal(64)
