package launcher

import (
	"os"

	"github.com/flake-launcher/flake-launcher/launcher/instance"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// AdHoc is a start that nothing registers: flake-run's.
type AdHoc struct {
	Base   string
	Layers []string
	Image  string
	// Flags are option.Common's words: how the images are started.
	Flags []string
	Env   []string
	// Trace has the phases of the start told: "1" on stderr, else in the file of that name; "" as FLAKE_TRACE says.
	Trace string
	// Instance keeps the container for later starts under that name; "" does not.
	Instance string
	// Command replaces Entrypoint and Cmd when it is not empty.
	Command []string
}

// Words are the arguments of flake-ctl compile that describe the stack; they name the plan as well.
func (a AdHoc) Words() []string {
	w := []string{"compile", "--ad-hoc"}
	if a.Base != "" {
		w = append(w, "--base="+a.Base)
	}
	for _, l := range a.Layers {
		w = append(w, "--layer="+l)
	}
	if a.Instance != "" {
		w = append(w, "--resume")
	}
	return append(append(w, a.Flags...), "--", a.Image)
}

// Run starts an image ad hoc. Like Main it returns only when that failed.
func Run(a AdHoc) int {
	err := run(a)
	Report(os.Stderr, AdHocFlake, err)
	return Code(err)
}

func run(a AdHoc) error {
	l, err := newLauncher()
	if err != nil {
		return err
	}
	if a.Trace != "" {
		l.trace = newTrace(a.Trace)
	}
	ask, err := environmentPilot()
	if err != nil {
		return err
	}
	if a.Instance == "" {
		a.Instance = ask.Instance
	} else if err := instance.CheckName(a.Instance); err != nil {
		return err
	}
	ask.Instance = a.Instance
	return l.launch(adHoc(a.Words()), plan.Invocation{Replace: len(a.Command) > 0, Env: a.Env, Args: a.Command}, ask)
}
