package nsexec

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// Direct is one start by the direct engine: this process becomes the small program of nsexec/init, which sets the
// container up, runs the app and ends as it does. Nothing of Go is left by then.
type Direct struct {
	// Speaker begins the messages of a start that fails.
	Speaker string
	// Ops is what nsexec/lower made of the container's description.
	Ops []byte
	// User starts in a user namespace with a single id: the caller's, or root when UID is 0.
	User bool

	// Range starts in a user namespace with ranges of ids, as root of it. Not together with User.
	Range *Range
	// Layers are topmost first. They stay open, and so locked, until the app has ended.
	Layers []Dir
	// Upper is the kind of the writable part: initproc.UpperTmpfs, UpperDisk or UpperNone; Scratch is an open empty
	// directory for UpperDisk. Removed after the end is Temp, an open directory that Scratch lies in, or Scratch itself
	// if that is nil. Size is that of the tmpfs, 0 for the kernel's default.
	Upper   uint32
	Scratch *os.File
	Temp    *os.File
	Size    uint64
	// Keep are files that only have to stay open, for the locks on them.
	Keep []*os.File
	// Seed is what the root has beside the layers, parents first.
	Seed []Node
	// Copies are files of the host whose content the root gets; a missing one is left out.
	Copies []Copy
	// HostLayer shows host files through an overlay of its own; nil without.
	HostLayer *HostLayer
	// Links are host files bound over the root.
	Links []Link
	// Binds are made over all that Ops mounts, recursively and without setuid programs, in this order.
	Binds []Bind
	// Preserve are further descriptors of this process for the app.
	Preserve []int

	// UID, GID and Groups are the identity inside. With User only UID counts, and only whether it is 0.
	UID, GID uint32
	Groups   []uint32
	// Cwd is where the app starts; no Path means "/".
	Cwd Cwd
	// Symlinks are made in the mounted root, where nothing is in their place.
	Symlinks []Symlink
	// Filters are seccomp programs, loaded in this order.
	Filters [][]byte
	// Kept keeps the container for later starts, see Direct.Hold. Nil: it ends with its app.
	Kept *Kept
	// Trace has the phases of the start told; nil: nothing is.
	Trace *Trace
	// Args and Env are the app's, handed over byte for byte. The command is looked up in the PATH of Env.
	Args, Env []string
}

// Trace has a start tell its phases at its end: on stderr for Where "1", else in the file of that absolute path, as Chrome's
// trace format. Began and Marks are what came before, by CLOCK_MONOTONIC in nanoseconds.
type Trace struct {
	Where string
	Began uint64
	Marks []Mark
}

// Mark is something that began.
type Mark struct {
	At   uint64
	Name string
}

func (t *Trace) op() []byte {
	if t == nil {
		return nil
	}
	o := &initproc.Ops{}
	var marks []initproc.Mark
	for _, m := range t.Marks {
		marks = append(marks, initproc.Mark(m))
	}
	o.Trace(t.Where, t.Began, marks)
	b, err := o.Bytes()
	if err != nil {
		return nil // a name with a NUL: there is no such file
	}
	return b
}

// Node is a directory, an empty file or a symlink to make; see Direct.Seed. Mode is that of stat(2), S_IFDIR where it
// names no type; Opaque hides what layers have in the directory.
type Node struct {
	Path           string
	Mode, UID, GID uint32
	Text           string
	Opaque         bool
}

// Copy is a host file to copy; the target's directory is in Direct.Seed or missing in all layers.
type Copy struct {
	Source, Target string
	Mode, UID, GID uint32
}

// Dir is a directory of the host that has to be open at the start: File, or, where somebody else opens it later, the
// descriptor FD of the directory at Path, which is absolute.
type Dir struct {
	File *os.File
	FD   int
	Path string
}

// Opened are directories that are open, by absolute names.
func Opened(files ...*os.File) []Dir {
	dirs := make([]Dir, len(files))
	for i, f := range files {
		dirs[i] = Dir{File: f}
	}
	return dirs
}

func (d Dir) handle() initproc.Handle {
	if d.File != nil {
		return handle(d.File)
	}
	return initproc.Handle{FD: d.FD, Path: d.Path}
}

func handles(dirs []Dir) []initproc.Handle {
	var out []initproc.Handle
	for _, d := range dirs {
		out = append(out, d.handle())
	}
	return out
}

func opened(dirs ...Dir) []*os.File {
	var out []*os.File
	for _, d := range dirs {
		if d.File != nil {
			out = append(out, d.File)
		}
	}
	return out
}

