package seccomp

import (
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	opLoad = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	opAnd  = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	opJump = unix.BPF_JMP | unix.BPF_JA
	opEq   = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	opGt   = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	opGe   = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	opSet  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	opRet  = unix.BPF_RET | unix.BPF_K
)

// errOpaque says that a program is not of the kind that Merge understands.
var errOpaque = errors.New("merge seccomp filters: a program that is no decision tree over one call")

// Merge gives one program whose answer to each system call is that of all the programs, loaded in their order. What the
// kernel does with a filter at its installation grows with its length (it is compiled, and tried for each call), and what
// libseccomp writes compares with each call by itself; here calls that are treated alike are one range. Programs that can't be merged
// (scratch memory, arithmetic on the number of the call) come back as they are.
func Merge(programs [][]byte) [][]byte {
	var all [][]instruction
	for _, p := range programs {
		prog, err := disassemble(p)
		if err != nil {
			return programs
		}
		all = append(all, prog)
	}
	g := &graph{known: map[node]int{}}
	root, err := g.merge(all)
	if err != nil {
		return programs
	}
	out, err := g.write(root)
	if err != nil {
		return programs
	}
	return [][]byte{assemble(out)}
}

func disassemble(p []byte) ([]instruction, error) {
	if len(p) == 0 || len(p)%instructionSize != 0 {
		return nil, errOpaque
	}
	var out []instruction
	for ; len(p) > 0; p = p[instructionSize:] {
		out = append(out, instruction{binary.NativeEndian.Uint16(p), p[2], p[3], binary.NativeEndian.Uint32(p[4:])})
	}
	return out, nil
}

// node is a step of a decision: an answer (opRet), a value to look at (opLoad, opAnd) with what comes next, or a comparison.
type node struct {
	code    uint16
	k       uint32
	yes, no int // what comes next is yes
}

// graph holds each node once, so that equal decisions have equal numbers.
type graph struct {
	nodes []node
	known map[node]int
}

func (g *graph) add(n node) int {
	if n.code != opRet && n.code != opLoad && n.code != opAnd && n.yes == n.no {
		return n.yes
	}
	if id, ok := g.known[n]; ok {
		return id
	}
	g.nodes = append(g.nodes, n)
	g.known[n] = len(g.nodes) - 1
	return g.known[n]
}

// at is a state of the evaluation of the programs on one architecture and call, of which the arguments are not known.
type at struct {
	prog, pc int
	verdict  uint32 // of the programs before
	loaded   int    // offset of what was loaded last
	mask     uint32 // what is left of that
}

// evaluation is the partial evaluation for one call.
type evaluation struct {
	g        *graph
	all      [][]instruction
	arches   []uint32
	arch, nr uint32
	done     map[at]int
}

const (
	maxStates = 20000 // of one evaluation
	nothing   = -1    // was loaded
)

// stricter is the kernel's choice between the answers of two filters, of which b was loaded later (seccomp_run_filters).
func stricter(a, b uint32) uint32 {
	action := func(v uint32) int32 { return int32(v & unix.SECCOMP_RET_ACTION_FULL) }
	if action(a) < action(b) {
		return a
	}
	return b
}

func (e *evaluation) from(s at) (int, error) {
	if id, ok := e.done[s]; ok {
		return id, nil
	}
	if len(e.done) > maxStates {
		return 0, errOpaque
	}
	id, err := e.step(s)
	if err == nil {
		e.done[s] = id
	}
	return id, err
}

func (e *evaluation) step(s at) (int, error) {
	if s.prog == len(e.all) {
		return e.g.add(node{code: opRet, k: s.verdict}), nil
	}
	prog := e.all[s.prog]
	if s.pc >= len(prog) {
		return 0, errOpaque
	}
	i, next := prog[s.pc], s
	next.pc++
	switch i.code {
	case opLoad:
		return e.load(i.k, next)
	case opAnd:
		next.mask &= i.k
		return e.from(next)
	case opJump:
		if uint64(i.k) > maxInstructions {
			return 0, errOpaque
		}
		next.pc += int(i.k)
		return e.from(next)
	case opEq, opGt, opGe, opSet:
		return e.compare(i, next)
	case opRet:
		return e.from(at{prog: s.prog + 1, verdict: stricter(s.verdict, i.k), loaded: nothing})
	}
	return 0, errOpaque
}

func (e *evaluation) load(offset uint32, next at) (int, error) {
	if offset%4 != 0 || offset >= 64 {
		return 0, errOpaque
	}
	next.loaded, next.mask = int(offset), ^uint32(0)
	return e.from(next)
}

// compare goes on where the value is known, and both ways where it is not. The number of the call stands for all of a range,
// whose ends are the constants of such comparisons; that of the architecture for all that are not compared with.
func (e *evaluation) compare(i instruction, next at) (int, error) {
	yes, no := next, next
	yes.pc += int(i.jt)
	no.pc += int(i.jf)
	value := e.nr
	switch next.loaded {
	case nothing:
		return 0, errOpaque
	case offsetArch:
		if i.code != opEq || next.mask != ^uint32(0) || !slices.Contains(e.arches, i.k) {
			return 0, errOpaque
		}
		value = e.arch
		fallthrough
	case offsetNr:
		if i.code == opSet || next.mask != ^uint32(0) {
			return 0, errOpaque
		}
		if i.code == opEq && value == i.k || i.code == opGt && value > i.k || i.code == opGe && value >= i.k {
			return e.from(yes)
		}
		return e.from(no)
	}
	y, err := e.from(yes)
	if err != nil {
		return 0, err
	}
	n, err := e.from(no)
	if err != nil {
		return 0, err
	}
	if y == n {
		return y, nil
	}
	c := e.g.add(node{code: i.code, k: i.k, yes: y, no: n})
	if next.mask != ^uint32(0) {
		c = e.g.add(node{code: opAnd, k: next.mask, yes: c})
	}
	return e.g.add(node{code: opLoad, k: uint32(next.loaded), yes: c}), nil
}

// merge gives the decision on all calls.
func (g *graph) merge(all [][]instruction) (int, error) {
	arches, ends, err := constants(all)
	if err != nil {
		return 0, err
	}
	other := uint32(1)
	for slices.Contains(arches, other) {
		other++
	}
	rest, err := g.calls(all, arches, other, ends)
	if err != nil {
		return 0, err
	}
	root := rest
	for _, arch := range slices.Backward(arches) {
		calls, err := g.calls(all, arches, arch, ends)
		if err != nil {
			return 0, err
		}
		if calls == rest {
			continue
		}
		root = g.add(node{code: opEq, k: arch, yes: calls, no: root})
	}
	return g.add(node{code: opLoad, k: offsetArch, yes: root}), nil
}

// constants are the architectures that programs compare with, and all numbers at which a call may begin to be treated in
// another way.
func constants(all [][]instruction) (arches, ends []uint32, err error) {
	ends = []uint32{0}
	for _, prog := range all {
		for n, i := range prog {
			switch i.code {
			case opEq, opGt, opGe:
				ends = append(ends, i.k)
				if i.k != ^uint32(0) {
					ends = append(ends, i.k+1)
				}
			}
			// Such a value is loaded anew before it is compared, or there are several comparisons behind one load.
			if i.code != opLoad || i.k != offsetArch {
				continue
			}
			for _, c := range prog[n+1:] {
				if c.code != opEq {
					break
				}
				arches = append(arches, c.k)
			}
		}
	}
	slices.Sort(ends)
	slices.Sort(arches)
	return slices.Compact(arches), slices.Compact(ends), nil
}
