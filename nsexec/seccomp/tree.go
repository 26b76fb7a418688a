package seccomp

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// calls decides by the number of the call.
func (g *graph) calls(all [][]instruction, arches []uint32, arch uint32, ends []uint32) (int, error) {
	var from []uint32
	var then []int
	for _, nr := range ends {
		e := &evaluation{g: g, all: all, arches: arches, arch: arch, nr: nr, done: map[at]int{}}
		id, err := e.from(at{verdict: unix.SECCOMP_RET_ALLOW, loaded: nothing})
		if err != nil {
			return 0, err
		}
		if len(then) == 0 || then[len(then)-1] != id {
			from, then = append(from, nr), append(then, id)
		}
	}
	if len(then) == 1 {
		return then[0], nil
	}
	return g.add(node{code: opLoad, k: offsetNr, yes: g.tree(from, then)}), nil
}

// tree is a balanced search for the last of the ranges that begins at or before a number.
func (g *graph) tree(from []uint32, then []int) int {
	switch n := len(from); {
	case n == 1:
		return then[0]
	case n == 3 && from[2] == from[1]+1 && then[0] == then[2]:
		return g.add(node{code: opEq, k: from[1], yes: then[1], no: then[0]})
	default:
		return g.add(node{code: opGe, k: from[n/2], yes: g.tree(from[n/2:], then[n/2:]), no: g.tree(from[:n/2], then[:n/2])})
	}
}

// writer puts instructions down from the last to the first, since jumps lead forward only.
type writer struct {
	g     *graph
	back  []instruction
	place map[int]int
}

func (g *graph) write(root int) ([]instruction, error) {
	w := &writer{g: g, place: map[int]int{}}
	w.node(root)
	if len(w.back) > maxInstructions {
		return nil, fmt.Errorf("merge seccomp filters: %d instructions", len(w.back))
	}
	slices.Reverse(w.back)
	return w.back, nil
}

func (w *writer) put(i instruction) int {
	w.back = append(w.back, i)
	return len(w.back) - 1
}

// node writes what leads to an answer, and returns its place.
func (w *writer) node(id int) int {
	if p, ok := w.place[id]; ok {
		return p
	}
	n := w.g.nodes[id]
	switch n.code {
	case opRet:
		w.place[id] = w.put(instruction{code: opRet, k: n.k})
	case opLoad, opAnd:
		w.node(n.yes)
		w.follow(n.yes)
		w.place[id] = w.put(instruction{code: n.code, k: n.k})
	default:
		w.node(n.yes)
		w.node(n.no)
		w.near(n.yes, n.no)
		next := len(w.back) - 1
		w.place[id] = w.put(instruction{code: n.code, k: n.k, jt: uint8(next - w.place[n.yes]), jf: uint8(next - w.place[n.no])})
	}
	return w.place[id]
}

// follow has what comes next in the program be, or lead to, a node.
func (w *writer) follow(id int) {
	if w.place[id] != len(w.back)-1 {
		w.copy(id)
	}
}

// copy writes an answer again, or a jump to any other node.
func (w *writer) copy(id int) {
	if n := w.g.nodes[id]; n.code == opRet {
		w.place[id] = w.put(instruction{code: opRet, k: n.k})
		return
	}
	w.place[id] = w.put(instruction{code: opJump, k: uint32(len(w.back) - 1 - w.place[id])})
}

// near has both nodes within the reach of a comparison.
func (w *writer) near(ids ...int) {
	const reach = 250
	for _, id := range ids {
		if len(w.back)-w.place[id] > reach {
			w.copy(id)
		}
	}
}
