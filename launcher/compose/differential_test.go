package compose

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/facts"
	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
)

// The same probes by both engines, as root.
func TestEnginesAgree(t *testing.T) {
	for name, spec := range map[string]config.Spec{
		"default":          {Hostname: "inside"},
		"ordinary user":    {UID: 1234},
		"few rights":       {Caps: []string{"CAP_CHOWN", "CAP_KILL"}, ReadonlyRoot: true},
		"no network":       {PrivateNetwork: true},
		"shared ipc":       {Share: []string{"ipc"}},
		"rights of a user": {UID: 1234, Caps: []string{"CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"}, Held: []string{"CAP_KILL", "CAP_NET_RAW"}},
		"no programs":      {Mounts: []config.Mount{{Target: "/scratch", NoExec: true}}},
		"hardly confined":  {Caps: ownCaps(), Masked: []string{}, Readonly: []string{}, NewPrivs: true, WritableSys: true},
		"shared": {Share: []string{"uts", "cgroup"}, ShmSize: 1 << 20,
			Rlimits: []config.Rlimit{{Name: "nofile", Soft: 100, Hard: 200}, {Name: "core"}},
			Mounts:  []config.Mount{{Target: "/scratch", Size: 1 << 20, Mode: 0o700}, {Source: "/etc", Target: "/host/etc", ReadOnly: true}, {Source: "/etc/hostname", Target: "/host/name"}},
		},
		"nothing masked": {Masked: []string{}, Readonly: []string{}, Umask: new(uint32)},
	} {
		t.Run(name, func(t *testing.T) {
			results := map[string]facts.Facts{}
			for _, engine := range []string{byLibcontainer, byDirect} {
				b := newBed(t, spec)
				b.engine = engine
				b.job.GID = spec.UID
				b.job.Binds = []caller.Bind{
					{Source: "/etc", Target: "/srv/etc", ReadOnly: true}, {Target: "/srv/tmp", Tmpfs: "mode=0700,size=4096", NoExec: true},
					{Source: "/dev/null", Target: "/dev/extra", Devices: true}, {Source: "/etc/hostname", Target: "/srv/tmp/name"},
				}
				results[engine] = b.facts(t)
			}
			if n := len(results[byDirect]); n < 250 {
				t.Fatalf("only %d facts", n)
			}
			for _, d := range facts.Compare(results[byDirect], results[byLibcontainer], facts.Engines) {
				t.Errorf("(-direct +libcontainer) %s", d)
			}
		})
	}
}

// ownCaps are all capabilities but those that root lacks here.
func ownCaps() (out []string) {
	for _, c := range config.Capabilities() {
		bit, _ := config.CapabilityBit(c)
		if c == "CAP_SYS_PTRACE" {
			continue // the probe that attaches to PID 1 would stop it for good
		}
		if has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(bit), 0, 0, 0); err == nil && has == 1 {
			out = append(out, c)
		}
	}
	return out
}

// facts are what an app can find out about its container, and how it ends.
func (b *bed) facts(t *testing.T) facts.Facts {
	t.Helper()
	r := b.run("facts", "inside")
	if r.err != "" || r.status != (nsexec.Status{}) {
		t.Fatalf("%v, stderr %q", r.status, r.err)
	}
	out, err := facts.Parse(r.out)
	if err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"code": {"probe", "exit", "3"}, "signal": {"probe", "raise", "10"}, "missing": {"nothing"}, "not executable": {"/etc"},
		"orphans": {"probe", "orphans", "20"}, "left behind": {"probe", "leave", "7"},
	} {
		r := b.run(args...)
		out["end by "+name] = fmt.Sprint(r.status, r.out, r.err)
	}
	return out
}
