package seccomp

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestTerminalRefusesInjection(t *testing.T) {
	prog := Terminal()
	const (
		sti   = unix.TIOCSTI
		linux = unix.TIOCLINUX
	)
	ioctl := func(arch, nr uint32, req uint64) call { return call{arch, nr, [6]uint64{0, req}} }
	for name, tc := range map[string]struct {
		c    call
		want uint32
	}{
		"TIOCSTI":                           {ioctl(unix.AUDIT_ARCH_X86_64, 16, sti), eperm},
		"TIOCLINUX":                         {ioctl(unix.AUDIT_ARCH_X86_64, 16, linux), eperm},
		"TIOCSTI with high bits":            {ioctl(unix.AUDIT_ARCH_X86_64, 16, 0xffffffff00000000|sti), eperm},
		"TIOCSTI as x32":                    {ioctl(unix.AUDIT_ARCH_X86_64, x32Bit|514, sti), eperm},
		"TIOCSTI as x32 by the 64-bit call": {ioctl(unix.AUDIT_ARCH_X86_64, x32Bit|16, sti), eperm},
		"TIOCSTI as i386":                   {ioctl(unix.AUDIT_ARCH_I386, 54, sti), eperm},
		"TIOCSTI as arm64":                  {ioctl(unix.AUDIT_ARCH_AARCH64, 29, sti), eperm},
		"TIOCSTI as arm":                    {ioctl(unix.AUDIT_ARCH_ARM, 54, linux), eperm},
		"another ioctl":                     {ioctl(unix.AUDIT_ARCH_X86_64, 16, unix.TCGETS), allow},
		"request 0":                         {ioctl(unix.AUDIT_ARCH_X86_64, 16, 0), allow},
		"another call with the same number": {call{unix.AUDIT_ARCH_X86_64, 1, [6]uint64{0, sti}}, allow},
		"i386's number on x86_64":           {ioctl(unix.AUDIT_ARCH_X86_64, 54, sti), allow},
		"the request in another argument":   {call{unix.AUDIT_ARCH_X86_64, 16, [6]uint64{sti, 0, sti}}, allow},
		"an architecture we never saw":      {ioctl(0x12345678, 16, sti), allow},
	} {
		t.Run(name, func(t *testing.T) {
			if got := run(t, prog, tc.c); got != tc.want {
				t.Errorf("%#x, want %#x", got, tc.want)
			}
		})
	}
}
