package seccomp

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestScriptMakesNoNamespaces(t *testing.T) {
	prog := Script()
	arch := natives[runtime.GOARCH]
	if arch == 0 {
		t.Skip("no such filter on " + runtime.GOARCH)
	}
	const nosys = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	for name, tc := range map[string]struct {
		c    call
		want uint32
	}{
		"read":                  {call{arch, unix.SYS_READ, [6]uint64{}}, allow},
		"fork":                  {call{arch, unix.SYS_CLONE, [6]uint64{uint64(unix.SIGCHLD)}}, allow},
		"a thread":              {call{arch, unix.SYS_CLONE, [6]uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND}}, allow},
		"clone with namespaces": {call{arch, unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWUSER}}, eperm},
		"the last of them":      {call{arch, unix.SYS_CLONE, [6]uint64{unix.CLONE_NEWNET}}, eperm},
		"clone3":                {call{arch, unix.SYS_CLONE3, [6]uint64{}}, nosys},
		"unshare":               {call{arch, unix.SYS_UNSHARE, [6]uint64{}}, eperm},
		"memfd":                 {call{arch, unix.SYS_MEMFD_CREATE, [6]uint64{}}, eperm},
		"shared memory":         {call{arch, unix.SYS_SHMGET, [6]uint64{}}, eperm},
		"x32":                   {call{arch, x32Bit | unix.SYS_READ, [6]uint64{}}, eperm},
		"another architecture":  {call{0x12345678, unix.SYS_READ, [6]uint64{}}, eperm},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, prog, tc.c); got != tc.want {
				t.Errorf("%#x, want %#x", got, tc.want)
			}
		})
	}
}
