//go:build cgo

package seccomp

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDefaultProfile(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("needs amd64: the numbers are its")
	}
	plain := compiled(t, nil)
	chroot := compiled(t, []string{"CAP_SYS_CHROOT"})
	admin := compiled(t, []string{"CAP_SYS_ADMIN", "CAP_BPF"})
	const enosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	amd := func(nr uint32, args ...uint64) call {
		c := call{arch: unix.AUDIT_ARCH_X86_64, nr: nr}
		copy(c.args[:], args)
		return c
	}
	for name, tc := range map[string]struct {
		prog []byte
		c    call
		want uint32
	}{
		"read":                          {plain, amd(unix.SYS_READ), allow},
		"execve":                        {plain, amd(unix.SYS_EXECVE), allow},
		"clone3":                        {plain, amd(unix.SYS_CLONE3), allow},
		"read as i386":                  {plain, call{arch: unix.AUDIT_ARCH_I386, nr: 3}, allow},
		"read as x32":                   {plain, amd(x32Bit), allow},
		"an unknown call":               {plain, amd(10000), enosys},
		"a foreign architecture":        {plain, call{arch: unix.AUDIT_ARCH_S390X, nr: 3}, unix.SECCOMP_RET_KILL_THREAD},
		"kexec_load":                    {plain, amd(unix.SYS_KEXEC_LOAD), eperm},
		"userfaultfd":                   {plain, amd(unix.SYS_USERFAULTFD), eperm},
		"bpf":                           {plain, amd(unix.SYS_BPF), eperm},
		"bpf with its capability":       {admin, amd(unix.SYS_BPF), allow},
		"chroot":                        {plain, amd(unix.SYS_CHROOT), eperm},
		"chroot with its capability":    {chroot, amd(unix.SYS_CHROOT), allow},
		"personality, the usual":        {plain, amd(unix.SYS_PERSONALITY, 0), allow},
		"personality, read":             {plain, amd(unix.SYS_PERSONALITY, 0xffffffff), allow},
		"personality, no randomisation": {plain, amd(unix.SYS_PERSONALITY, 0x0040000), enosys},
		"an ordinary socket":            {plain, amd(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0), allow},
		"netlink":                       {plain, amd(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0), allow},
		"audit netlink":                 {plain, amd(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 9), unix.SECCOMP_RET_ERRNO | uint32(unix.EINVAL)},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, tc.prog, tc.c); got != tc.want {
				t.Errorf("%#x, want %#x", got, tc.want)
			}
		})
	}
}

func compiled(t *testing.T, caps []string) []byte {
	t.Helper()
	prog, err := Compile(caps)
	if err != nil {
		t.Fatal(err)
	}
	if len(prog)%instructionSize != 0 || len(prog)/instructionSize > maxInstructions {
		t.Fatalf("%d bytes", len(prog))
	}
	return prog
}

func TestRulesThatCanNotBeCompiled(t *testing.T) {
	m := machine{arch: runtime.GOARCH, kernel: "6.1"}
	for name, tc := range map[string]struct{ rules, cause string }{
		"unknown action":         {`{"names":["read"],"action":"SCMP_ACT_PANIC"}`, "SCMP_ACT_PANIC"},
		"notify, not supported":  {`{"names":["read"],"action":"SCMP_ACT_NOTIFY"}`, "SCMP_ACT_NOTIFY"},
		"unknown operator":       {`{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"SCMP_CMP_XX"}]}`, "SCMP_CMP_XX"},
		"argument out of bounds": {`{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":7,"op":"SCMP_CMP_EQ"}]}`, "argument 7"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := parseProfile([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[` + tc.rules + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := compile(p, m); err == nil || !strings.Contains(err.Error(), tc.cause) {
				t.Errorf("%v", err)
			}
		})
	}
	// What this libseccomp has not heard of falls to the default action.
	p, err := parseProfile([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["call_of_2040","read"],"action":"SCMP_ACT_ALLOW"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := compile(p, m); err != nil {
		t.Errorf("unknown system call: %v", err)
	}
}

// A quarter of the length is what a start saves most of the installation by.
func TestMergedProfile(t *testing.T) {
	for name, caps := range map[string][]string{"plain": nil, "all": {"CAP_SYS_ADMIN", "CAP_BPF", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYSLOG"}} {
		t.Run(name, func(t *testing.T) {
			in := [][]byte{compiled(t, caps), Terminal()}
			out := Merge(in)
			if len(out) != 1 || len(out[0])*3 > len(in[0]) {
				t.Fatalf("%d programs, %d bytes of %d", len(out), len(out[0]), len(in[0]))
			}
			sameAnswers(t, in, out[0])
			t.Logf("%d instructions of %d", len(out[0])/instructionSize, (len(in[0])+len(in[1]))/instructionSize)
		})
	}
}
