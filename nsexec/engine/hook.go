package engine

import (
	"os"
	"runtime/debug"

	"github.com/opencontainers/runc/libcontainer"
)

// initPipe is set by libcontainer in the process that it re-executes, and by nobody else: ExecEngine removes it
// from what a caller passes on.
const initPipe = "_LIBCONTAINER_INITPIPE"

// Hook must be the first thing that an init function of the program does. In a process that libcontainer
// re-executed it sets the container up and does not return; otherwise it does nothing. It looks at the environment
// and never at the arguments: `init` is a word that apps use (`git init`).
func Hook() {
	if os.Getenv(initPipe) != "" {
		spareCollector()
		libcontainer.Init()
	}
}

// collectAbove is far more memory than setting up a container needs.
const collectAbove = 64 << 20

// spareCollector keeps the garbage collector, and the threads it starts, out of a process that lives for a few
// milliseconds or only waits.
func spareCollector() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(collectAbove)
}
