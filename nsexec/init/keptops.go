package initproc

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The operations of kept instances; ops.h has the same numbers.
const (
	opHold   = 64
	opKeep   = 65
	opAfter  = 66
	opGraft  = 67
	opFresh  = 68
	opJoin   = 69
	opAgain  = 70
	opServe  = 71
	opAttach = 72
)

// Optional leaves out a graft whose source is missing.
const Optional = 16

// UpperKept is a writable part on disk that an earlier start may have used.
const UpperKept = 3

// Hold makes this a start whose container stays: the program ends with status 0 once PID 1 is set up, and a process
// remains that holds all inherited descriptors. lock is let go of then; state is a file open for writing, which gets the
// record that ParseHolder reads, and a POSIX lock for as long as the container lives.
func (o *Ops) Hold(lock, state int) { o.add(opHold, []uint32{uint32(lock), uint32(state)}) }

// Keep ends a list, in the place of Run: PID 1 stays without an app, with these filters.
func (o *Ops) Keep(filters [][]byte) {
	o.b = record(o.b, opNoPrivs, nil)
	for _, f := range filters {
		o.b = record(o.b, opFilter, f)
	}
	o.add(opKeep, nil)
}

// After runs a program when the app has ended, before the outer process does.
func (o *Ops) After(file string, args, env []string) {
	words := append(append([]string{file}, args...), env...)
	o.add(opAfter, []uint32{uint32(len(args))}, words...)
}

// Again becomes a program instead if Join finds that the instance is about to end.
func (o *Ops) Again(file string, args, env []string) {
	words := append(append([]string{file}, args...), env...)
	o.add(opAgain, []uint32{uint32(len(args))}, words...)
}

// Serve runs what follows in a session and a terminal of its own, behind a listening socket (unix, SOCK_SEQPACKET). The
// program ends with status 0 once that is so, and a process remains until the app has ended. lock is let go of by it.
func (o *Ops) Serve(listener, lock int) { o.add(opServe, []uint32{uint32(listener), uint32(lock)}) }

// Attach ends a list: the caller's terminal is that of a served app, by a connected socket, and its end the app's.
func (o *Ops) Attach(socket int) { o.add(opAttach, []uint32{uint32(socket)}) }

// Graft shows a file or directory of the host in a running instance, unless it shows there already. It takes effect
// with Join, and so does Fresh.
func (o *Ops) Graft(source, target string, attrs, flags uint32) {
	o.add(opGraft, []uint32{attrs, flags}, source, target)
}

// Fresh has a file of that content, or with S_IFLNK in mode a symlink of that text, in a running instance, where it can be
// written. Target's directory has to be there.
func (o *Ops) Fresh(target string, content []byte, mode uint32) {
	payload := binary.NativeEndian.AppendUint32(nil, mode)
	payload = append(append(payload, target...), 0)
	o.b = record(o.b, opFresh, append(payload, content...))
}

// Join enters the namespaces (CLONE_NEW*) of a running instance, by a descriptor of its PID 1 and that number. What
// follows is done there. lock is let go of when it has happened.
func (o *Ops) Join(pidfd, lock, pid int, namespaces uint32) {
	o.add(opJoin, []uint32{uint32(pidfd), uint32(lock), uint32(pid), namespaces})
}

// rights are the operations that say what a process may do, and make nothing.
var rights = []uint32{opKeyring, opRlimit, opUmask, opCaps, opNoPrivs}

// Split takes out of a container's list what a process that enters it later needs: the namespaces that Clone made,
// and the operations on rights.
func Split(ops []byte) (namespaces uint32, own []byte, err error) {
	for len(ops) > 0 {
		first, rest, err := First(ops)
		if err != nil {
			return 0, nil, err
		}
		op := binary.NativeEndian.Uint32(first)
		switch {
		case op == opClone && len(first) >= recordSize+4:
			namespaces = binary.NativeEndian.Uint32(first[recordSize:])
		case slices.Contains(rights, op):
			own = append(own, first...)
		}
		ops = rest
	}
	if namespaces == 0 {
		return 0, nil, fmt.Errorf("read operations: no namespaces")
	}
	return namespaces, own, nil
}

// Holder is what the state file of a running instance says.
type Holder struct {
	PID   int    // of the container's PID 1, as the keeper saw it
	Began uint64 // when it started, in ticks since boot; 0 if that was not to be seen
}

// ParseHolder reads the record that Hold makes; anything else is not ok.
func ParseHolder(b []byte) (h Holder, ok bool) {
	lines := strings.Split(string(b), "\n")
	if len(lines) != 4 || lines[0] != "flake-holder 1" || lines[3] != "" {
		return h, false
	}
	pid, hasPID := strings.CutPrefix(lines[1], "pid ")
	began, hasBegan := strings.CutPrefix(lines[2], "began ")
	var err, err2 error
	h.PID, err = strconv.Atoi(pid)
	h.Began, err2 = strconv.ParseUint(began, 10, 64)
	return h, hasPID && hasBegan && err == nil && err2 == nil && h.PID > 0
}
