package nsexec

import (
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// PlanFD is the descriptor number under which an engine finds its plan.
const PlanFD = 3

// EngineVerb is the engine's first argument.
const EngineVerb = "run"

// libcontainerEnv begins the names by which libcontainer tells a re-executed engine what it is. The caller of
// a flake must not be able to set them for an engine.
const libcontainerEnv = "_LIBCONTAINER_"

// ExecEngine replaces this process with the engine: `ENGINE run ARG…`, plan as descriptor PlanFD, and the
// caller's environment. It returns only when that failed, with an *EngineError.
func ExecEngine(enginePath string, plan *os.File, args []string) error {
	if err := placePlan(int(plan.Fd())); err != nil {
		return &EngineError{Path: enginePath, Err: err}
	}
	argv := append([]string{enginePath, EngineVerb}, args...)
	return &EngineError{Path: enginePath, Err: unix.Exec(enginePath, argv, engineEnv(os.Environ()))}
}

// CallersIgnored are the signals that the caller has this process ignore, as bits from number 1 on. Go's runtime has taken
// nearly all of them for itself before any Go code runs, so only a program that has looked earlier can set it. The direct
// engine's apps ignore them, as natively.
var CallersIgnored uint64

// ignoreAgain is for right before an execve, over which what is ignored stays so. Not by os/signal, which leaves some out.
func ignoreAgain() {
	act := [4]uintptr{1} // struct sigaction of the kernel: SIG_IGN, no flags, nothing masked
	for sig := range uintptr(64) {
		if CallersIgnored>>sig&1 != 0 {
			_, _, _ = unix.RawSyscall6(unix.SYS_RT_SIGACTION, sig+1, uintptr(unsafe.Pointer(&act)), 0, 8, 0, 0)
		}
	}
}

// placePlan makes fd descriptor PlanFD of the program executed next.
func placePlan(fd int) error {
	if fd != PlanFD {
		return unix.Dup3(fd, PlanFD, 0)
	}
	_, err := unix.FcntlInt(PlanFD, unix.F_SETFD, 0)
	return err
}

func engineEnv(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		return strings.HasPrefix(kv, libcontainerEnv)
	})
}
