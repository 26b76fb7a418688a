package seccomp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// both is what the kernel answers with two filters.
func both(t *testing.T, programs [][]byte, c call) uint32 {
	t.Helper()
	verdict := uint32(unix.SECCOMP_RET_ALLOW)
	for _, p := range programs {
		verdict = stricter(verdict, run(t, p, c))
	}
	return verdict
}

// sameAnswers compares on every call that the programs can tell from another, with arguments that they can.
func sameAnswers(t *testing.T, programs [][]byte, merged []byte) {
	t.Helper()
	values := []uint64{0, 1, ^uint64(0)}
	numbers := []uint32{^uint32(0), 1 << 31}
	for nr := range uint32(700) {
		numbers = append(numbers, nr, x32Bit|nr)
	}
	for _, p := range programs {
		for ; len(p) > 0; p = p[instructionSize:] {
			k := binary.NativeEndian.Uint32(p[4:])
			values = append(values, uint64(k), uint64(k)+1, uint64(k)<<32, uint64(k)|1<<40)
			numbers = append(numbers, k, k-1, k+1)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	arches := []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, unix.AUDIT_ARCH_S390X, 0, 1, 2}
	for _, arch := range arches {
		for _, nr := range numbers {
			for range 12 {
				c := call{arch: arch, nr: nr}
				for a := range c.args {
					c.args[a] = values[random.IntN(len(values))]
				}
				if got, want := run(t, merged, c), both(t, programs, c); got != want {
					t.Fatalf("%+v: %#x, want %#x", c, got, want)
				}
			}
		}
	}
}

func TestMergeAnswersAlike(t *testing.T) {
	errno := func(n uint32) instruction { return instruction{code: opRet, k: unix.SECCOMP_RET_ERRNO | n} }
	load := func(k uint32) instruction { return instruction{code: opLoad, k: k} }
	yes := instruction{code: opRet, k: unix.SECCOMP_RET_ALLOW}
	for name, programs := range map[string][][]instruction{
		"an answer":               {{yes}},
		"one call":                {{load(0), {opEq, 0, 1, 7}, errno(1), yes}},
		"a range":                 {{load(0), {opGt, 0, 2, 7}, {opGe, 1, 0, 20}, errno(1), yes}},
		"an argument":             {{load(0), {opEq, 0, 3, 7}, load(24), {opEq, 0, 1, 5}, errno(1), yes}},
		"bits of an argument":     {{load(0), {opEq, 0, 4, 7}, load(24), {opAnd, 0, 0, 0xf0}, {opEq, 0, 1, 0x10}, errno(1), yes}},
		"a bit of an argument":    {{load(0), {opEq, 0, 3, 7}, load(24), {opSet, 0, 1, 4}, errno(1), yes}},
		"another architecture":    {{load(4), {opEq, 1, 0, unix.AUDIT_ARCH_X86_64}, {opRet, 0, 0, unix.SECCOMP_RET_KILL_PROCESS}, yes}},
		"the stricter of two":     {{load(0), {opEq, 0, 1, 7}, errno(1), yes}, {load(0), {opEq, 0, 1, 7}, {opRet, 0, 0, unix.SECCOMP_RET_KILL_THREAD}, yes}},
		"the later of two":        {{load(0), {opEq, 0, 1, 7}, errno(1), yes}, {load(0), {opEq, 0, 1, 7}, errno(2), yes}},
		"a terminal's, twice":     {mustDisassemble(t, Terminal()), mustDisassemble(t, Terminal())},
		"a jump":                  {{load(0), {opEq, 1, 0, 7}, yes, {opJump, 0, 0, 1}, yes, errno(9)}},
		"the last number of all":  {{load(0), {opEq, 0, 1, ^uint32(0)}, errno(1), yes}},
		"an argument's both ways": {{load(16), {opEq, 2, 0, 5}, load(20), {opGe, 1, 0, 3}, errno(1), yes}},
	} {
		t.Run(name, func(t *testing.T) {
			var in [][]byte
			for _, p := range programs {
				in = append(in, assemble(p))
			}
			out := Merge(in)
			if len(out) != 1 {
				t.Fatalf("%d programs", len(out))
			}
			sameAnswers(t, in, out[0])
		})
	}
}

func TestMergeLeavesWhatItDoesNotUnderstand(t *testing.T) {
	yes := instruction{code: opRet, k: unix.SECCOMP_RET_ALLOW}
	nr, arch := instruction{code: opLoad}, instruction{code: opLoad, k: offsetArch}
	for name, p := range map[string][]instruction{
		"scratch memory":                {nr, {code: unix.BPF_ST}, yes},
		"arithmetic on the call":        {nr, {opAnd, 0, 0, 7}, {opEq, 0, 0, 7}, yes},
		"a bit of the call":             {nr, {opSet, 0, 1, 7}, {opRet, 0, 0, 0}, yes},
		"order among architectures":     {arch, {opGt, 0, 1, 7}, {opRet, 0, 0, 0}, yes},
		"an architecture compared late": {arch, {opJump, 0, 0, 0}, {opEq, 0, 1, 7}, {opRet, 0, 0, 0}, yes},
		"no load before a comparison":   {{opEq, 0, 1, 7}, {opRet, 0, 0, 0}, yes},
		"no end":                        {nr},
		"a jump out of the program":     {{opJump, 0, 0, 9}, yes},
		"an odd offset":                 {{opLoad, 0, 0, 3}, yes},
	} {
		t.Run(name, func(t *testing.T) {
			in := [][]byte{Terminal(), assemble(p)}
			out := Merge(in)
			if len(out) != 2 || !bytes.Equal(out[1], in[1]) {
				t.Errorf("%d programs", len(out))
			}
		})
	}
	if out := Merge([][]byte{{1, 2, 3}}); len(out) != 1 || len(out[0]) != 3 {
		t.Errorf("cut short: %v", out)
	}
}

func mustDisassemble(t *testing.T, p []byte) []instruction {
	t.Helper()
	out, err := disassemble(p)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
