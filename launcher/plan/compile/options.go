package compile

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
	"github.com/flake-launcher/flake-launcher/nsexec/seccomp"
)

// spec is the container that the flake's keys ask for.
func (c *Compiler) spec(p *plan.Plan, req Request) (config.Spec, error) {
	f := req.Flake
	s := config.Spec{
		UID: int(p.UID), ReadonlyRoot: p.Writable == plan.WritableNone, Nesting: c.nesting(req), PrivateNetwork: !req.network(),
		Hostname: f.Hostname, NewPrivs: f.Security.NewPrivileges || f.Privileged, WritableSys: f.Privileged,
		Masked: masked(f, config.DefaultMasked), Readonly: unmasked(f, config.DefaultReadonly),
	}
	for name, v := range map[string]string{"ipc": f.Namespaces.IPC, "pid": f.Namespaces.PID, "uts": f.Namespaces.UTS} {
		if v == "host" {
			s.Share = append(s.Share, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Ulimits)) {
		soft, hard, err := flake.ParseUlimit(f.Ulimits[name])
		if err != nil {
			return s, err
		}
		s.Rlimits = append(s.Rlimits, config.Rlimit{Name: name, Soft: soft, Hard: hard})
	}
	var err error
	if f.ShmSize != "" {
		if s.ShmSize, err = flake.ParseSize(f.ShmSize); err != nil {
			return s, err
		}
	}
	if s.Limits, err = limits(f.Limits); err != nil {
		return s, err
	}
	if s.Caps, s.Held, err = c.capabilities(f); err != nil {
		return s, err
	}
	if s.UID == 0 {
		s.Held = nil
	}
	return s, nil
}

func limits(l flake.Limits) (out config.Limits, err error) {
	out.PIDs = l.PIDs
	if l.Memory != "" {
		if out.Memory, err = flake.ParseSize(l.Memory); err != nil {
			return out, err
		}
	}
	if l.CPUs != "" {
		out.MilliCPUs, err = flake.ParseCPUs(l.CPUs)
	}
	return out, err
}

// masked are the default paths that the flake leaves covered, and its own.
func masked(f *flake.Flake, defaults []string) []string {
	return append(unmasked(f, defaults), f.Security.Mask...)
}

// unmasked are the default paths that the flake leaves as they are; never nil, which would mean all of them.
func unmasked(f *flake.Flake, defaults []string) []string {
	out := []string{}
	for _, p := range defaults {
		free := f.Privileged || slices.ContainsFunc(f.Security.Unmask, func(pattern string) bool {
			ok, err := path.Match(pattern, p)
			return strings.EqualFold(pattern, "all") || err == nil && ok
		})
		if !free {
			out = append(out, p)
		}
	}
	return out
}

// filters are the seccomp programs for a container with these capabilities. A privileged one has none; without the
// profile, the caller's terminal is still out of reach.
func filters(f *flake.Flake, caps []string) ([][]byte, error) {
	switch {
	case f.Privileged && f.Security.Seccomp != "default":
		return nil, nil
	case f.Security.Seccomp == "unconfined":
		return [][]byte{seccomp.Terminal()}, nil
	}
	profile, err := seccomp.Compile(caps)
	if err != nil {
		return nil, fmt.Errorf("compile seccomp profile: %w", err)
	}
	return seccomp.Merge([][]byte{profile, seccomp.Terminal()}), nil
}

// checkEngine refuses what the engine that is asked for, or the only one that is left, can't do.
func (c *Compiler) checkEngine(p *plan.Plan, req Request, s config.Spec) error {
	f := req.Flake
	refuse := func(fix, format string, args ...any) error {
		return &StackError{Flake: req.Name, Reason: fmt.Sprintf(format, args...), Fix: fix}
	}
	limited := ""
	for _, l := range []struct {
		name  string
		given bool
	}{{"memory", s.Limits.Memory > 0}, {"cpus", s.Limits.MilliCPUs > 0}, {"pids", s.Limits.PIDs > 0}} {
		if l.given && limited == "" {
			limited = "limits: " + l.name
		}
	}
	other := limited
	if req.Engine == plan.EngineLibcontainer {
		other = "engine: libcontainer"
	}
	switch {
	case limited != "" && !c.Caller.Root():
		return refuse("start it as root (runas: root), or leave the limit out and use `systemd-run --user --scope -p MemoryMax=… -p TasksMax=…`",
			"%s: an ordinary user can't make the control group for it", limited)
	case limited != "" && req.Engine == plan.EngineDirect:
		return refuse("leave `engine` out, or say libcontainer", "%s: the direct engine has no limits", limited)
	case other == "":
		return nil
	case f.Namespaces.PID == "host":
		return refuse("leave one of the two out", "%s: not together with the host's pids (pid: host)", other)
	case s.NewPrivs && !(f.Privileged && f.Security.Seccomp != "default"):
		return refuse("leave one of the two out, or use privileged", "%s: not together with new privileges", other)
	}
	return nil
}
