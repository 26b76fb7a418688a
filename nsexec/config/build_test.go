package config

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"
)

func TestSpecsThatAreRefused(t *testing.T) {
	for name, spec := range map[string]Spec{
		"host name with a slash":     {Hostname: "a/b"},
		"host name with a newline":   {Hostname: "a\nb"},
		"host name too long":         {Hostname: strings.Repeat("x", 65)},
		"host name of the host's":    {Hostname: "x", Share: []string{"uts"}},
		"capability in lower case":   {Caps: []string{"cap_chown"}},
		"capability without CAP":     {Caps: []string{"CHOWN"}},
		"shared mount namespace":     {Share: []string{"mnt"}},
		"shared pids and nesting":    {Share: []string{"pid"}, Nesting: NestingWritable},
		"shm of the host's ipc":      {Share: []string{"ipc"}, ShmSize: 1},
		"held beyond the bounds":     {UID: 1, Held: []string{"CAP_SYS_ADMIN"}},
		"negative limit":             {Limits: Limits{PIDs: -1}},
		"shared nothing":             {Share: []string{""}},
		"relative mask":              {Masked: []string{"proc/kcore"}},
		"unclean mask":               {Masked: []string{"/proc/../etc"}},
		"unclean read-only path":     {Readonly: []string{"/proc/sys/"}},
		"mount on the root":          {Mounts: []Mount{{Source: "/a", Target: "/"}}},
		"mount on a relative path":   {Mounts: []Mount{{Source: "/a", Target: "a"}}},
		"mount upwards":              {Mounts: []Mount{{Source: "/a", Target: "/a/../../b"}}},
		"mount of a relative source": {Mounts: []Mount{{Source: "a", Target: "/a"}}},
		"mount with a NUL":           {Mounts: []Mount{{Source: "/a\x00", Target: "/a"}}},
		"unknown limit":              {Rlimits: []Rlimit{{Name: "RLIMIT_NOFILE"}}},
		"soft above hard":            {Rlimits: []Rlimit{{Name: "nofile", Soft: 2, Hard: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Build(spec)
			var want *FieldError
			if c != nil || !errors.As(err, &want) {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
}

func TestZeroSpecIsTheDefaultIsolation(t *testing.T) {
	c := build(t, Spec{})
	var ns []configs.NamespaceType
	for _, n := range c.Namespaces {
		if n.Path != "" {
			t.Errorf("namespace %v is joined at %q", n.Type, n.Path)
		}
		ns = append(ns, n.Type)
	}
	slices.Sort(ns)
	if diff := cmp.Diff([]configs.NamespaceType{configs.NEWCGROUP, configs.NEWIPC, configs.NEWNS, configs.NEWPID, configs.NEWUTS}, ns); diff != "" {
		t.Error(diff)
	}
	if !c.NoNewPrivileges || c.Seccomp != nil || c.Rootfs != "" || c.Hostname != "" || c.Umask != nil || c.Readonlyfs {
		t.Errorf("%+v", c)
	}
	want := &configs.Capabilities{Bounding: DefaultCaps, Effective: DefaultCaps, Permitted: DefaultCaps}
	if diff := cmp.Diff(want, c.Capabilities); diff != "" {
		t.Error(diff)
	}
	if slices.Contains(c.Capabilities.Bounding, "CAP_MKNOD") {
		t.Error("devices could be made, and there is no device cgroup")
	}
	if diff := cmp.Diff(DefaultMasked, c.MaskPaths); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(DefaultReadonly, c.ReadonlyPaths); diff != "" {
		t.Error(diff)
	}
	var targets []string
	for _, m := range c.Mounts {
		targets = append(targets, m.Destination)
		if m.Flags&unix.MS_NOSUID == 0 {
			t.Errorf("%s is mounted without nosuid", m.Destination)
		}
		if m.Destination == "/sys" && m.Flags&unix.MS_RDONLY == 0 {
			t.Error("/sys is writable")
		}
	}
	if diff := cmp.Diff([]string{"/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"}, targets); diff != "" {
		t.Error(diff)
	}
	if len(c.Devices) != len(nodes) || c.Cgroups == nil || c.Cgroups.Resources == nil || len(c.Cgroups.Resources.Devices) > 0 {
		t.Errorf("devices %v, cgroups %v", c.Devices, c.Cgroups)
	}
}

func TestOptions(t *testing.T) {
	umask := uint32(0o027)
	for name, tc := range map[string]struct {
		spec  Spec
		holds func(*configs.Config) bool
	}{
		"a user has no capabilities but the bounding set": {Spec{UID: 1000}, func(c *configs.Config) bool {
			return len(c.Capabilities.Effective)+len(c.Capabilities.Permitted)+len(c.Capabilities.Ambient) == 0 &&
				len(c.Capabilities.Bounding) == len(DefaultCaps)
		}},
		"no capability at all": {Spec{Caps: []string{}}, func(c *configs.Config) bool {
			return len(c.Capabilities.Bounding) == 0 && len(c.Capabilities.Permitted) == 0
		}},
		"what a user holds is ambient": {Spec{UID: 1000, Held: []string{"CAP_KILL"}}, func(c *configs.Config) bool {
			p := c.Capabilities
			held := []string{"CAP_KILL"}
			return len(p.Bounding) == len(DefaultCaps) && slices.Equal(p.Ambient, held) && slices.Equal(p.Inheritable, held) &&
				slices.Equal(p.Effective, held) && slices.Equal(p.Permitted, held)
		}},
		"capabilities are sorted and named once": {Spec{Caps: []string{"CAP_KILL", "CAP_CHOWN", "CAP_KILL"}}, func(c *configs.Config) bool {
			return slices.Equal(c.Capabilities.Bounding, []string{"CAP_CHOWN", "CAP_KILL"})
		}},
		"nothing masked":    {Spec{Masked: []string{}}, func(c *configs.Config) bool { return len(c.MaskPaths) == 0 }},
		"nothing read-only": {Spec{Readonly: []string{}}, func(c *configs.Config) bool { return len(c.ReadonlyPaths) == 0 }},
		"private network": {Spec{PrivateNetwork: true}, func(c *configs.Config) bool {
			return c.Namespaces.Contains(configs.NEWNET) && len(c.Networks) == 1 && c.Networks[0].Type == "loopback"
		}},
		"shared ipc comes with /dev/shm": {Spec{Share: []string{"ipc"}}, func(c *configs.Config) bool {
			return !c.Namespaces.Contains(configs.NEWIPC) && c.Namespaces.Contains(configs.NEWPID) &&
				c.Mounts[4].IsBind() && c.Mounts[4].Source == "/dev/shm" && c.Mounts[4].Destination == "/dev/shm"
		}},
		"shared pids": {Spec{Share: []string{"pid"}}, func(c *configs.Config) bool { return !c.Namespaces.Contains(configs.NEWPID) }},
		"limits of a cgroup": {Spec{Limits: Limits{Memory: 1 << 20, MilliCPUs: 1500, PIDs: 7}}, func(c *configs.Config) bool {
			r := c.Cgroups.Resources
			return r.Memory == 1<<20 && r.CpuQuota == 150_000 && r.CpuPeriod == 100_000 && *r.PidsLimit == 7 && c.Cgroups.Path == ""
		}},
		"a writable /sys": {Spec{WritableSys: true}, func(c *configs.Config) bool { return c.Mounts[1].Flags == safe }},
		"limits": {Spec{Rlimits: []Rlimit{{"nofile", 1, 2}, {"core", 0, Unlimited}}}, func(c *configs.Config) bool {
			return cmp.Equal(c.Rlimits, []configs.Rlimit{{Type: unix.RLIMIT_NOFILE, Soft: 1, Hard: 2}, {Type: unix.RLIMIT_CORE, Hard: Unlimited}})
		}},
		"new privileges": {Spec{NewPrivs: true}, func(c *configs.Config) bool { return !c.NoNewPrivileges }},
		"no nesting: one /proc": {Spec{}, func(c *configs.Config) bool {
			return !slices.ContainsFunc(c.Mounts, func(m *configs.Mount) bool { return m.Destination == hiddenProc })
		}},
		"nesting: a whole /proc, read-only and covered, beside the masked one": {Spec{Nesting: NestingReadOnly}, func(c *configs.Config) bool {
			at := slices.IndexFunc(c.Mounts, func(m *configs.Mount) bool { return m.Destination == hiddenProc })
			cover := slices.IndexFunc(c.Mounts, func(m *configs.Mount) bool { return m.Destination == "/dev/shm" })
			return at > 0 && at < cover && c.Mounts[at].Flags == safe|unix.MS_RDONLY && cmp.Equal(c.MaskPaths, DefaultMasked) &&
				cmp.Equal(c.ReadonlyPaths, DefaultReadonly)
		}},
		"umask": {Spec{Umask: &umask}, func(c *configs.Config) bool { return *c.Umask == 0o027 && c.Umask != &umask }},
		"size of /dev/shm": {Spec{ShmSize: 1 << 20}, func(c *configs.Config) bool {
			return c.Mounts[4].Destination == "/dev/shm" && strings.Contains(c.Mounts[4].Data, "size=1048576")
		}},
		"a read-only bind is so all the way down": {Spec{Mounts: []Mount{{Source: "/src", Target: "/dst", ReadOnly: true}}}, func(c *configs.Config) bool {
			m := c.Mounts[len(c.Mounts)-1]
			return m.Flags == unix.MS_BIND|unix.MS_REC|unix.MS_RDONLY && m.RecAttr.Attr_set == unix.MOUNT_ATTR_RDONLY && m.Data == ""
		}},
		"a tmpfs": {Spec{Mounts: []Mount{{Target: "/cache", Size: 4096, Mode: 0o700}}}, func(c *configs.Config) bool {
			m := c.Mounts[len(c.Mounts)-1]
			return m.Device == "tmpfs" && m.Data == "mode=0700,size=4096" && m.Flags == unix.MS_NOSUID|unix.MS_NODEV
		}},
		"a tmpfs without programs": {Spec{Mounts: []Mount{{Target: "/t", NoExec: true}}}, func(c *configs.Config) bool {
			return c.Mounts[len(c.Mounts)-1].Flags == safe
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if c := build(t, tc.spec); !tc.holds(c) {
				t.Errorf("%+v", c)
			}
		})
	}
}

// The description crosses to the engine as JSON.
func TestSurvivesJSON(t *testing.T) {
	c := build(t, Spec{Hostname: "h", PrivateNetwork: true, Mounts: []Mount{{Source: "/a", Target: "/b", ReadOnly: true}}})
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back configs.Config
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(&back)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(data), string(again)); diff != "" {
		t.Error(diff)
	}
}

func TestResultsShareNothing(t *testing.T) {
	c := build(t, Spec{})
	c.MaskPaths[0], c.ReadonlyPaths[0], c.Capabilities.Bounding[0], c.Capabilities.Effective[1] = "x", "x", "x", "x"
	if DefaultMasked[0] == "x" || DefaultReadonly[0] == "x" || DefaultCaps[0] == "x" || c.Capabilities.Permitted[1] == "x" {
		t.Error("the defaults were changed")
	}
}

func build(t *testing.T, spec Spec) *configs.Config {
	t.Helper()
	c, err := Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
