package flake

import (
	"fmt"
	"maps"
	"slices"
)

// Effective is the flake with podman's options turned into native keys and put under those that it has: a key that is
// given natively wins, lists and mappings add up. It fails with a *KeyError, also for native keys that make no sense; f
// stays as it is.
func Effective(f *Flake) (*Flake, error) {
	o, err := parsePodman(f.Container.Runtime.Podman)
	if err != nil {
		return nil, err
	}
	out := *f
	out.Container.Runtime.Podman = nil
	for _, s := range []struct{ own, option *string }{
		{&out.Network, &o.Network}, {&out.Hostname, &o.Hostname}, {&out.Workdir, &o.Workdir}, {&out.User, &o.User},
		{&out.Writable, &o.Writable}, {&out.IDs, &o.IDs}, {&out.ShmSize, &o.ShmSize}, {&out.WritableSize, &o.WritableSize},
		{&out.Namespaces.PID, &o.Namespaces.PID}, {&out.Namespaces.IPC, &o.Namespaces.IPC}, {&out.Namespaces.UTS, &o.Namespaces.UTS},
		{&out.Security.Seccomp, &o.Security.Seccomp}, {&out.Limits.Memory, &o.Limits.Memory}, {&out.Limits.CPUs, &o.Limits.CPUs},
	} {
		if *s.own == "" {
			*s.own = *s.option
		}
	}
	if out.Limits.PIDs == 0 {
		out.Limits.PIDs = o.Limits.PIDs
	}
	switch none := len(o.Entrypoint) == 1 && o.Entrypoint[0] == ""; {
	case len(out.Entrypoint) > 0:
	case none && f.OwnEntrypoint():
		return nil, &KeyError{"option --entrypoint", "it is empty, and there is no other command", "name a command (target_app_path, --target)"}
	case !none: // else a command of the flake's own takes the image's place anyway
		out.Entrypoint = o.Entrypoint
	}
	out.Privileged = f.Privileged || o.Privileged
	out.Security.NewPrivileges = f.Security.NewPrivileges || o.Security.NewPrivileges
	for _, l := range []struct {
		own    *[]string
		option []string
	}{
		{&out.Devices, o.Devices}, {&out.Groups, o.Groups}, {&out.Capabilities.Add, o.Capabilities.Add},
		{&out.Capabilities.Drop, o.Capabilities.Drop}, {&out.Security.Mask, o.Security.Mask}, {&out.Security.Unmask, o.Security.Unmask},
		{&out.Env.Allow, o.Env.Allow}, {&out.Env.Files, o.Env.Files},
	} {
		*l.own = slices.Concat(l.option, *l.own)
	}
	out.Mounts = slices.Concat(slices.DeleteFunc(o.Mounts, func(m Mount) bool { return hasTarget(f.Mounts, m.Target) }), f.Mounts)
	for _, m := range []struct {
		own    *map[string]string
		option map[string]string
	}{{&out.Env.Set, o.Env.Set}, {&out.Ulimits, o.Ulimits}, {&out.Labels, o.Labels}} {
		if len(m.option) > 0 {
			all := maps.Clone(m.option)
			maps.Copy(all, *m.own)
			*m.own = all
		}
	}
	if err := out.check(); err != nil {
		return nil, err
	}
	return &out, nil
}

func hasTarget(mounts []Mount, target string) bool {
	return slices.ContainsFunc(mounts, func(m Mount) bool { return m.Target == target })
}

// keyed gives an error of a value its key.
func keyed(key string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*KeyError); ok {
		return &KeyError{key, e.Reason, e.Fix}
	}
	return &KeyError{Key: key, Reason: fmt.Sprint(err)}
}
