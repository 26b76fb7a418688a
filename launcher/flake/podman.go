package flake

import (
	"fmt"
	"strconv"
	"strings"
)

// KeyError says what is wrong with a key of a flake, or with one of podman's options.
type KeyError struct{ Key, Reason, Fix string }

func (e *KeyError) Error() string { return e.Key + ": " + e.Reason }

// Remedy implements the CLI's second line.
func (e *KeyError) Remedy() string {
	if e.Fix == "" {
		return "correct it, or leave it out"
	}
	return e.Fix
}

// podmanOption is one option of `podman create` in our terms.
type podmanOption struct {
	name  string
	short byte
	// flag options have no value, but may be given =true or =false.
	flag bool
	// vars may hold %NAME, a variable of the caller, which is expanded at each start.
	vars bool
	// set puts the value into the native keys; what it returns is a *KeyError without a key.
	set func(o *Flake, value string) error
}

// podmanOptions is all that is known of podman's options. What is true of every start anyway is known and has no effect.
var podmanOptions = []podmanOption{
	{name: "volume", short: 'v', vars: true, set: setVolume},
	{name: "mount", vars: true, set: setMount},
	{name: "tmpfs", vars: true, set: setTmpfs},
	{name: "device", vars: true, set: func(o *Flake, v string) error { o.Devices = append(o.Devices, v); return nil }},

	{name: "env", short: 'e', vars: true, set: setEnv},
	{name: "env-file", set: func(o *Flake, v string) error { o.Env.Files = append(o.Env.Files, v); return nil }},
	{name: "workdir", short: 'w', vars: true, set: func(o *Flake, v string) error { o.Workdir = v; return nil }},
	{name: "entrypoint", set: setEntrypoint},
	{name: "user", short: 'u', set: func(o *Flake, v string) error { o.User = v; return nil }},
	{name: "userns", set: setUserns},
	{name: "group-add", set: func(o *Flake, v string) error { o.Groups = append(o.Groups, strings.Split(v, ",")...); return nil }},

	{name: "net", set: setNetwork},
	{name: "network", set: setNetwork},
	{name: "hostname", short: 'h', set: func(o *Flake, v string) error { o.Hostname = v; return nil }},
	{name: "pid", set: func(o *Flake, v string) error { return namespace(&o.Namespaces.PID, v) }},
	{name: "ipc", set: func(o *Flake, v string) error { return namespace(&o.Namespaces.IPC, v) }},
	{name: "uts", set: func(o *Flake, v string) error { return namespace(&o.Namespaces.UTS, v) }},

	{name: "cap-add", set: func(o *Flake, v string) error { return capabilities(&o.Capabilities.Add, v) }},
	{name: "cap-drop", set: func(o *Flake, v string) error { return capabilities(&o.Capabilities.Drop, v) }},
	{name: "security-opt", set: setSecurity},
	{name: "privileged", flag: true, set: setTrue(func(o *Flake) { o.Privileged = true })},
	{name: "read-only", flag: true, set: setTrue(func(o *Flake) { o.Writable = "none" })},
	{name: "storage-opt", set: setStorage},

	{name: "ulimit", set: setUlimit},
	{name: "memory", short: 'm', set: func(o *Flake, v string) error { o.Limits.Memory = v; return nil }},
	{name: "cpus", set: func(o *Flake, v string) error { o.Limits.CPUs = v; return nil }},
	{name: "pids-limit", set: setPIDs},
	{name: "shm-size", set: func(o *Flake, v string) error { o.ShmSize = v; return nil }},

	{name: "label", short: 'l', vars: true, set: setLabel},
	{name: "annotation", vars: true, set: setLabel},
	{name: "name", vars: true, set: func(o *Flake, v string) error { return setLabel(o, "name="+v) }},

	{name: "init", flag: true, set: setTrue(func(*Flake) {})},
	{name: "interactive", short: 'i', flag: true, set: setTrue(func(*Flake) {})},
	{name: "rm", flag: true, set: setTrue(func(*Flake) {})},
	{name: "tty", short: 't', flag: true, set: setTrue(func(*Flake) {})},
}

