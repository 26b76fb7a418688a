package seccomp

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// call is one system call as a filter sees it.
type call struct {
	arch uint32
	nr   uint32
	args [6]uint64
}

// run executes a filter on c and gives its answer. It knows the instructions that filters may have and fails on
// anything that the kernel would refuse.
func run(t *testing.T, prog []byte, c call) uint32 {
	t.Helper()
	var data [64]byte
	binary.NativeEndian.PutUint32(data[offsetNr:], c.nr)
	binary.NativeEndian.PutUint32(data[offsetArch:], c.arch)
	for i, a := range c.args {
		binary.NativeEndian.PutUint64(data[offsetArgs+8*i:], a)
	}
	var acc, index uint32
	var scratch [16]uint32
	for pc := 0; ; pc++ {
		if (pc+1)*instructionSize > len(prog) {
			t.Fatalf("filter runs off its end")
		}
		i := prog[pc*instructionSize:]
		code, jt, jf, k := binary.NativeEndian.Uint16(i), i[2], i[3], binary.NativeEndian.Uint32(i[4:])
		jump := func(cond bool) {
			if cond {
				pc += int(jt)
			} else {
				pc += int(jf)
			}
		}
		switch code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			if k%4 != 0 || k > 60 {
				t.Fatalf("load from %d", k)
			}
			acc = binary.NativeEndian.Uint32(data[k:])
		case unix.BPF_LD | unix.BPF_MEM:
			acc = scratch[k]
		case unix.BPF_ST:
			scratch[k] = acc
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			acc &= k
		case unix.BPF_MISC | unix.BPF_TAX:
			index = acc
		case unix.BPF_MISC | unix.BPF_TXA:
			acc = index
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(k)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			jump(acc == k)
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			jump(acc > k)
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			jump(acc >= k)
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			jump(acc&k != 0)
		case unix.BPF_RET | unix.BPF_K:
			return k
		default:
			t.Fatalf("instruction %d: code %#x", pc, code)
		}
	}
}

const (
	allow = uint32(unix.SECCOMP_RET_ALLOW)
	eperm = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
)
