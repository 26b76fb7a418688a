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
	for _, w := range a.words() {
		fmt.Fprintf(h, "%q ", w)
	}
	return "run-" + hex.EncodeToString(h.Sum(nil))[:32] + ".adhoc"
}

// Run starts an image ad hoc. Like Main it returns only when that failed.
func Run(a AdHoc) int {
	k := keepingFromEnv()
	if k.Flake = AdHocFlake; a.Instance == "" {
		a.Instance = k.Instance
	}
	k.Instance = a.Instance
	l, err := newLauncher()
	if err == nil && a.Instance != "" {
		err = instance.CheckName(a.Instance)
	}
	if err == nil {
		err = l.launch("flake-run", a.FileName(), a.words(), plan.Invocation{Replace: len(a.Command) > 0, Env: a.Env, Args: a.Command}, k)
	}
	Report(os.Stderr, "flake-run", err)
	return Code(err)
}
