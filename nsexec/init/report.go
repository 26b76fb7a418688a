package initproc

import (
	"encoding/binary"
	"fmt"
	"io"
	"syscall"
)

const reportSize = 16

// Kind says what a Report is about.
type Kind uint32

// The kinds; ops.h has the same numbers.
const (
	Started Kind = 1 // signals can be forwarded from now on; it may come after Failed
	Ended   Kind = 2 // the app is gone; Wait tells how
	Failed  Kind = 3 // the app never ran
)

// Report is one message of init.
type Report struct {
	Kind Kind
	// Wait is the app's raw wait status (Ended).
	Wait syscall.WaitStatus
	// Stage names the operation that failed, Errno says how; Exec is set when it was the app's own execve
	// (Failed). Exists says that the command's file is there and its interpreter or loader is not.
	Stage  string
	Errno  syscall.Errno
	Exec   bool
	Exists bool
}

// stages are the operations by their numbers, for messages.
var stages = map[uint32]string{
	0:         "read the program",
	opStdio:   "place standard input and output",
	opDeath:   "follow the engine",
	opNoPrivs: "set no_new_privs",
	opFilter:  "load seccomp filter",
	opEnv:     "read the environment",
	opRun:     "run the app",
	stageFork: "fork the app",
	opKeyring: "leave the caller's keyring",
}

// ReadReport reads the next report. It returns io.EOF when init is gone without another one.
func ReadReport(r io.Reader) (Report, error) {
	var b [reportSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return Report{}, err
	}
	word := func(i int) uint32 { return binary.NativeEndian.Uint32(b[4*i:]) }
	rep := Report{Kind: Kind(word(0))}
	switch rep.Kind {
	case Started:
	case Ended:
		rep.Wait = syscall.WaitStatus(word(2))
	case Failed:
		rep.Errno = syscall.Errno(word(2))
		rep.Exists = word(3) != 0
		rep.Exec = word(1) == opRun
		if rep.Stage = stages[word(1)]; rep.Stage == "" {
			rep.Stage = fmt.Sprintf("operation %d", word(1))
		}
	default:
		return Report{}, fmt.Errorf("read init report: unknown kind %d", rep.Kind)
	}
	return rep, nil
}
