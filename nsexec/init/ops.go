package initproc

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// The operations of the direct engine; ops.h has the same numbers.
const (
	opName     = 16
	opUserns   = 17
	opScratch  = 18
	opClone    = 19
	opRange    = 20
	opExec     = 21
	opTrace    = 22
	opUpper    = 32
	opSeed     = 33
	opOverlay  = 34
	opLink     = 35
	opMount    = 36
	opBind     = 37
	opNode     = 38
	opSymlink  = 39
	opMask     = 41
	opReadonly = 42
	opPivot    = 43
	opHostname = 44
	opLoopback = 45
	opRlimit   = 46
	opUmask    = 47
	opCwd      = 48
	opCaps     = 49
	opIDs      = 50
	opKeyring  = 51
	opCopy     = 52
	opPreserve = 53
	opLinks    = 54
	opVerify   = 55
	opHost     = 56
)

// StageEnv begins the only variable in the environment of the direct engine's program; a descriptor follows.
const StageEnv = "FLAKE_STAGE="

// Flags of operations on mounts.
const (
	// Recursive takes along what is mounted below.
	Recursive = 1
	// Follow lets a target lie behind symlinks, which lead to places inside the root only.
	Follow = 2
	// Host takes the host's instead of trying to make it.
	Host = 4
	// HostSys does it only where /sys is the host's.
	HostSys = 8
	// Trusted has overlayfs read root's attributes instead of users'.
	Trusted = 32
)

// Kinds of links.
const (
	LinkFile   = 0
	LinkDir    = 1
	LinkSocket = 2
)

// Kinds of writable parts.
const (
	UpperTmpfs = 0
	UpperDisk  = 1
	UpperNone  = 2
)

// AsIs leaves an id of a seed as it is.
const AsIs = ^uint32(0)

// Ops is a list of operations of the direct engine in the making. The zero value is empty. Paths are those inside of
// the container unless said otherwise; missing mount points are made where the root can be written to.
type Ops struct {
	b   []byte
	err error
}

// Bytes gives the list, to be run by Stage.
func (o *Ops) Bytes() ([]byte, error) { return o.b, o.err }

// Append adds operations that were made before.
func (o *Ops) Append(ops []byte) { o.b = append(o.b, ops...) }

// add writes one operation: numbers, then strings, each with a NUL at its end.
func (o *Ops) add(op uint32, numbers []uint32, words ...string) {
	payload := make([]byte, 0, 64)
	for _, n := range numbers {
		payload = binary.NativeEndian.AppendUint32(payload, n)
	}
	for _, w := range words {
		if strings.IndexByte(w, 0) >= 0 && o.err == nil {
			o.err = fmt.Errorf("write init program: %q holds a NUL byte", w)
		}
		payload = append(append(payload, w...), 0)
	}
	o.b = record(o.b, op, payload)
}

func u64(v uint64) []byte { return binary.NativeEndian.AppendUint64(nil, v) }

// Name begins a list: who speaks in messages, and the command as they show it.
func (o *Ops) Name(speaker, command string) { o.add(opName, nil, speaker, command) }

// UserNamespace maps one id each.
func (o *Ops) UserNamespace(uid, hostUID, gid, hostGID uint32) {
	o.add(opUserns, []uint32{uid, hostUID, gid, hostGID})
}

// IDMap maps Size ids from Inside on to those of the host from Outside on.
type IDMap struct{ Inside, Outside, Size uint32 }

// Range makes a user namespace with ranges of ids, which the two helpers of package uidmap write. What follows is done
// as root there.
func (o *Ops) Range(uids, gids []IDMap, newuidmap, newgidmap string) {
	numbers := []uint32{uint32(len(uids)), uint32(len(gids))}
	for _, m := range append(append([]IDMap(nil), uids...), gids...) {
		numbers = append(numbers, m.Inside, m.Outside, m.Size)
	}
	o.add(opRange, numbers, newuidmap, newgidmap)
}

// Exec ends a list: another program takes the place of this one.
func (o *Ops) Exec(file string, args, env []string) {
	words := append(append([]string{file}, args...), env...)
	o.add(opExec, []uint32{uint32(len(args))}, words...)
}

