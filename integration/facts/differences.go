package facts

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Difference is one that may be, and has to be: the two values are patterns of whole facts.
type Difference struct{ One, Other string }

// Engines are all that may differ between the direct engine (One) and libcontainer; nsexec/decisions/0001 tells why.
var Engines = map[string]Difference{
	// The direct engine stays the caller's job; libcontainer always makes a session.
	"session": {"own 0, own group 0", "own 1, own group 1"},
	// PID 1 is a fork of the launcher, or a program of its own.
	"command line of init": {`.*`, `/proc/self/fd/\d+ \d+ \d+ `},
	// flake-engine is all Go, whose runtime handles what the caller ignores, but for SIGHUP, SIGINT and some real-time signals.
	"signals ignored":    {`(\d+ )*`, `(1 )?(2 )?(3[2-4] )*`},
	"status self SigIgn": {`[0-9a-f]{16}`, `0000000[0-3][08]000000[0-3]`},
}

// Early is what may differ between a start by the launcher's early part (One) and one by Go.
var Early = map[string]Difference{
	// The early part is the launcher as it was called; Go executes the C program under the flake's name.
	"command line of init": {`\S+/.*`, `[^/ ]+ `},
}

// Mounts are the differences between the engines in the lines of mountinfo, which both engines' lines are freed of.
var mounts = []struct{ pattern, replacement string }{
	// What covers a directory is empty and read-only; the direct engine adds nosuid, nodev and noexec.
	{`^(/ \S+) \S+ - tmpfs tmpfs r[ow],size=4k,nr_inodes=1`, "$1 cover"},
	// The direct engine makes mounts read-only, never whole file systems.
	{` r[ow]((?:,\S+)?)$`, " r?$1"},
	// libcontainer loses nodev when it makes the root read-only.
	{`^/ / ro,(nodev,)?relatime`, "/ / ro,relatime"},
}

// Natively are facts that a flake does not change, but for descriptors beyond standard error.
var Natively = regexp.MustCompile(`^(signals (ignored|blocked|pending)|status self (Umask|SigBlk|SigIgn|SigCgt|Cpus_allowed|Mems_allowed_list|THP_enabled)` +
	`|file /proc/self/(limits|oom_score_adj|personality|coredump_filter|loginuid|sessionid)` +
	`|process (dumpable|keepcaps|securebits|timer slack|thp disabled|memory policy|death signal|subreaper|priority|scheduling|processors|alternate stack|umask|directory|ids))$`)

// forEngines takes out what the engines differ in by the lines of a fact.
func (f Facts) forEngines() Facts {
	out := maps.Clone(f)
	for _, name := range []string{"file /proc/self/mountinfo", "file /proc/1/mountinfo"} {
		lines := strings.Split(out[name], "\n")
		for i := range lines {
			for _, m := range mounts {
				lines[i] = regexp.MustCompile(m.pattern).ReplaceAllString(lines[i], m.replacement)
			}
		}
		slices.Sort(lines)
		out[name] = strings.Join(lines, "\n")
	}
	// A group is a session's: libcontainer's app has a session of its own, ours the caller's, which has no group where
	// nobody has called setsid since the system's start.
	delete(out, "file /proc/self/autogroup")
	// It leads to the masked /proc/kcore, and is where the host has that.
	delete(out, "link /dev/core")
	dev := strings.Split(out["directory /dev"], "\n")
	out["directory /dev"] = strings.Join(slices.DeleteFunc(dev, func(l string) bool { return strings.HasPrefix(l, "core ") }), "\n")
	return out
}

// Compare tells, in words, each difference between two ways to start that is not on the closed list, and each of the list
// that is not there. With nil for a list nothing may differ.
func Compare(one, other Facts, list map[string]Difference) (complaints []string) {
	if _, engines := list["session"]; engines {
		one, other = one.forEngines(), other.forEngines()
	}
	names := maps.Clone(one)
	maps.Copy(names, other)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, isOne := one[name]
		b, isOther := other[name]
		d, listed := list[name]
		switch {
		case listed && (!matches(d.One, a) || !matches(d.Other, b)):
			complaints = append(complaints, fmt.Sprintf("%s: %q and %q; the closed list says %q and %q", name, a, b, d.One, d.Other))
		case !listed && (a != b || isOne != isOther):
			complaints = append(complaints, fmt.Sprintf("%s:\n%s", name, parting(a, b)))
		}
	}
	return complaints
}

func matches(pattern, value string) bool {
	value = strings.ReplaceAll(strings.TrimSuffix(value, "\n"), "\x00", " ")
	return regexp.MustCompile(`(?s)^(?:` + pattern + `)$`).MatchString(value)
}

// parting shows the lines of which the other has none.
func parting(a, b string) string {
	var out []string
	one, other := strings.Split(a, "\n"), strings.Split(b, "\n")
	for _, l := range one {
		if !slices.Contains(other, l) {
			out = append(out, "  - "+l)
		}
	}
	for _, l := range other {
		if !slices.Contains(one, l) {
			out = append(out, "  + "+l)
		}
	}
	return strings.Join(out, "\n")
}
