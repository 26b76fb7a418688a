package launcher

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
	// Instance keeps the container for later starts under that name; "" does not.
	Instance string
	// Command replaces Entrypoint and Cmd when it is not empty.
	Command []string
}

// words are the arguments of flake-ctl compile that describe the stack; they name the plan as well.
func (a AdHoc) words() []string {
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

// FileName is the name of the plan file of an ad-hoc start: a hash of what it is made from.
func (a AdHoc) FileName() string {
	h := sha256.New()
	for _, w := range append(a.words(), plan.HomeKey(os.Getenv("HOME"))) {
		fmt.Fprintf(h, "%q ", w)
	}
	return "run-" + hex.EncodeToString(h.Sum(nil))[:32] + ".adhoc"
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
	return l.launch(AdHocFlake, a.FileName(), a.words(), plan.Invocation{Replace: len(a.Command) > 0, Env: a.Env, Args: a.Command}, ask)
}