// Scratch names a directory, by a descriptor, that is emptied and removed after the end.
func (o *Ops) Scratch(fd int) { o.add(opScratch, []uint32{uint32(fd)}) }

// Clone starts PID 1 in new namespaces (CLONE_NEW*) and gives its mounts the propagation (MS_*). All operations but
// those above are for behind it. Without CLONE_NEWPID it is no PID 1 but a process of the host's, which ends what the app
// leaves behind all the same.
func (o *Ops) Clone(namespaces, propagation uint32) {
	o.add(opClone, []uint32{namespaces, propagation})
}

// Mark is something that began, by the clock of CLOCK_MONOTONIC in nanoseconds.
type Mark struct {
	At   uint64
	Name string
}

// Trace has the phases of the start told at its end: in lines on stderr for "1", else to the file of that absolute path as
// Chrome's trace format. Began is when the launcher did.
func (o *Ops) Trace(where string, began uint64, marks []Mark) {
	numbers, names := []uint32{uint32(len(marks))}, []string{where}
	for _, m := range append([]Mark{{At: began}}, marks...) {
		b := u64(m.At)
		numbers = append(numbers, binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:]))
	}
	for _, m := range marks {
		names = append(names, m.Name)
	}
	o.add(opTrace, numbers, names...)
}

// Hostname sets the host name.
func (o *Ops) Hostname(name string) { o.add(opHostname, nil, name) }

// Loopback brings up the loopback interface.
func (o *Ops) Loopback() { o.add(opLoopback, nil) }

// Rlimit sets a resource limit.
func (o *Ops) Rlimit(resource int, soft, hard uint64) {
	o.b = record(o.b, opRlimit, append(append(u64(uint64(resource)), u64(soft)...), u64(hard)...))
}

// Umask sets the umask; without it, it is the caller's.
func (o *Ops) Umask(umask uint32) { o.add(opUmask, []uint32{umask}) }

// Cwd is a working directory. Path is taken if it is the directory of that device and inode (0: any), else Real.
type Cwd struct {
	Path, Real string
	Dev, Ino   uint64
	Make       bool // where it is missing
}

// Cwd enters the working directory.
func (o *Ops) Cwd(c Cwd) {
	flag := uint32(0)
	if c.Make {
		flag = 1
	}
	words := func(v uint64) []uint32 {
		b := u64(v)
		return []uint32{binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:])}
	}
	o.add(opCwd, slices.Concat([]uint32{flag}, words(c.Dev), words(c.Ino)), c.Path, c.Real)
}

// Caps are bit sets of capabilities.
type Caps struct{ Bounding, Effective, Permitted, Inheritable, Ambient uint64 }

// Caps tells the capabilities that IDs leaves.
func (o *Ops) Caps(c Caps) {
	var b []byte
	for _, set := range []uint64{c.Bounding, c.Effective, c.Permitted, c.Inheritable, c.Ambient} {
		b = append(b, u64(set)...)
	}
	o.b = record(o.b, opCaps, b)
}

// IDs sets user, group and supplementary groups; the latter stay as they are when groups is nil.
func (o *Ops) IDs(uid, gid uint32, groups []uint32) {
	set := uint32(0)
	if groups != nil {
		set = 1
	}
	o.add(opIDs, append([]uint32{uid, gid, set}, groups...))
}

// Keyring leaves the caller's session keyring.
func (o *Ops) Keyring() { o.add(opKeyring, nil) }

// NoNewPrivs sets no_new_privs.
func (o *Ops) NoNewPrivs() { o.add(opNoPrivs, nil) }

// Filters load seccomp programs, in this order.
func (o *Ops) Filters(programs [][]byte) {
	for _, f := range programs {
		o.b = record(o.b, opFilter, f)
	}
}

// Run ends a list: what comes between the rights and the app. Its fields Stdio and OwnGroup have no meaning here.
func (o *Ops) Run(p *Program) {
	b, err := p.body(nil)
	if err != nil && o.err == nil {
		o.err = err
	}
	o.Append(b)
}
