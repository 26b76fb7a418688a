package lower

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
	devices "github.com/opencontainers/cgroups/devices/config"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/nsexec/config"
)

func build(t *testing.T, spec config.Spec) *configs.Config {
	t.Helper()
	c, err := config.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What is not supported is refused by name, never left out.
func TestRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*configs.Config)
		want  string
	}{
		"memory limit":           {func(c *configs.Config) { c.Cgroups.Resources = &cgroups.Resources{Memory: 1 << 20} }, "cgroup"},
		"cgroup path":            {func(c *configs.Config) { c.Cgroups.Path = "/x" }, "cgroup"},
		"user namespace":         {func(c *configs.Config) { c.Namespaces.Add(configs.NEWUSER, "") }, "namespace"},
		"range of ids":           {func(c *configs.Config) { c.UIDMappings = []configs.IDMap{{Size: 65536}} }, "UIDMappings"},
		"foreign namespace":      {func(c *configs.Config) { c.Namespaces.Add(configs.NEWNET, "/run/netns/x") }, "/run/netns/x"},
		"no mount namespace":     {func(c *configs.Config) { c.Namespaces.Remove(configs.NEWNS) }, "mount namespace"},
		"time namespace":         {func(c *configs.Config) { c.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {}} }, "TimeOffsets"},
		"shared propagation":     {func(c *configs.Config) { c.RootPropagation = unix.MS_SHARED | unix.MS_REC }, "propagation"},
		"a root of its own":      {func(c *configs.Config) { c.Rootfs = "/x" }, "Rootfs"},
		"no pivot":               {func(c *configs.Config) { c.NoPivotRoot = true }, "NoPivotRoot"},
		"hooks":                  {func(c *configs.Config) { c.Hooks = configs.Hooks{configs.Prestart: configs.HookList{nil}} }, "Hooks"},
		"sysctl":                 {func(c *configs.Config) { c.Sysctl = map[string]string{"a": "b"} }, "Sysctl"},
		"apparmor":               {func(c *configs.Config) { c.AppArmorProfile = "x" }, "AppArmorProfile"},
		"oom score":              {func(c *configs.Config) { c.OomScoreAdj = new(int) }, "OomScoreAdj"},
		"libcontainer's seccomp": {func(c *configs.Config) { c.Seccomp = &configs.Seccomp{} }, "Seccomp"},
		"all capabilities":       {func(c *configs.Config) { c.Capabilities = nil }, "capabilities"},
		"unknown capability":     {func(c *configs.Config) { c.Capabilities.Bounding = []string{"CAP_FLY"} }, "CAP_FLY"},
		"bridge":                 {func(c *configs.Config) { c.Networks = []*configs.Network{{Type: "veth"}} }, "veth"},
		"cgroup mount":           {func(c *configs.Config) { c.Mounts[0].Device = "cgroup2" }, "cgroup2"},
		"ids of a mount":         {func(c *configs.Config) { c.Mounts[0].IDMapping = &configs.MountIDMapping{} }, "/proc"},
		"unknown mount flag":     {func(c *configs.Config) { c.Mounts[0].Flags |= unix.MS_MANDLOCK }, "/proc"},
		"relative target":        {func(c *configs.Config) { c.Mounts[0].Destination = "proc" }, "proc"},
		"copied tmpfs":           {func(c *configs.Config) { c.Mounts[2].Extensions = configs.EXT_COPYUP }, "/dev"},
		"block device":           {func(c *configs.Config) { c.Devices[0].Type = devices.BlockDevice }, "/dev/null"},
		"host's /dev": {func(c *configs.Config) {
			c.Mounts[2] = &configs.Mount{Device: "bind", Source: "/dev", Destination: "/dev", Flags: unix.MS_BIND}
		}, "/dev"},
	} {
		t.Run(name, func(t *testing.T) {
			c := build(t, config.Spec{})
			tc.spoil(c)
			_, err := Lower(c, Options{})
			var unsupported *UnsupportedError
			if !errors.As(err, &unsupported) || !strings.Contains(err.Error(), tc.want) || unsupported.Remedy() == "" {
				t.Errorf("%v, want something about %q", err, tc.want)
			}
		})
	}
}

// Every field of a description is either dealt with or refused: one that nobody thought of must not slip through.
func TestNoFieldIsForgotten(t *testing.T) {
	taken := []string{"Umask", "Readonlyfs", "RootPropagation", "Mounts", "Devices", "Hostname", "Namespaces", "Capabilities", "Networks",
		"Cgroups", "Rlimits", "MaskPaths", "ReadonlyPaths", "NoNewPrivileges", "Version", "Labels", "NoNewKeyring"}
	typ := reflect.TypeFor[configs.Config]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		if slices.Contains(taken, f.Name) {
			continue
		}
		c := build(t, config.Spec{})
		set(reflect.ValueOf(c).Elem().Field(i))
		if _, err := Lower(c, Options{}); err == nil {
			t.Errorf("%s is left out silently", f.Name)
		}
	}
}