// HostLayer is a layer that holds only metadata, and the directories of the host that hold the content. Trusted: its
// attributes are those that only root can set.
type HostLayer struct {
	Layer   Dir
	Data    []Dir
	Trusted bool
}

func (h *HostLayer) dirs() []Dir { return append([]Dir{h.Layer}, h.Data...) }

func (h *HostLayer) op(o *initproc.Ops) {
	flags := uint32(0)
	if h.Trusted {
		flags = initproc.Trusted
	}
	o.Links(h.Layer.handle(), handles(h.Data), flags)
}

// Cwd is a working directory. Path is taken if it is the directory of that device and inode (0: any), else Real.
type Cwd struct {
	Path, Real string
	Dev, Ino   uint64
	Make       bool // where it is missing
}

// Symlink is one to make at Path.
type Symlink struct{ Path, Text string }

// Bind shows a path of the host. Devices keeps device nodes in it working. With options in Tmpfs it is an empty file
// system instead, which may be one without programs.
type Bind struct {
	Source, Target    string
	ReadOnly, Devices bool
	Tmpfs             string
	NoExec            bool
}

// Link is a host file to bind; neither path leads through a symlink. Kind is initproc.LinkFile and its like.
type Link struct {
	Source, Target string
	Kind           uint32
}

// DirectError says why this process could not become the program that starts the app.
type DirectError struct {
	Op  string
	Err error
}

func (e *DirectError) Error() string { return fmt.Sprintf("start container: %s: %v", e.Op, e.Err) }

// Unwrap gives the cause.
func (e *DirectError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *DirectError) Remedy() string {
	var limit *initproc.SizeLimitError
	if errors.As(e.Err, &limit) {
		return limit.Remedy()
	}
	if e.Err == unix.EACCES || e.Err == unix.EPERM {
		return "let programs run from memory (sysctl vm.memfd_noexec; where AppArmor confines you, our profile), or use `engine: libcontainer`"
	}
	return "free memory, or check the limits of the session"
}

// Exec starts the app. It returns only when that failed before there was anything to clean up.
func (d *Direct) Exec() error {
	ops, err := d.List()
	if err != nil {
		return &DirectError{"write its program", err}
	}
	return execStage(d.Speaker, ops, d.inherited())
}

// execStage replaces this process by the program, which works off ops. The files stay open in it.
func execStage(speaker string, ops []byte, inherited []*os.File) error {
	st, err := newStage(ops, inherited)
	if err != nil {
		return err
	}
	defer st.close() // reached only when nothing was executed
	ignoreAgain()
	// What ps shows of the outer process is the flake's name.
	return &DirectError{"execute its program", unix.Exec(st.path(), []string{speaker}, st.env())}
}

// stage is the program and its list, ready to be executed. It holds what the program inherits: by then nothing else may,
// and Go closes a file that nothing holds.
type stage struct {
	program, blob *os.File
	inherited     []*os.File
}

func newStage(ops []byte, inherited []*os.File) (*stage, error) {
	binary, err := initproc.Binary()
	if err != nil {
		return nil, err
	}
	program, err := initproc.Sealed("flake-stage", binary, true)
	if err != nil {
		return nil, &DirectError{"make memory file", err}
	}
	blob, err := initproc.Sealed("flake-program", initproc.Blob(ops), false)
	if err != nil {
		return nil, &DirectError{"make memory file", err}
	}
	for _, f := range append([]*os.File{blob}, inherited...) {
		if _, err := unix.FcntlInt(f.Fd(), unix.F_SETFD, 0); err != nil {
			return nil, &DirectError{"hand over descriptors", err}
		}
	}
	return &stage{program, blob, inherited}, nil
}

func (s *stage) path() string { return "/proc/self/fd/" + strconv.Itoa(int(s.program.Fd())) }
func (s *stage) env() []string {
	return []string{initproc.StageEnv + strconv.Itoa(int(s.blob.Fd()))}
}

func (s *stage) close() {
	s.program.Close()
	s.blob.Close()
}

func (d *Direct) inherited() []*os.File {
	files := append(opened(d.Layers...), d.Keep...)
	for _, f := range []*os.File{d.Scratch, d.Temp} {
		if f != nil {
			files = append(files, f)
		}
	}
	if d.HostLayer != nil {
		files = append(files, opened(d.HostLayer.dirs()...)...)
	}
	return append(files, d.Kept.files()...)
}

// CloseLayers closes what Layers and HostLayer hold, for a start that has left them to another process.
func (d *Direct) CloseLayers() {
	dirs := d.Layers
	if d.HostLayer != nil {
		dirs = append(dirs, d.HostLayer.dirs()...)
	}
	for _, f := range opened(dirs...) {
		f.Close()
	}
}
