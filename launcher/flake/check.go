package flake

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	capName    = regexp.MustCompile(`^(?i:all|(CAP_)?[A-Z][A-Z_]*)$`)
	ulimitName = regexp.MustCompile(`^[a-z]+$`)
)

// check is about the values of the keys that podman's options can set.
func (f *Flake) check() error {
	for _, c := range []struct {
		key   string
		check func() error
	}{
		{"mounts", f.checkMounts}, {"devices", f.checkDevices}, {"workdir", f.checkWorkdir}, {"env", f.checkEnv}, {"entrypoint", f.checkEntrypoint},
		{"namespaces", f.checkNamespaces}, {"capabilities", f.checkCapabilities}, {"security", f.checkSecurity}, {"groups", f.checkGroups},
		{"user", f.checkUser}, {"ulimits", f.checkUlimits}, {"limits", f.checkLimits}, {"shm_size", f.checkShm}, {"writable_size", f.checkWritable},
	} {
		if err := keyed(c.key, c.check()); err != nil {
			return err
		}
	}
	return nil
}

// placed says whether a path is absolute, as far as can be known of one that begins with a variable.
func placed(p string) bool {
	return path.IsAbs(p) || HasVariable(p) && p[0] == '%'
}

func (m Mount) check() error {
	tmpfs := m.Type == "tmpfs"
	switch {
	case m.Type != "" && m.Type != "bind" && !tmpfs:
		return bad("say bind or tmpfs", "type %q is not bind or tmpfs", m.Type)
	case !placed(m.Target):
		return bad("give an absolute path", "target %q is not absolute", m.Target)
	case tmpfs && m.Source != "":
		return bad("leave the source out", "a tmpfs has no source, %q", m.Source)
	case !tmpfs && !placed(m.Source):
		return bad("give an absolute path; it may begin with a variable of the caller: %HOME", "source %q is not absolute", m.Source)
	case !tmpfs && (m.Size != "" || m.Mode != "" || m.NoExec):
		return bad("leave size, mode and noexec out", "%s: only a tmpfs has a size, a mode or noexec", m.Target)
	case tmpfs && (m.Optional || m.Devices):
		return bad("leave optional and devices out", "%s: only a bind can be optional, or have devices", m.Target)
	case strings.ContainsAny(m.Source+m.Target, "\x00\n"):
		return bad("", "%q: a line break or a NUL in it", m.Target)
	}
	if m.Size != "" {
		if _, err := ParseSize(m.Size); err != nil {
			return err
		}
	}
	if m.Mode != "" {
		if _, err := ParseMode(m.Mode); err != nil {
			return err
		}
	}
	if !HasVariable(m.Target) {
		return checkTarget(m.Target)
	}
	return nil
}

// checkTarget refuses places where nothing can be mounted without taking away what makes the root.
func checkTarget(target string) error {
	switch t := path.Clean(target); {
	case t == "/", t == "/dev", t == "/proc", t == "/sys", strings.HasPrefix(t, "/proc/"), strings.HasPrefix(t, "/sys/"):
		return bad("choose another target", "target %s is the container's own", t)
	}
	return nil
}

func (f *Flake) checkMounts() error {
	for _, m := range f.Mounts {
		if err := m.check(); err != nil {
			return err
		}
	}
	return nil
}

// ParseDevice reads PATH[:TARGET[:PERMISSIONS]].
func ParseDevice(entry string) (source, target string, err error) {
	parts := strings.Split(entry, ":")
	source, target = parts[0], parts[0]
	if len(parts) > 1 && (len(parts) > 2 || !isPermission(parts[1])) {
		target = parts[1]
	}
	perms := parts[len(parts)-1]
	switch {
	case len(parts) > 3, !placed(source), !placed(target):
		return "", "", bad("write PATH or PATH:TARGET, both absolute", "%q is no device", entry)
	case len(parts) > 1 && isPermission(perms) && !(strings.Contains(perms, "r") && strings.Contains(perms, "w")):
		return "", "", bad("leave the permissions out: the node's own count", "%q: %s can't be enforced here", entry, perms)
	case len(parts) == 3 && !isPermission(perms):
		return "", "", bad("leave the permissions out: the node's own count", "%q: %s are no permissions", entry, perms)
	}
	if !HasVariable(target) {
		return source, target, checkTarget(target)
	}
	return source, target, nil
}

func isPermission(s string) bool { return s != "" && strings.Trim(s, "rwm") == "" }

func (f *Flake) checkDevices() error {
	for _, d := range f.Devices {
		if _, _, err := ParseDevice(d); err != nil {
			return err
		}
	}
	return nil
}

