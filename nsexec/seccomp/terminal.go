package seccomp

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Limits of the kernel's filter programs.
const (
	instructionSize = 8    // sizeof(struct sock_filter)
	maxInstructions = 4096 // BPF_MAXINSNS
)

// Offsets in struct seccomp_data.
const (
	offsetNr   = 0
	offsetArch = 4
	offsetArgs = 16
)

// x32Bit marks the system calls of the x32 ABI, which share AUDIT_ARCH_X86_64.
const x32Bit = 0x40000000

// ioctls are the system call numbers of ioctl by the architectures whose programs may run here. The list
// holds every architecture that profile.json can let in for the ones we build for.
var ioctls = []struct {
	arch uint32
	nrs  []uint32
}{
	{unix.AUDIT_ARCH_X86_64, []uint32{16, x32Bit | 16, x32Bit | 514}},
	{unix.AUDIT_ARCH_I386, []uint32{54}},
	{unix.AUDIT_ARCH_AARCH64, []uint32{29}},
	{unix.AUDIT_ARCH_ARM, []uint32{54}},
	{unix.AUDIT_ARCH_RISCV64, []uint32{29}},
	{unix.AUDIT_ARCH_S390X, []uint32{54}},
	{unix.AUDIT_ARCH_S390, []uint32{54}},
	{unix.AUDIT_ARCH_PPC64LE, []uint32{54}},
}

// injections are the ioctl requests that put input into a terminal or steal its contents.
var injections = []uint32{unix.TIOCSTI, unix.TIOCLINUX}

// Terminal gives a program that answers EPERM to ioctls by which an app could type into the terminal it
// shares with its caller (CVE-2017-5226 and its like), and allows everything else. It stands beside the
// profile's own program because libseccomp can't take something away from a system call that a profile allows.
//
// The kernel looks at the low 32 bits of the request only, so the program does too: comparing all 64 was
// how the filter could be walked around (CVE-2019-10063).
func Terminal() []byte {
	const (
		load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret  = unix.BPF_RET | unix.BPF_K
	)
	low := uint32(offsetArgs + 8) // args[1], low half on little endian
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		low += 4
	}
	// Each architecture is a block: not mine: skip it; one of my ioctls: go on to the request; else allow.
	request := []instruction{{load, 0, 0, low}}
	for i, r := range injections {
		request = append(request, instruction{jeq, uint8(len(injections) - i), 0, r})
	}
	request = append(request,
		instruction{ret, 0, 0, unix.SECCOMP_RET_ALLOW},
		instruction{ret, 0, 0, unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)})

	var blocks []instruction
	for _, a := range ioctls {
		block := []instruction{{load, 0, 0, offsetNr}}
		for i, nr := range a.nrs {
			block = append(block, instruction{jeq, uint8(len(a.nrs) - i), 0, nr})
		}
		block = append(block, instruction{ret, 0, 0, unix.SECCOMP_RET_ALLOW})
		block = append(block, request...)
		blocks = append(blocks, instruction{load, 0, 0, offsetArch}, instruction{jeq, 0, uint8(len(block)), a.arch})
		blocks = append(blocks, block...)
	}
	blocks = append(blocks, instruction{ret, 0, 0, unix.SECCOMP_RET_ALLOW})

	return assemble(blocks)
}
