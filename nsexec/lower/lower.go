package lower

import (
	"fmt"
	"slices"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/nsexec/config"
	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// Options are what a list depends on besides the description.
type Options struct {
	// User lowers for an ordinary user: the container gets a user namespace with a single id, where some things
	// have to be the host's.
	User bool
}

// UnsupportedError says that the direct engine can't do what a description asks for.
type UnsupportedError struct{ Feature string }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("the direct engine can't do: %s", e.Feature)
}

// Remedy tells the user what to do about it.
func (e *UnsupportedError) Remedy() string {
	return "leave the option out, or use `engine: libcontainer`"
}

// Lower gives the operations for c, the first of which makes the namespaces. It fails with an *UnsupportedError.
// The root, identity, working directory, filters and the app itself are no part of it; c must have no Rootfs.
func Lower(c *configs.Config, opt Options) ([]byte, error) {
	l := &lowering{in: c, left: *c, opt: opt}
	for _, step := range []func() error{
		l.namespaces, l.cgroup, l.mounts, l.nodes, l.paths, l.root, l.rights, l.nothingLeft,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return l.Bytes()
}

// lowering is the list in the making. Each step takes what it deals with out of left; what is there in the end is not
// supported.
type lowering struct {
	initproc.Ops
	in   *configs.Config
	left configs.Config
	opt  Options
}

func (l *lowering) separates(t configs.NamespaceType) bool { return l.in.Namespaces.Contains(t) }

var namespaceFlags = map[configs.NamespaceType]uint32{
	configs.NEWNS: unix.CLONE_NEWNS, configs.NEWPID: unix.CLONE_NEWPID, configs.NEWIPC: unix.CLONE_NEWIPC,
	configs.NEWUTS: unix.CLONE_NEWUTS, configs.NEWCGROUP: unix.CLONE_NEWCGROUP, configs.NEWNET: unix.CLONE_NEWNET,
}

func (l *lowering) namespaces() error {
	c := &l.left
	var flags uint32
	for _, ns := range c.Namespaces {
		flag, ok := namespaceFlags[ns.Type]
		if !ok || ns.Path != "" {
			return &UnsupportedError{fmt.Sprintf("namespace %s %s", ns.Type, ns.Path)}
		}
		flags |= flag
	}
	if flags&unix.CLONE_NEWNS == 0 {
		return &UnsupportedError{"a start without a mount namespace"}
	}
	switch c.RootPropagation {
	case unix.MS_SLAVE | unix.MS_REC, unix.MS_PRIVATE | unix.MS_REC:
	default:
		return &UnsupportedError{fmt.Sprintf("root propagation %#x", c.RootPropagation)}
	}
	l.Clone(flags, uint32(c.RootPropagation))
	c.Namespaces, c.RootPropagation, c.Version, c.Labels = nil, 0, "", nil
	return nil
}

// cgroup accepts the empty description that libcontainer insists on.
func (l *lowering) cgroup() error {
	c := &l.left
	if g := c.Cgroups; g != nil {
		rest := *g
		if rest.Resources != nil && isZero(*rest.Resources) {
			rest.Resources = nil
		}
		if !isZero(rest) {
			return &UnsupportedError{"cgroup and its limits: " + firstField(cgroups.Cgroup(rest))}
		}
	}
	c.Cgroups = nil
	return nil
}

func (l *lowering) nodes() error {
	c := &l.left
	var flags uint32
	if l.opt.User {
		flags = initproc.Host
	}
	for _, d := range c.Devices {
		if d.Type != devices.CharDevice {
			return &UnsupportedError{fmt.Sprintf("device %s of type %c", d.Path, d.Type)}
		}
		l.Node(d.Path, unix.S_IFCHR|uint32(d.FileMode.Perm()), uint32(d.Major), uint32(d.Minor), d.Uid, d.Gid, flags)
	}
	if slices.ContainsFunc(l.in.Mounts, func(m *configs.Mount) bool { return m.Destination == "/dev" && !m.IsBind() }) {
		for _, link := range config.DeviceLinks {
			l.Symlink(link[0], link[1])
		}
	} else if len(c.Devices) > 0 {
		return &UnsupportedError{"device nodes without a /dev of its own"}
	}
	c.Devices = nil
	return nil
}

// hostOnly are places where the host mounts file systems of its own below /sys: where /sys is the host's they would
// show, which a fresh one does not.
var hostOnly = []string{
	"/sys/fs/bpf", "/sys/fs/cgroup", "/sys/fs/fuse/connections", "/sys/fs/pstore", "/sys/fs/resctrl",
	"/sys/kernel/config", "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing",
}

func (l *lowering) paths() error {
	c := &l.left
	for _, p := range c.ReadonlyPaths {
		l.ReadOnly(p)
	}
	for _, p := range c.MaskPaths {
		l.Mask(p, 0)
	}
	for _, p := range hostOnly {
		if !slices.Contains(c.MaskPaths, p) {
			l.Mask(p, initproc.HostSys)
		}
	}
	c.ReadonlyPaths, c.MaskPaths = nil, nil
	return nil
}

func (l *lowering) root() error {
	c := &l.left
	l.Pivot(c.Readonlyfs)
	if c.Hostname != "" {
		l.Hostname(c.Hostname)
	}
	for _, n := range c.Networks {
		if n.Type != "loopback" {
			return &UnsupportedError{"network of type " + n.Type}
		}
		l.Loopback()
	}
	c.Readonlyfs, c.Hostname, c.Networks = false, "", nil
	return nil
}

func (l *lowering) rights() error {
	c := &l.left
	if !c.NoNewKeyring {
		l.Keyring()
	}
	for _, r := range c.Rlimits {
		l.Rlimit(r.Type, r.Soft, r.Hard)
	}
	if c.Umask != nil {
		l.Umask(*c.Umask)
	}
	caps, err := capabilities(c.Capabilities)
	if err != nil {
		return err
	}
	l.Caps(caps)
	if c.NoNewPrivileges {
		l.NoNewPrivs()
	}
	c.NoNewPrivileges, c.NoNewKeyring, c.Rlimits, c.Umask, c.Capabilities = false, false, nil, nil, nil
	return nil
}
