// Command flake-engine runs one app through libcontainer. A launcher executes it as
//
//	flake-engine run [WORD…]
//
// with a launch plan as descriptor 3. It is no command for people: it reads nothing but its plan.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/flake-launcher/flake-launcher/launcher/compose"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/nsexec/engine"
)

func init() {
	engine.Hook()
	runtime.LockOSThread() // compose.Run needs the main thread
}

func main() {
	if len(os.Args) < 2 || os.Args[1] != nsexec.EngineVerb {
		fmt.Fprintf(os.Stderr, "flake-engine: it is started by flake-launcher, with a plan\n  use flake-run or flake-ctl\n")
		os.Exit(nsexec.CodeLauncher)
	}
	plan := os.NewFile(nsexec.PlanFD, "plan")
	os.Exit(compose.RunPlan(plan, os.Args[2:]))
}
