package nsexec

import (
	"os"
	"slices"
	"strings"

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
