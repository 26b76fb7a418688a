package config

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"
)

// maxHostname is HOST_NAME_MAX.
const maxHostname = 64

// Build gives the description of a container. It fails with a *FieldError; the result shares no memory with spec
// or with the defaults.
func Build(spec Spec) (*configs.Config, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	limits, err := rlimits(spec.Rlimits)
	if err != nil {
		return nil, err
	}
	c := &configs.Config{
		Version:         "1.0.2",
		Hostname:        spec.Hostname,
		Namespaces:      namespaces(spec),
		Capabilities:    capabilities(spec),
		Mounts:          append(systemMounts(spec), extraMounts(spec.Mounts)...),
		Devices:         deviceNodes(),
		MaskPaths:       slices.Clone(orDefault(spec.Masked, DefaultMasked)),
		ReadonlyPaths:   slices.Clone(orDefault(spec.Readonly, DefaultReadonly)),
		Rlimits:         limits,
		NoNewPrivileges: !spec.NewPrivs,
		Readonlyfs:      spec.ReadonlyRoot,
		// The host's mounts that come and go later are none of the container's business.
		RootPropagation: unix.MS_SLAVE | unix.MS_REC,
		// libcontainer refuses nil; that there is nothing in it tells the engine to leave cgroups alone.
		Cgroups: &cgroups.Cgroup{Resources: spec.Limits.resources()},
	}
	if spec.Umask != nil {
		umask := *spec.Umask
		c.Umask = &umask
	}
	if spec.PrivateNetwork {
		c.Networks = []*configs.Network{{Type: "loopback"}}
	}
	return c, nil
}

func orDefault(given, def []string) []string {
	if given == nil {
		return def
	}
	return given
}

// shareable are the namespaces that a Spec may leave to the host, by the names of Spec.Share. The mount namespace is
// not among them: the root has to be the app's own.
var shareable = map[string]configs.NamespaceType{
	"cgroup": configs.NEWCGROUP,
	"ipc":    configs.NEWIPC,
	"pid":    configs.NEWPID,
	"uts":    configs.NEWUTS,
}

func namespaces(spec Spec) configs.Namespaces {
	out := configs.Namespaces{{Type: configs.NEWNS}}
	for _, name := range slices.Sorted(maps.Keys(shareable)) {
		if !slices.Contains(spec.Share, name) {
			out.Add(shareable[name], "")
		}
	}
	if spec.PrivateNetwork {
		out.Add(configs.NEWNET, "")
	}
	return out
}

const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

func systemMounts(spec Spec) []*configs.Mount {
	shm := "mode=1777"
	if spec.ShmSize > 0 {
		shm += fmt.Sprintf(",size=%d", spec.ShmSize)
	}
	pts := fmt.Sprintf("newinstance,ptmxmode=0666,mode=0620,gid=%d", ttyGroup)
	sys := safe | unix.MS_RDONLY
	if spec.WritableSys {
		sys = safe
	}
	mounts := []*configs.Mount{
		{Device: "proc", Source: "proc", Destination: "/proc", Flags: safe},
		{Device: "sysfs", Source: "sysfs", Destination: "/sys", Flags: sys},
		{Device: "tmpfs", Source: "tmpfs", Destination: "/dev", Data: "mode=0755,size=65536k",
			Flags: unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_STRICTATIME},
	}
	if spec.Nesting != NoNesting {
		whole := &configs.Mount{Device: "proc", Source: "proc", Destination: hiddenProc, Flags: safe}
		if spec.Nesting == NestingReadOnly {
			whole.Flags |= unix.MS_RDONLY
		}
		mounts = append(mounts, whole)
	}
	memory := &configs.Mount{Device: "tmpfs", Source: "shm", Destination: "/dev/shm", Data: shm, Flags: safe}
	if slices.Contains(spec.Share, "ipc") {
		memory = hostBind("/dev/shm", "/dev/shm", safe)
	}
	return append(mounts,
		&configs.Mount{Device: "devpts", Source: "devpts", Destination: "/dev/pts", Data: pts,
			Flags: unix.MS_NOSUID | unix.MS_NOEXEC},
		memory,
		&configs.Mount{Device: "mqueue", Source: "mqueue", Destination: "/dev/mqueue", Flags: safe},
	)
}

// hostBind shows what the host has, and all that is mounted below it, with further flags, in the terms of both calls
// that set them.
func hostBind(source, target string, flags int) *configs.Mount {
	var attrs uint64
	for _, a := range []struct {
		flag int
		attr uint64
	}{{unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID}, {unix.MS_NODEV, unix.MOUNT_ATTR_NODEV}, {unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC}} {
		if flags&a.flag != 0 {
			attrs |= a.attr
		}
	}
	return &configs.Mount{Device: "bind", Source: source, Destination: target, Flags: unix.MS_BIND | unix.MS_REC | flags,
		RecAttr: &unix.MountAttr{Attr_set: attrs}, PropagationFlags: []int{unix.MS_SLAVE | unix.MS_REC}}
}

// cpuPeriod is the kernel's default, in microseconds.
const cpuPeriod = 100_000

func (l Limits) resources() *cgroups.Resources {
	r := &cgroups.Resources{Memory: l.Memory}
	if l.MilliCPUs > 0 {
		r.CpuPeriod, r.CpuQuota = cpuPeriod, l.MilliCPUs*cpuPeriod/1000
	}
	if l.PIDs > 0 {
		r.PidsLimit = &l.PIDs
	}
	return r
}

