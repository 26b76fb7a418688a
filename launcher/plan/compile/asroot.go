package compile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// sudoNeeds are those that sudo is given as well, to ask for a password and to find who is called. What of all these
// gets to root is the word of sudoers; root's own start passes on to the app what it does to every app.
var sudoNeeds = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "SUDO_ASKPASS", "SUDO_PROMPT",
	"SSH_AUTH_SOCK", "KRB5CCNAME",
}

// asRoot makes the plan of a flake that only root starts: for anybody else it says no more than what to hand to sudo.
func (c *Compiler) asRoot(name, file, link string, checks []plan.Check) (*Result, error) {
	// Root reads no registration of a user's: it would not find the flake, or take another of that name.
	if dir := filepath.Dir(file); dir != plan.SystemDir && dir != plan.VendorDir {
		return nil, &RunAsError{name, file + " is not root's", "register it as root, into " + plan.SystemDir + ", or take runas out of it"}
	}
	if link == "" {
		return nil, &RunAsError{name, "it has no host_app_path for sudo to call", "add container.host_app_path to " + file}
	}
	p := &plan.Plan{
		Build: plan.Build, Kernel: plan.Kernel(), Name: name, Searched: c.Searched, Caller: uint32(c.Caller.UID),
		Sudo: true, Entrypoint: []string{link}, Pass: slices.Concat(caller.ProfileOf(caller.Project).Pass, sudoNeeds), Checks: checks,
	}
	if err := os.MkdirAll(c.Store.PlansDir(), 0o755); err != nil {
		return nil, fmt.Errorf("make directory of plans: %w", err)
	}
	return &Result{Plan: p}, p.Write(filepath.Join(c.Store.PlansDir(), plan.FileName(name, c.Caller.Home)))
}
