package flake

import (
	"strconv"
	"strings"
)

// setVolume reads SOURCE:TARGET[:OPTIONS].
func setVolume(o *Flake, v string) error {
	const form = "write SOURCE:TARGET[:ro], both absolute; for an empty directory use --tmpfs TARGET"
	parts := strings.SplitN(v, ":", 3)
	if len(parts) < 2 || parts[0] == "" || parts[1] == "" {
		return bad(form, "%q: a source or a target is missing", v)
	}
	m := Mount{Source: parts[0], Target: parts[1]}
	if len(parts) == 3 {
		for _, opt := range strings.Split(parts[2], ",") {
			if err := bindOption(&m, opt); err != nil {
				return err
			}
		}
	}
	if !strings.ContainsAny(m.Source, "/%") {
		return bad("give the path of a directory of the host instead", "%q: volumes with names are podman's", m.Source)
	}
	return addMount(o, m)
}

func addMount(o *Flake, m Mount) error {
	if err := m.check(); err != nil {
		return err
	}
	o.Mounts = append(o.Mounts, m)
	return nil
}

// bindOption reads one of podman's options of a bind. Ours are recursive, slaves of the host's mounts, and without effect
// of setuid programs and of device nodes.
func bindOption(m *Mount, opt string) error {
	switch opt {
	case "ro", "readonly":
		m.ReadOnly = true
	case "rw":
		m.ReadOnly = false
	case "dev":
		m.Devices = true
	case "rbind", "slave", "rslave", "nosuid", "nodev", "exec", "nocopy":
	case "z", "Z": // we label nothing
	case "U":
		return bad("leave it out: files of the host keep their owners", "%q would give files of the host to another user", opt)
	case "O":
		return bad("leave it out, and say ro", "%q is not supported: nothing lies between the app and the host's files", opt)
	default:
		return bad("use ro or rw", "%q: an option of a volume that is not supported", opt)
	}
	return nil
}

// setMount reads type=TYPE,NAME=VALUE,…
func setMount(o *Flake, v string) error {
	var m Mount
	for _, field := range strings.Split(v, ",") {
		if err := mountField(&m, field); err != nil {
			return err
		}
	}
	switch m.Type {
	case "bind", "tmpfs":
	case "":
		return bad("begin with type=bind or type=tmpfs", "%q: its type is missing", v)
	default:
		return bad("use type=bind or type=tmpfs", "type %q is not supported", m.Type)
	}
	return addMount(o, m)
}

func mountField(m *Mount, field string) error {
	name, value, has := strings.Cut(field, "=")
	on := true
	if has && (name == "ro" || name == "readonly" || name == "rw") {
		var err error
		if on, err = strconv.ParseBool(value); err != nil {
			return bad("", "%q: neither true nor false", field)
		}
	}
	switch {
	case name == "type":
		m.Type = value
	case (name == "source" || name == "src") && value != "":
		m.Source = value
	case (name == "target" || name == "dst" || name == "destination") && value != "":
		m.Target = value
	case name == "ro" || name == "readonly":
		m.ReadOnly = on
	case name == "rw":
		m.ReadOnly = !on
	case name == "tmpfs-size" || name == "size":
		m.Size = value
	case name == "tmpfs-mode" || name == "mode":
		m.Mode = value
	case name == "noexec" && m.Type == "tmpfs":
		m.NoExec = true
	case name == "bind-propagation":
		return bindOption(m, value)
	case name == "relabel" && (value == "shared" || value == "private"):
	case !has:
		return bindOption(m, name)
	default:
		return bad("use type, source, target, ro, tmpfs-size or tmpfs-mode", "%q is not supported", field)
	}
	return nil
}

// setTmpfs reads TARGET[:OPTIONS].
func setTmpfs(o *Flake, v string) error {
	target, options, _ := strings.Cut(v, ":")
	m := Mount{Type: "tmpfs", Target: target}
	for _, opt := range strings.Split(options, ",") {
		name, value, _ := strings.Cut(opt, "=")
		switch name {
		case "size":
			m.Size = value
		case "mode":
			m.Mode = value
		case "ro":
			m.ReadOnly = true
		case "noexec":
			m.NoExec = true
		case "", "rw", "exec", "nosuid", "nodev", "rprivate", "private", "notmpcopyup":
		default:
			return bad("use size=, mode=, ro or noexec", "%q: an option of a tmpfs that is not supported", opt)
		}
	}
	return addMount(o, m)
}