// instead says what to use for options that people try and that have no equal here.
var instead = map[string]string{
	"publish": "leave it out: with `network: host` a port of the app is one of the host", "p": "leave it out: with `network: host` a port of the app is one of the host",
	"add-host": "leave it out: the app has the host's /etc/hosts", "dns": "leave it out: the app has the host's /etc/resolv.conf",
	"env-host": "use `env: {allow: [\"*\"]}`, or the profile native", "tz": "leave it out: the app has the host's time zone",
	"memory-swap": "use memory alone", "cpu-shares": "use cpus", "cpu-quota": "use cpus",
	"detach": "leave it out: a start waits for its app", "d": "leave it out: a start waits for its app", "replace": "leave it out",
	"pull": "use flake-ctl pull", "gpus": "name the devices: --device /dev/dri", "volumes-from": "use --volume",
	"preserve-fds": "use the key preserve_fds", "passwd": "leave it out", "systemd": "leave it out: our own init runs the app",
}

// parsePodman reads entries of `--opt` or of container.runtime.podman, in flake-pilot's form, into native keys.
func parsePodman(entries []string) (*Flake, error) {
	o := &Flake{}
	for n := 0; n < len(entries); n++ {
		entry := strings.TrimPrefix(strings.TrimSpace(entries[n]), `\`)
		// flake-pilot hands words over one by one: an option and its value may be two entries.
		if n+1 < len(entries) && strings.HasPrefix(entry, "-") && !strings.ContainsAny(entry, " =") && !strings.HasPrefix(strings.TrimPrefix(entries[n+1], `\`), "-") {
			n++
			entry += " " + entries[n]
		}
		words, err := splitEntry(entry)
		if err != nil {
			return nil, err
		}
		for _, w := range words {
			if err := w.apply(o); err != nil {
				return nil, err
			}
		}
	}
	return o, nil
}

// podmanWord is one option as it was given. has tells an empty value from none.
type podmanWord struct {
	option *podmanOption
	value  string
	has    bool
}

func (w podmanWord) apply(o *Flake) error {
	key := "option --" + w.option.name
	if w.option.flag && !w.has {
		w.value = "true"
	}
	if !w.option.vars && HasVariable(w.value) {
		return &KeyError{key, fmt.Sprintf("%q: a variable of the caller (%%NAME) can't stand here", w.value), "write the value itself"}
	}
	if strings.ContainsAny(w.value, "\x00\n") {
		return &KeyError{Key: key, Reason: fmt.Sprintf("%q: a line break or a NUL in it", w.value)}
	}
	return keyed(key, w.option.set(o, w.value))
}

func optionNamed(name string) *podmanOption {
	for i := range podmanOptions {
		if podmanOptions[i].name == name {
			return &podmanOptions[i]
		}
	}
	return nil
}

func optionShort(c byte) *podmanOption {
	for i := range podmanOptions {
		if podmanOptions[i].short == c && c != 0 {
			return &podmanOptions[i]
		}
	}
	return nil
}

func unknownOption(dashes, name string) error {
	fix := instead[name]
	if fix == "" {
		fix = "leave it out, or use the flake's own keys: the README has a table of both"
	}
	return &KeyError{"option " + dashes + name, "not known", fix}
}

func bad(fix, format string, args ...any) error {
	return &KeyError{Reason: fmt.Sprintf(format, args...), Fix: fix}
}

// setTrue has an option without a value do its work unless it says =false.
func setTrue(set func(o *Flake)) func(*Flake, string) error {
	return func(o *Flake, v string) error {
		on, err := strconv.ParseBool(v)
		if err != nil {
			return bad("leave the value out", "%q is neither true nor false", v)
		}
		if on {
			set(o)
		}
		return nil
	}
}

// HasVariable says whether text holds a %NAME.
func HasVariable(text string) bool {
	for i := 0; i+1 < len(text); i++ {
		if c := text[i+1] | 0x20; text[i] == '%' && (c >= 'a' && c <= 'z' || text[i+1] == '_') {
			return true
		}
	}
	return false
}
