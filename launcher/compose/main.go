package compose

import (
	"io"
	"os"

	"github.com/flake-launcher/flake-launcher/launcher"
	"github.com/flake-launcher/flake-launcher/nsexec"
)

// RunPlan starts the app of the plan that f holds, with the words that the launcher added, and gives the exit code for
// a start that failed. When there was an app it does not return: the process ends as the app did.
func RunPlan(f *os.File, args []string) int {
	job, release, err := jobOfPlan(f, args)
	if err != nil {
		return fail(os.Stderr, err)
	}
	f.Close()
	status, err := Run(job)
	release()
	if err != nil {
		return fail(os.Stderr, err)
	}
	nsexec.Exit(status)
	return nsexec.CodeLauncher
}

// fail reports a start that did not become an app, and gives its exit code.
func fail(w io.Writer, err error) int {
	launcher.Report(w, "flake-launcher", err)
	return nsexec.ExitCode(err)
}
