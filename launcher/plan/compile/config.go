package compile

import (
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// defaultPath is what a container gets whose images name no PATH (KIWI's never do).
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// stackConfig is the image config of a whole stack.
type stackConfig struct {
	env        []string
	entrypoint []string
	cmd        []string
	workdir    string
	user       string
}

// checkStack refuses what can't run here: a foreign architecture or system.
func checkStack(req Request, images []rootfs.Stored) error {
	for n, i := range images {
		if !rootfs.Runs(i.OS, i.Architecture, runtime.GOARCH) {
			return &StackError{
				Flake:  req.Name,
				Reason: fmt.Sprintf("image %q is for %s/%s, this machine is linux/%s", req.Images[n], i.OS, i.Architecture, runtime.GOARCH),
				Fix:    "pull the image for this machine's architecture",
			}
		}
	}
	return nil
}

// mergeConfigs merges the configs of a stack, base first: Env adds up, a later value wins; Entrypoint and Cmd
// come together from the topmost image that has an Entrypoint, else Cmd is the app image's; WorkingDir and
// User come from the topmost image that names one.
func mergeConfigs(images []rootfs.Stored) stackConfig {
	var out stackConfig
	for _, i := range images {
		cfg := i.Config.Config
		for _, kv := range cfg.Env {
			out.env = setEnv(out.env, kv)
		}
		if len(cfg.Entrypoint) > 0 {
			out.entrypoint, out.cmd = cfg.Entrypoint, cfg.Cmd
		}
		if cfg.WorkingDir != "" {
			out.workdir = cfg.WorkingDir
		}
		if cfg.User != "" {
			out.user = cfg.User
		}
	}
	if len(out.entrypoint) == 0 && len(images) > 0 {
		out.cmd = images[len(images)-1].Config.Config.Cmd
	}
	return out
}

// setEnv replaces or adds one K=V. An entry without a name is dropped: execve would take it, programs choke.
func setEnv(env []string, kv string) []string {
	name, _, ok := strings.Cut(kv, "=")
	if !ok || name == "" || strings.ContainsRune(kv, 0) {
		return env
	}
	if n := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") }); n >= 0 {
		env[n] = kv
		return env
	}
	return append(env, kv)
}

// hasEnv reports whether env names the variable.
func hasEnv(env []string, name string) bool {
	return slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
}

// command fills in what is run, where, and with which fixed environment.
func command(p *plan.Plan, req Request, stack stackConfig) error {
	p.Env = slices.Clone(stack.env)
	if !hasEnv(p.Env, "PATH") {
		p.Env = setEnv(p.Env, "PATH="+defaultPath)
	}
	if stack.workdir != "" {
		p.Cwd = path.Clean("/" + stack.workdir)
	}
	if own := req.Flake.Entrypoint; len(own) > 0 {
		if req.AdHoc {
			return &StackError{Flake: req.Name, Reason: "entrypoint: not for a start that is not registered", Fix: "put the command and its arguments behind the image"}
		}
		p.Entrypoint = slices.Clone(own)
		if req.Target != "" {
			p.Entrypoint = append(p.Entrypoint, req.Target)
		}
		return nil
	}
	if req.Target != "" {
		p.Entrypoint = []string{req.Target}
		return nil
	}
	p.Entrypoint, p.Cmd = stack.entrypoint, stack.cmd
	if len(p.Entrypoint)+len(p.Cmd) == 0 && !req.AdHoc {
		return &StackError{
			Flake: req.Name, Reason: "the images name neither Entrypoint nor Cmd",
			Fix: "name a command: --target PATH at registration, or behind the image with flake-run",
		}
	}
	return nil
}
