package initproc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// The blob's format; ops.h has the same numbers.
const (
	magic      = 0x314b4c46 // MAGIC
	headerSize = 8
	recordSize = 8
	alignment  = 8

	opStdio   = 1
	opDeath   = 2
	opNoPrivs = 3
	opFilter  = 4
	opGroup   = 5
	opEnv     = 6
	opRun     = 7
	stageFork = 8
)

// Program is what init does. The zero value runs nothing: Args is required.
type Program struct {
	// Stdio are the descriptors, as init sees them, that become the app's 0, 1 and 2. All zero means that
	// they are in place.
	Stdio [3]int
	// DeathSignal kills init, and with it the container, when the thread that started it ends. 0: none.
	DeathSignal syscall.Signal
	// NoNewPrivs sets no_new_privs.
	NoNewPrivs bool
	// Filters are seccomp programs, loaded in this order.
	Filters [][]byte
	// OwnGroup makes the app lead a process group, so that a signal can be sent to all of it. It must not be
	// set where the app shares a controlling terminal with its caller.
	OwnGroup bool
	// Keyring leaves the caller's session keyring for a new one.
	Keyring bool
	// Env and Args are the app's; the command is looked up in the PATH of Env.
	Env  []string
	Args []string
}

// Marshal gives the blob that init reads.
func (p *Program) Marshal() ([]byte, error) {
	b, err := p.body(make([]byte, headerSize, 4096))
	if err != nil {
		return nil, err
	}
	binary.NativeEndian.PutUint32(b, magic)
	binary.NativeEndian.PutUint32(b[4:], uint32(len(b)))
	return b, nil
}

// body adds the operations to b.
func (p *Program) body(b []byte) ([]byte, error) {
	if len(p.Args) == 0 {
		return nil, errors.New("write init program: no command")
	}
	if p.Stdio != [3]int{} {
		var v []byte
		for _, fd := range p.Stdio {
			v = binary.NativeEndian.AppendUint32(v, uint32(int32(fd)))
		}
		b = record(b, opStdio, v)
	}
	if p.NoNewPrivs {
		b = record(b, opNoPrivs, nil)
	}
	if p.DeathSignal != 0 {
		b = append(b, Death(p.DeathSignal)...)
	}
	if p.Keyring {
		b = record(b, opKeyring, nil)
	}
	for _, f := range p.Filters {
		b = record(b, opFilter, f)
	}
	if p.OwnGroup {
		b = record(b, opGroup, nil)
	}
	for _, l := range []struct {
		op    uint32
		words []string
	}{{opEnv, p.Env}, {opRun, p.Args}} {
		v, err := stringList(l.words)
		if err != nil {
			return nil, err
		}
		b = record(b, l.op, v)
	}
	return b, nil
}

// Death is the operation for Program.DeathSignal.
func Death(sig syscall.Signal) []byte {
	return record(nil, opDeath, binary.NativeEndian.AppendUint32(nil, uint32(sig)))
}

func record(b []byte, op uint32, payload []byte) []byte {
	b = binary.NativeEndian.AppendUint32(b, op)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	for len(b)%alignment != 0 {
		b = append(b, 0)
	}
	return b
}

func stringList(words []string) ([]byte, error) {
	var v []byte
	for _, w := range words {
		if strings.IndexByte(w, 0) >= 0 {
			return nil, fmt.Errorf("write init program: %q holds a NUL byte", w)
		}
		v = append(append(v, w...), 0)
	}
	return v, nil
}
