package compose

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
)

// differences are all that may differ between the two engines, by the name of the probe; nsexec/decisions/0001 tells
// why. A probe that is not listed gives the same by both, and one that is listed must differ.
var differences = map[string]struct{ direct, libcontainer string }{
	// The direct engine stays the caller's job; libcontainer always makes a session.
	"session is the caller's": {"true", "false"},
	"group is the caller's":   {"true", "false"},
}

// mountDifferences are those in the lines of mountinfo, which both engines' lines are freed of.
var mountDifferences = []struct{ pattern, replacement string }{
	// What covers a directory is empty and read-only; the direct engine adds nosuid, nodev and noexec.
	{`^(/ \S+) \S+ - tmpfs tmpfs r[ow],size=4k,nr_inodes=1$`, "$1 cover"},
	// The direct engine makes mounts read-only, never whole file systems.
	{` r[ow]((?:,\S+)?)$`, " r?$1"},
	// libcontainer loses nodev when it makes the root read-only.
	{`^/ / ro,(nodev,)?relatime`, "/ / ro,relatime"},
}

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
			results := map[string]map[string]string{}
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
			lib, direct := results[byLibcontainer], results[byDirect]
			for probe, want := range differences {
				if direct[probe] != want.direct || lib[probe] != want.libcontainer {
					t.Errorf("%s: direct %q, libcontainer %q; the closed list says %q and %q", probe, direct[probe], lib[probe], want.direct, want.libcontainer)
				}
				delete(direct, probe)
				delete(lib, probe)
			}
			if len(lib) < 40 {
				t.Fatalf("only %d facts", len(lib))
			}
			if d := cmp.Diff(lib, direct); d != "" {
				t.Errorf("(-libcontainer +direct) %s", d)
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

// facts are what an app can find out about its container, with all that differs between two starts taken out.
func (b *bed) facts(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, line := range strings.Split(b.probe("read", "/proc/self/status"), "\n") {
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Name", "Umask", "State", "PPid", "TracerPid", "Uid", "Gid", "Groups",
			"Threads", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
			"NoNewPrivs", "Seccomp", "Seccomp_filters", "Speculation_Store_Bypass", "Cpus_allowed_list":
			out["status "+name] = value
		}
	}
	for _, line := range strings.Split(b.probe("read", "/proc/1/status"), "\n") {
		if name, value, _ := strings.Cut(line, ":"); name == "Name" || name == "Seccomp_filters" || strings.HasPrefix(name, "Cap") || name == "NoNewPrivs" || name == "Uid" {
			out["init "+name] = value
		}
	}
	for _, file := range []string{"/proc/self/limits", "/proc/self/oom_score_adj", "/proc/self/cgroup", "/proc/self/uid_map",
		"/proc/self/setgroups", "/proc/self/timerslack_ns", "/proc/self/personality", "/proc/self/coredump_filter", "/proc/self/loginuid"} {
		out[file] = b.run("probe", "read", file).out
	}
	for _, ns := range []string{"mnt", "pid", "ipc", "uts", "cgroup", "net", "user", "time"} {
		host, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		out["own namespace "+ns] = fmt.Sprint(b.probe("link", "/proc/self/ns/"+ns) != host)
	}
	for _, dir := range []string{"/", "/dev", "/dev/pts", "/dev/shm", "/proc", "/sys", "/tmp"} {
		names := strings.Split(b.probe("ls", dir), "\n")
		names = slices.DeleteFunc(names, func(n string) bool { return strings.Trim(n, "0123456789") == "" })
		names = slices.DeleteFunc(names, func(n string) bool { return dir == "/dev" && n == "core" }) // see lower
		slices.Sort(names)
		out["ls "+dir] = strings.Join(names, " ")
		for _, n := range names {
			if strings.HasPrefix(dir, "/dev") || dir == "/" {
				out["stat "+dir+"/"+n] = b.probe("stat", dir+"/"+n)
			}
		}
	}
	for _, words := range [][]string{{"cwd"}, {"env"}, {"umask"}, {"ids"}, {"hostname"}, {"fds"}, {"mount"}, {"bpf"}, {"attach"}, {"kill9"},
		{"mknod", "/tmp/x"}, {"sticti"}, {"sticti64"}, {"write", "/etc/x"}, {"write", "/sys/power/state"}, {"write", "/proc/sys/kernel/hostname"},
		{"read", "/proc/1/exe"}, {"read", "/proc/kcore"}, {"ls", "/sys/firmware"},
		{"ls", "/proc/acpi"}, {"ls", "/sys/class/net"}} {
		out["probe "+strings.Join(words, " ")] = b.run(append([]string{"probe"}, words...)...).out
	}
	out["mounts"] = normalMounts(b.probe("read", "/proc/self/mountinfo"))
	rings := regexp.MustCompile(`keyring +(_ses\S*): `).FindAllStringSubmatch(b.run("probe", "read", "/proc/keys").out, -1)
	out["session keyrings without a name"] = fmt.Sprint(!slices.ContainsFunc(rings, func(m []string) bool { return m[1] != "_ses" }))
	b.jobFacts(out)
	return out
}

// jobFacts are about the app's place among the caller's processes.
func (b *bed) jobFacts(out map[string]string) {
	stat := b.probe("read", "/proc/self/stat")
	_, rest, _ := strings.Cut(stat, ") ")
	f := strings.Fields(rest)
	// Ids of processes outside show as 0.
	out["group is the caller's"], out["session is the caller's"] = fmt.Sprint(f[2] == "0"), fmt.Sprint(f[3] == "0")
	for name, args := range map[string][]string{
		"code": {"probe", "exit", "3"}, "signal": {"probe", "raise", "10"}, "missing": {"nothing"}, "not executable": {"/etc"},
	} {
		r := b.run(args...)
		out["end by "+name] = fmt.Sprint(r.status, r.err)
	}
}

var (
	mountIDs     = regexp.MustCompile(`^\d+ \d+ \d+:\d+ `)
	overlayPaths = regexp.MustCompile(`(lowerdir\+?|upperdir|workdir)=[^, ]*`)
)

// normalMounts leaves from each line root, mount point, options, file system, source and its options, sorted: the order
// says nothing where nothing is covered.
func normalMounts(info string) string {
	lines := strings.Split(info, "\n")
	for i, l := range lines {
		l = mountIDs.ReplaceAllString(l, "")
		before, after, _ := strings.Cut(l, " - ")
		f := strings.Fields(before)[:3] // without optional fields: which master a slave follows
		l = strings.Join(f, " ") + " - " + overlayPaths.ReplaceAllString(after, "$1=…")
		for _, d := range mountDifferences {
			l = regexp.MustCompile(d.pattern).ReplaceAllString(l, d.replacement)
		}
		lines[i] = l
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