func extraMounts(mounts []Mount) (out []*configs.Mount) {
	for _, m := range mounts {
		if m.Source == "" {
			mode := m.Mode
			if mode == 0 {
				mode = 0o1777
			}
			data := fmt.Sprintf("mode=%#o", mode)
			if m.Size > 0 {
				data += fmt.Sprintf(",size=%d", m.Size)
			}
			flags := unix.MS_NOSUID | unix.MS_NODEV | readOnly(m)
			if m.NoExec {
				flags |= unix.MS_NOEXEC
			}
			out = append(out, &configs.Mount{Device: "tmpfs", Source: "tmpfs", Destination: m.Target, Data: data, Flags: flags})
			continue
		}
		// Recursive, as what the caller sees below Source is what is meant; read-only has to reach all of it.
		bind := &configs.Mount{Device: "bind", Source: m.Source, Destination: m.Target,
			Flags:            unix.MS_BIND | unix.MS_REC | readOnly(m),
			PropagationFlags: []int{unix.MS_SLAVE | unix.MS_REC}}
		if m.ReadOnly {
			bind.RecAttr = &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		}
		out = append(out, bind)
	}
	return out
}

func readOnly(m Mount) int {
	if m.ReadOnly {
		return unix.MS_RDONLY
	}
	return 0
}

func deviceNodes() (out []*devices.Device) {
	for _, n := range nodes {
		out = append(out, &devices.Device{
			Rule:     devices.Rule{Type: devices.CharDevice, Major: n.Major, Minor: n.Minor},
			Path:     "/dev/" + n.name,
			FileMode: nodeMode,
		})
	}
	return out
}

// resources are the limits by their names.
var resources = map[string]int{
	"as":         unix.RLIMIT_AS,
	"core":       unix.RLIMIT_CORE,
	"cpu":        unix.RLIMIT_CPU,
	"data":       unix.RLIMIT_DATA,
	"fsize":      unix.RLIMIT_FSIZE,
	"locks":      unix.RLIMIT_LOCKS,
	"memlock":    unix.RLIMIT_MEMLOCK,
	"msgqueue":   unix.RLIMIT_MSGQUEUE,
	"nice":       unix.RLIMIT_NICE,
	"nofile":     unix.RLIMIT_NOFILE,
	"nproc":      unix.RLIMIT_NPROC,
	"rss":        unix.RLIMIT_RSS,
	"rtprio":     unix.RLIMIT_RTPRIO,
	"rttime":     unix.RLIMIT_RTTIME,
	"sigpending": unix.RLIMIT_SIGPENDING,
	"stack":      unix.RLIMIT_STACK,
}

func rlimits(list []Rlimit) (out []configs.Rlimit, err error) {
	for _, l := range list {
		id, ok := resources[l.Name]
		if !ok {
			return nil, &FieldError{"limit", l.Name, "unknown name"}
		}
		if l.Soft > l.Hard {
			return nil, &FieldError{"limit", l.Name, "the soft limit is above the hard one"}
		}
		out = append(out, configs.Rlimit{Type: id, Soft: l.Soft, Hard: l.Hard})
	}
	return out, nil
}

func (s *Spec) check() error {
	if len(s.Hostname) > maxHostname || strings.ContainsAny(s.Hostname, "\x00\n/ ") {
		return &FieldError{"host name", s.Hostname, "too long, or not a name"}
	}
	if err := s.checkCaps(); err != nil {
		return err
	}
	for _, n := range s.Share {
		if _, ok := shareable[n]; !ok {
			return &FieldError{"shared namespace", n, "must be ipc, uts, pid or cgroup"}
		}
	}
	switch {
	case s.ShmSize > 0 && slices.Contains(s.Share, "ipc"):
		return &FieldError{"size of /dev/shm", fmt.Sprint(s.ShmSize), "can't be set together with the host's ipc namespace"}
	case s.Nesting != NoNesting && slices.Contains(s.Share, "pid"):
		return &FieldError{"shared namespace", "pid", "can't be had together with nesting"}
	case s.Limits.Memory < 0 || s.Limits.MilliCPUs < 0 || s.Limits.PIDs < 0:
		return &FieldError{"limits", fmt.Sprint(s.Limits), "must not be negative"}
	}
	if s.Hostname != "" && slices.Contains(s.Share, "uts") {
		return &FieldError{"host name", s.Hostname, "can't be set together with the host's uts namespace"}
	}
	return s.checkPaths()
}

func (s *Spec) checkPaths() error {
	for _, p := range slices.Concat(s.Masked, s.Readonly) {
		if !clean(p) {
			return &FieldError{"masked or read-only path", p, "must be absolute and clean"}
		}
	}
	for _, m := range s.Mounts {
		if !clean(m.Target) || m.Target == "/" {
			return &FieldError{"mount point", m.Target, "must be absolute, clean and not the root"}
		}
		if m.Source != "" && !clean(m.Source) {
			return &FieldError{"mount source", m.Source, "must be absolute and clean"}
		}
	}
	return nil
}

func clean(p string) bool {
	return path.IsAbs(p) && path.Clean(p) == p && !strings.Contains(p, "\x00")
}
