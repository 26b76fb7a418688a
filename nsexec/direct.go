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
	// Layers are open directories, topmost first, with absolute names. They stay open, and so locked, until the app has ended.
	Layers []*os.File
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
	// Args and Env are the app's, handed over byte for byte. The command is looked up in the PATH of Env.
	Args, Env []string
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

// HostLayer is a layer that holds only metadata, and the directories of the host that hold the content, open. Trusted: its
// attributes are those that only root can set.
type HostLayer struct {
	Layer   *os.File
	Data    []*os.File
	Trusted bool
}

func (h *HostLayer) files() []*os.File { return append([]*os.File{h.Layer}, h.Data...) }

func (h *HostLayer) op(o *initproc.Ops) {
	var data []initproc.Handle
	for _, d := range h.Data {
		data = append(data, handle(d))
	}
	flags := uint32(0)
	if h.Trusted {
		flags = initproc.Trusted
	}
	o.Links(handle(h.Layer), data, flags)
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
	ops, err := d.ops()
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
	files := append([]*os.File(nil), d.Layers...)
	files = append(files, d.Keep...)
	for _, f := range []*os.File{d.Scratch, d.Temp} {
		if f != nil {
			files = append(files, f)
		}
	}
	if d.HostLayer != nil {
		files = append(files, d.HostLayer.files()...)
	}
	return append(files, d.Kept.files()...)
}

// ops puts together what was planned and what belongs to this start.
func (d *Direct) ops() ([]byte, error) {
	if len(d.Layers) == 0 {
		return nil, fmt.Errorf("no layer")
	}
	if len(d.Args) == 0 {
		return nil, fmt.Errorf("no command")
	}
	own := d.Identity()
	clone, rest, err := initproc.First(d.Ops)
	if err != nil {
		return nil, err
	}
	o := &initproc.Ops{}
	o.Name(d.Speaker, strconv.Quote(d.Args[0]))
	if len(d.Preserve) > 0 {
		o.Preserve(d.Preserve)
	}
	d.Kept.op(o)
	if d.User {
		o.UserNamespace(own.UID, uint32(os.Geteuid()), own.GID, uint32(os.Getegid()))
	}
	if d.Range != nil {
		d.Range.op(o)
	}
	if d.Temp != nil {
		o.Scratch(int(d.Temp.Fd()))
	} else if d.Scratch != nil && d.Kept == nil {
		o.Scratch(int(d.Scratch.Fd()))
	}
	o.Append(clone)
	d.root(o)
	mounts, rest, err := initproc.BeforePivot(rest)
	if err != nil {
		return nil, err
	}
	o.Append(mounts)
	d.binds(o)
	o.Append(rest)
	if d.Kept != nil {
		o.IDs(own.UID, own.GID, own.Groups)
		o.Keep(d.Filters)
		return o.Bytes()
	}
	// Before the rights are given up: without no_new_privs they are what a filter takes. The profile lets through what
	// follows.
	o.Filters(d.Filters)
	if d.Cwd.Path != "" && d.Cwd.Path != "/" {
		o.Cwd(initproc.Cwd(d.Cwd))
	}
	o.IDs(own.UID, own.GID, own.Groups)
	o.Run(&initproc.Program{DeathSignal: unix.SIGKILL, Env: d.Env, Args: d.Args})
	return o.Bytes()
}

// Identity is who an app is. Groups are as they are when nil.
type Identity struct {
	UID, GID uint32
	Groups   []uint32
}

// Identity gives that of the app inside.
func (d *Direct) Identity() Identity {
	own := Identity{d.UID, d.GID, d.Groups}
	switch {
	case d.User && d.UID != 0:
		own = Identity{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	case d.User:
		own = Identity{} // the kernel keeps the caller's groups, and lets nobody set others
	case own.Groups == nil:
		own.Groups = []uint32{}
	}
	return own
}

func handle(f *os.File) initproc.Handle { return initproc.Handle{FD: int(f.Fd()), Path: f.Name()} }

func (d *Direct) root(o *initproc.Ops) {
	scratch := initproc.Handle{FD: -1}
	if d.Scratch != nil {
		scratch = handle(d.Scratch)
	}
	var layers []initproc.Handle
	for _, l := range d.Layers {
		layers = append(layers, handle(l))
	}
	hosts := 0
	for _, b := range d.Binds {
		if b.Source == "/" && b.Tmpfs == "" {
			hosts++
		}
	}
	o.Upper(d.Kept.upper(d.Upper), scratch, layers[0].FD, d.Size, hosts)
	for _, s := range d.Seed {
		if d.User {
			s.UID, s.GID = initproc.AsIs, initproc.AsIs
		}
		o.Seed(initproc.Node(s))
	}
	for _, c := range d.Copies {
		if d.User {
			c.UID, c.GID = initproc.AsIs, initproc.AsIs
		}
		o.Copy(c.Source, c.Target, c.Mode, c.UID, c.GID)
	}
	if d.HostLayer != nil {
		d.HostLayer.op(o)
	}
	o.Overlay(layers)
	flags := uint32(0)
	if d.User || d.Range != nil {
		flags = initproc.Recursive // what is mounted below can't be left away in a user namespace
	}
	for _, l := range d.Links {
		o.Link(l.Kind, flags, l.Source, l.Target)
	}
}

func (d *Direct) binds(o *initproc.Ops) {
	for _, l := range d.Symlinks {
		o.Symlink(l.Text, l.Path)
	}
	for _, b := range d.Binds {
		if b.Tmpfs != "" {
			o.Mount("tmpfs", "tmpfs", b.Target, b.Tmpfs, b.Attrs(), initproc.Follow)
			continue
		}
		o.Bind(b.Source, b.Target, b.Attrs(), initproc.Recursive|initproc.Follow)
	}
}

// Attrs are the attributes of its mount (MOUNT_ATTR_*).
func (b Bind) Attrs() uint32 {
	attrs := uint32(unix.MOUNT_ATTR_NOSUID)
	for _, a := range []struct {
		set  bool
		attr uint32
	}{{!b.Devices, unix.MOUNT_ATTR_NODEV}, {b.ReadOnly, unix.MOUNT_ATTR_RDONLY}, {b.NoExec, unix.MOUNT_ATTR_NOEXEC}} {
		if a.set {
			attrs |= a.attr
		}
	}
	return attrs
}

// CloseLayers closes what Layers and HostLayer hold, for a start that has left them to another process.
func (d *Direct) CloseLayers() {
	files := d.Layers
	if d.HostLayer != nil {
		files = append(files, d.HostLayer.files()...)
	}
	for _, f := range files {
		f.Close()
	}
}