// set gives v a value that is not its zero value.
func set(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.Zero(v.Type().Key()), reflect.Zero(v.Type().Elem()))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(1)
	case reflect.String:
		v.SetString("x")
	default:
		panic(v.Type().String())
	}
}

// ops renders a list for comparison: "number: payload".
func ops(b []byte) (out []string) {
	for len(b) > 0 {
		n := int(binary.NativeEndian.Uint32(b[4:]))
		text := strings.ReplaceAll(strings.Trim(strconv.QuoteToASCII(string(b[8:8+n])), `"`), `\x00`, ".")
		out = append(out, fmt.Sprintf("%d: %s", binary.NativeEndian.Uint32(b), text))
		b = b[8+(n+7)/8*8:]
	}
	return out
}

func lowered(t *testing.T, spec config.Spec, opt Options) []string {
	t.Helper()
	b, err := Lower(build(t, spec), opt)
	if err != nil {
		t.Fatal(err)
	}
	return ops(b)
}

func index(t *testing.T, list []string, part string) int {
	t.Helper()
	i := slices.IndexFunc(list, func(s string) bool { return strings.Contains(s, part) })
	if i < 0 {
		t.Fatalf("no %q in %q", part, list)
	}
	return i
}

// Rights are given up when all is mounted, and nothing is mounted behind the change of the root.
func TestOrder(t *testing.T) {
	list := lowered(t, config.Spec{Hostname: "name", PrivateNetwork: true, Rlimits: []config.Rlimit{{Name: "core"}},
		Mounts: []config.Mount{{Source: "/opt", Target: "/opt"}}}, Options{})
	if !strings.HasPrefix(list[0], "19: ") {
		t.Errorf("the first operation is %q", list[0])
	}
	last := 0
	for _, part := range []string{"proc.proc./proc", "/sys", "tmpfs.tmpfs./dev", "devpts", "/opt", "/dev/null", "/dev/ptmx", "42: /proc/bus",
		"/proc/kcore", "43: ", "44: name", "45: ", "51: ", "46: ", "49: ", "3: "} {
		last += index(t, list[last:], part)
	}
}

func TestUserHasWhatAUserMay(t *testing.T) {
	root, user := lowered(t, config.Spec{}, Options{}), lowered(t, config.Spec{UID: 1000}, Options{User: true})
	if s := root[index(t, root, "devpts")]; !strings.Contains(s, "gid=5") {
		t.Errorf("root: %q", s)
	}
	if s := user[index(t, user, "devpts")]; strings.Contains(s, "gid=") {
		t.Errorf("user: %q", s)
	}
	// The host's: recursive binds instead of what a user can't make.
	for _, part := range []string{"/dev/null", "sysfs"} {
		if root[index(t, root, part)] == user[index(t, user, part)] {
			t.Errorf("%s is the same for both", part)
		}
	}
	private := lowered(t, config.Spec{UID: 1000, PrivateNetwork: true}, Options{User: true})
	if private[index(t, private, "sysfs")] != root[index(t, root, "sysfs")] {
		t.Error("with a network of his own, a user can mount sysfs")
	}
}

func TestWhatAnOptionTakesAway(t *testing.T) {
	if less := lowered(t, config.Spec{NewPrivs: true}, Options{}); slices.Contains(less, "3: ") || !slices.Contains(lowered(t, config.Spec{}, Options{}), "3: ") {
		t.Errorf("no_new_privs: %q", less)
	}
	clone := func(spec config.Spec) string { return lowered(t, spec, Options{})[0] }
	if with, without := clone(config.Spec{}), clone(config.Spec{Share: []string{"pid"}}); with == without {
		t.Errorf("a start with the host's pids makes the namespaces %q, as any", without)
	}
}

func TestCapabilityNumbers(t *testing.T) {
	if n := len(config.Capabilities()); n != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d capabilities, the kernel's headers know %d", n, unix.CAP_LAST_CAP+1)
	}
	caps, err := capabilities(&configs.Capabilities{Bounding: config.DefaultCaps, Ambient: []string{"CAP_CHOWN"}})
	if err != nil || caps.Bounding != 0x800405fb || caps.Ambient != 1 || caps.Permitted != 0 {
		t.Errorf("%+v, %v", caps, err)
	}
}

func TestLowerIsPure(t *testing.T) {
	c := build(t, config.Spec{})
	before := fmt.Sprintf("%+v", *c)
	a, err := Lower(c, Options{})
	b, err2 := Lower(c, Options{})
	if err != nil || err2 != nil || string(a) != string(b) || fmt.Sprintf("%+v", *c) != before {
		t.Errorf("%v, %v: not the same twice", err, err2)
	}
}
