package flake

import (
	"encoding/json"
	"strconv"
	"strings"
)

func setEnv(o *Flake, v string) error {
	name, value, ok := strings.Cut(v, "=")
	if name == "" {
		return bad("write NAME=VALUE, or NAME for the caller's", "%q: a name is missing", v)
	}
	if !ok {
		o.Env.Allow = append(o.Env.Allow, name)
		return nil
	}
	if o.Env.Set == nil {
		o.Env.Set = map[string]string{}
	}
	o.Env.Set[name] = value
	return nil
}

// setEntrypoint takes a command, or a list of words in JSON. An empty one takes the image's away, which a command of
// the flake's own does anyway.
func setEntrypoint(o *Flake, v string) error {
	o.Entrypoint = nil
	switch {
	case strings.HasPrefix(v, "["):
		if err := json.Unmarshal([]byte(v), &o.Entrypoint); err != nil {
			return bad(`write a command, or a list: ["command","word"]`, "%q: no list of words", v)
		}
	default:
		o.Entrypoint = []string{v}
	}
	if len(o.Entrypoint) == 0 {
		o.Entrypoint = []string{""}
	}
	return nil
}

func setUserns(o *Flake, v string) error {
	switch v {
	case "keep-id":
		o.IDs = "single"
	case "host": // root's starts have no other; an ordinary user's namespace maps him to himself
	default:
		return bad("leave it out, or say keep-id; `ids: range` gives an ordinary user his range of ids", "%q is not keep-id or host", v)
	}
	return nil
}

func setNetwork(o *Flake, v string) error {
	if v != "host" && v != "none" {
		return bad("say host, or none", "%q is not host or none: there are no virtual networks here", v)
	}
	o.Network = v
	return nil
}

func namespace(key *string, v string) error {
	if v != "host" && v != "private" {
		return bad("say host, or leave it out", "%q is not host or private", v)
	}
	*key = v
	return nil
}

func capabilities(list *[]string, v string) error {
	*list = append(*list, strings.Split(v, ",")...)
	return nil
}

func setSecurity(o *Flake, v string) error {
	name, value, has := v, "", false
	if i := strings.IndexAny(v, "=:"); i >= 0 {
		name, value, has = v[:i], v[i+1:], true
	}
	s := &o.Security
	switch {
	case name == "no-new-privileges" && !has:
		s.NewPrivileges = false
	case name == "no-new-privileges":
		on, err := strconv.ParseBool(value)
		if err != nil {
			return bad("", "%q: neither true nor false", v)
		}
		s.NewPrivileges = !on
	case name == "seccomp" && (value == "unconfined" || value == "default"):
		s.Seccomp = value
	case name == "seccomp":
		return bad("use seccomp=default or seccomp=unconfined", "%q: there is one profile", v)
	case name == "label" && value == "disable", name == "apparmor" && value == "unconfined": // we set none
	case name == "label", name == "apparmor":
		return bad("leave it out: no label or profile is set by us", "%q is not supported", v)
	case name == "mask" && value != "":
		s.Mask = append(s.Mask, strings.Split(value, ":")...)
	case name == "unmask" && value != "":
		s.Unmask = append(s.Unmask, strings.Split(value, ":")...)
	case name == "systempaths" && value == "unconfined":
		s.Unmask = append(s.Unmask, "all")
	default:
		return bad("use no-new-privileges, seccomp, label, apparmor, mask or unmask", "%q is not known", v)
	}
	return nil
}

func setStorage(o *Flake, v string) error {
	name, value, _ := strings.Cut(v, "=")
	if name != "size" {
		return bad("leave it out: only size= has a meaning here", "%q is not known", v)
	}
	o.WritableSize = value
	return nil
}

func setUlimit(o *Flake, v string) error {
	if v == "host" {
		return nil // limits are the caller's anyway
	}
	name, value, ok := strings.Cut(v, "=")
	if !ok || name == "" {
		return bad("write NAME=SOFT[:HARD]", "%q has no value", v)
	}
	if o.Ulimits == nil {
		o.Ulimits = map[string]string{}
	}
	o.Ulimits[name] = value
	return nil
}

// setPIDs reads a number; podman's words for no limit are 0 and -1.
func setPIDs(o *Flake, v string) error {
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil || n < -1 {
		return bad("give a number, or -1 for no limit", "%q is no number of processes", v)
	}
	o.Limits.PIDs = max(n, 0)
	return nil
}

func setLabel(o *Flake, v string) error {
	name, value, _ := strings.Cut(v, "=")
	if o.Labels == nil {
		o.Labels = map[string]string{}
	}
	o.Labels[name] = value
	return nil
}
