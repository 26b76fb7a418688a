package seccomp

import (
	"encoding/binary"
	"runtime"

	"golang.org/x/sys/unix"
)

// natives are the architectures that scripts can be confined on, by Go's names.
var natives = map[string]uint32{
	"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64, "riscv64": unix.AUDIT_ARCH_RISCV64,
	"s390x": unix.AUDIT_ARCH_S390X, "ppc64le": unix.AUDIT_ARCH_PPC64LE,
}

// newNamespaces are the flags of clone(2) that make namespaces.
const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
	unix.CLONE_NEWPID | unix.CLONE_NEWNET

// Script gives a program for a confined script, beside the profile's own: no namespaces, in which it could mount, and no
// memory that belongs to no process and so is not counted. Programs of another architecture get nowhere.
func Script() []byte {
	const (
		load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		jset = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		jge  = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
		ret  = unix.BPF_RET | unix.BPF_K

		no      = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		unknown = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS) // the C library then uses clone
	)
	flags := uint32(offsetArgs)
	if runtime.GOARCH == "s390x" {
		flags += 8 + 4 // the second argument there; big endian
	}
	prog := []instruction{
		{load, 0, 0, offsetArch}, {jeq, 1, 0, natives[runtime.GOARCH]}, {ret, 0, 0, no},
		{load, 0, 0, offsetNr}, {jge, 0, 1, x32Bit}, {ret, 0, 0, no},
	}
	for _, nr := range []uint32{
		unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MEMFD_CREATE, unix.SYS_MEMFD_SECRET, unix.SYS_SHMGET, unix.SYS_MSGGET, unix.SYS_SEMGET,
	} {
		prog = append(prog, instruction{jeq, 0, 1, nr}, instruction{ret, 0, 0, no})
	}
	prog = append(prog,
		instruction{jeq, 0, 1, unix.SYS_CLONE3}, instruction{ret, 0, 0, unknown},
		instruction{jeq, 0, 3, unix.SYS_CLONE}, instruction{load, 0, 0, flags},
		instruction{jset, 0, 1, newNamespaces}, instruction{ret, 0, 0, no},
		instruction{ret, 0, 0, unix.SECCOMP_RET_ALLOW})
	return assemble(prog)
}

// instruction is a struct sock_filter.
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

func assemble(prog []instruction) []byte {
	out := make([]byte, 0, len(prog)*instructionSize)
	for _, i := range prog {
		out = binary.NativeEndian.AppendUint16(out, i.code)
		out = append(out, i.jt, i.jf)
		out = binary.NativeEndian.AppendUint32(out, i.k)
	}
	return out
}
