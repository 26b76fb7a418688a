package launcher

import (
	"fmt"

	"github.com/flake-launcher/flake-launcher/launcher/instance"
	"github.com/flake-launcher/flake-launcher/nsexec"
)

// AttachedError refuses arguments for an app that runs already.
type AttachedError struct{ Name instance.Name }

func (e *AttachedError) Error() string {
	return fmt.Sprintf("kept instance %s: its app is running, and can't be given arguments", e.Name)
}

// Remedy implements the CLI's second line.
func (e *AttachedError) Remedy() string {
	return "call it without arguments to come back to it, or take another instance by FLAKE_INSTANCE"
}

// attach brings the caller to the terminal of the instance's app, which is started as j says if there is none; args says
// that the caller has given arguments. The instance is open with its shared lock.
func attach(j *nsexec.Join, in *instance.Instance, args bool) error {
	for _, how := range []int{instance.Shared, instance.Exclusive} {
		if err := in.Relock(how); err != nil {
			return err
		}
		serving, err := in.Serving()
		if err != nil {
			return err
		}
		if serving && args {
			return &AttachedError{in.Name}
		}
		if serving {
			return j.Attach(in.Connect)
		}
	}
	listener, err := in.Listen()
	if err != nil {
		return err
	}
	// Connected before the app runs: nothing that it says may be lost.
	return said(j.Serve(listener, []string{"flake-launcher", "terminal", in.Path()}, in.Connect))
}
