package nsexec

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// Parts is a list of operations in pieces: what is known as soon as the start is planned, between what only the start
// itself knows. Whole is, in their order: Name, Head, Binds, Rights, Cwd, Identity, and what runs the app (App).
type Parts struct {
	Head     []byte // namespaces, writable part, layers, mounts
	Binds    []byte // Symlinks and Binds
	Rights   []byte // the root is the app's own; limits and filters
	Cwd      []byte // nothing where it is "/"
	Identity []byte // who the app is, and what it dies of
}

// Parts gives them. Args, Env and Speaker do not count. It is no use for a Kept start.
func (d *Direct) Parts() (*Parts, error) {
	head, rights, err := d.static()
	if err != nil {
		return nil, err
	}
	binds, cwd, identity := &initproc.Ops{}, &initproc.Ops{}, &initproc.Ops{}
	d.binds(binds)
	d.cwd(cwd)
	d.identity(identity)
	identity.Append(initproc.Death(unix.SIGKILL))
	p := &Parts{Head: head, Rights: rights}
	for _, part := range []struct {
		to   *[]byte
		from *initproc.Ops
	}{{&p.Binds, binds}, {&p.Cwd, cwd}, {&p.Identity, identity}} {
		if *part.to, err = part.from.Bytes(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// App ends a list of operations: the app's environment and command.
func App(env, args []string) ([]byte, error) {
	o := &initproc.Ops{}
	o.Run(&initproc.Program{Env: env, Args: args})
	return o.Bytes()
}

// Speech begins a list: who speaks in messages, and the name of the command in them.
func Speech(speaker, command string) ([]byte, error) {
	o := &initproc.Ops{}
	o.Name(speaker, strconv.Quote(command))
	return o.Bytes()
}

// static is what comes before the binds, and what comes behind them up to the working directory.
func (d *Direct) static() (head, rights []byte, err error) {
	if len(d.Layers) == 0 {
		return nil, nil, fmt.Errorf("no layer")
	}
	clone, rest, err := initproc.First(d.Ops)
	if err != nil {
		return nil, nil, err
	}
	mounts, rest, err := initproc.BeforePivot(rest)
	if err != nil {
		return nil, nil, err
	}
	own, o, behind := d.Identity(), &initproc.Ops{}, &initproc.Ops{}
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
	o.Append(mounts)
	behind.Append(rest)
	if d.Kept == nil {
		// Before the rights are given up: without no_new_privs they are what a filter takes. The profile lets through
		// what follows.
		behind.Filters(d.Filters)
	}
	if head, err = o.Bytes(); err != nil {
		return nil, nil, err
	}
	rights, err = behind.Bytes()
	return head, rights, err
}

func (d *Direct) cwd(o *initproc.Ops) {
	if d.Cwd.Path != "" && d.Cwd.Path != "/" {
		o.Cwd(initproc.Cwd(d.Cwd))
	}
}

func (d *Direct) identity(o *initproc.Ops) {
	own := d.Identity()
	o.IDs(own.UID, own.GID, own.Groups)
}

// List is the list of operations of the start: what was planned, and what belongs to it alone.
func (d *Direct) List() ([]byte, error) {
	if len(d.Args) == 0 {
		return nil, fmt.Errorf("no command")
	}
	p, err := d.Parts()
	if err != nil {
		return nil, err
	}
	name, err := Speech(d.Speaker, d.Args[0])
	if err != nil {
		return nil, err
	}
	if d.Kept != nil {
		o := &initproc.Ops{}
		d.identity(o)
		o.Keep(d.Filters)
		keep, err := o.Bytes()
		return slices.Concat(name, p.Head, p.Binds, p.Rights, keep), err
	}
	app, err := App(d.Env, d.Args)
	return slices.Concat(name, d.Trace.op(), p.Head, p.Binds, p.Rights, p.Cwd, p.Identity, app), err
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
	layers := handles(d.Layers)
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