func (f *Flake) checkWorkdir() error {
	if f.Workdir != "" && !placed(f.Workdir) {
		return bad("give an absolute path", "%q is not absolute", f.Workdir)
	}
	return nil
}

func (f *Flake) checkEnv() error {
	for name := range f.Env.Set {
		if name == "" || strings.ContainsAny(name, "=\x00\n") {
			return bad("", "set: %q is no name of a variable", name)
		}
	}
	for _, file := range f.Env.Files {
		if !path.IsAbs(file) {
			return bad("give the file's absolute path", "file %q is not absolute", file)
		}
	}
	return nil
}

func (f *Flake) checkEntrypoint() error {
	if len(f.Entrypoint) > 0 && f.Entrypoint[0] == "" {
		return bad("name a command", "the command is empty")
	}
	return nil
}

func (f *Flake) checkNamespaces() error {
	n := f.Namespaces
	for name, v := range map[string]string{"pid": n.PID, "ipc": n.IPC, "uts": n.UTS} {
		if v != "" && v != "host" && v != "private" {
			return bad("say host, or leave it out", "%s is %q, not host or private", name, v)
		}
	}
	switch {
	case n.UTS == "host" && f.Hostname != "":
		return bad("leave out one of the two", "uts: host and a hostname of its own exclude each other")
	case n.IPC == "host" && f.ShmSize != "":
		return bad("leave out one of the two", "with ipc: host /dev/shm is the host's, and shm_size can't be set")
	case n.PID == "host" && f.Nesting:
		return bad("leave out one of the two", "pid: host and nesting exclude each other")
	}
	return nil
}

func (f *Flake) checkCapabilities() error {
	for _, c := range slices.Concat(f.Capabilities.Add, f.Capabilities.Drop) {
		if !capName.MatchString(c) {
			return bad("write it like NET_ADMIN, or all", "%q is no capability", c)
		}
	}
	return nil
}

func (f *Flake) checkSecurity() error {
	s := f.Security
	if s.Seccomp != "" && s.Seccomp != "default" && s.Seccomp != "unconfined" {
		return bad("say default or unconfined", "seccomp is %q, not default or unconfined", s.Seccomp)
	}
	for _, p := range s.Mask {
		if !path.IsAbs(p) || path.Clean(p) != p || p == "/" {
			return bad("give an absolute path", "mask %q is not absolute, or not clean", p)
		}
	}
	for _, p := range s.Unmask {
		if _, err := path.Match(p, ""); err != nil || !path.IsAbs(p) && !strings.EqualFold(p, "all") {
			return bad("give an absolute path, a pattern, or all", "unmask %q is none of these", p)
		}
	}
	return nil
}

func (f *Flake) checkGroups() error {
	if slices.Contains(f.Groups, "") {
		return bad("name a group of the image, or a number", "a group without a name")
	}
	return nil
}

// checkUser refuses what can be no USER or USER:GROUP whatever the image has: what is behind a second colon would be
// passed over in silence.
func (f *Flake) checkUser() error {
	if strings.Count(f.User, ":") > 1 {
		return bad("write USER or USER:GROUP, each a name or a number", "%q has more than one colon", f.User)
	}
	return nil
}

func (f *Flake) checkUlimits() error {
	for _, name := range slices.Sorted(maps.Keys(f.Ulimits)) {
		if !ulimitName.MatchString(name) {
			return bad("write it like nofile", "%q is no limit", name)
		}
		if _, _, err := ParseUlimit(f.Ulimits[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (f *Flake) checkLimits() error {
	if f.Limits.Memory != "" {
		if _, err := ParseSize(f.Limits.Memory); err != nil {
			return fmt.Errorf("memory: %w", err)
		}
	}
	if f.Limits.CPUs != "" {
		if _, err := ParseCPUs(f.Limits.CPUs); err != nil {
			return fmt.Errorf("cpus: %w", err)
		}
	}
	if f.Limits.PIDs < 0 {
		return bad("give a number", "pids: %d is no number of processes", f.Limits.PIDs)
	}
	return nil
}

func (f *Flake) checkShm() error {
	if f.ShmSize == "" {
		return nil
	}
	_, err := ParseSize(f.ShmSize)
	return err
}

func (f *Flake) checkWritable() error {
	if f.WritableSize == "" {
		return nil
	}
	if f.Writable != "" && f.Writable != "tmpfs" {
		return bad("leave out one of the two", "only a tmpfs has a size, and writable is %s", f.Writable)
	}
	_, err := ParseSize(f.WritableSize)
	return err
}
