package selftest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// Difference is one between an app and a native program that is there on purpose.
type Difference struct {
	// Field is the row's, with at most one * for any text; Profiles are those that make it, nil for all.
	Field    string
	Profiles []string
	Reason   string
	// meant says whether what is seen is just that; nothing else passes.
	meant func(c *comparison) bool
}

// comparison is one field that differs.
type comparison struct {
	*Test
	field, native, flake string
	seen                 observation // of the flake's side
}

var (
	privately = []string{caller.Project, caller.Isolated}
	isolated  = []string{caller.Isolated}
)

// Differences is the closed list, and the only one.
var Differences = []Difference{
	{"process id", nil, "a pid namespace of its own, where the app is not PID 1", func(c *comparison) bool { return c.flake != "1" && len(c.flake) < 3 }},
	{"no_new_privs", nil, "no app gains rights by executing a file", func(c *comparison) bool { return c.flake == "1" }},
	{"seccomp", nil, "podman's system call filter", func(c *comparison) bool { return c.flake == "2" }},
	{"capabilities", nil, "root's capabilities are podman's default ones", func(c *comparison) bool { return subset(c.flake, c.native) }},
	{"capabilities", nil, "root inside of a user namespace, over nothing of the host's", func(c *comparison) bool {
		return c.Plan.Caller != 0 && c.Plan.UID == 0
	}},
	{"ignored signals", nil, "the launcher's runtime keeps SIGHUP, SIGINT and the C library's own two ignored, and no others", onlyHangups},
	{"further descriptors", nil, "closed: the flake has no preserve_fds", func(c *comparison) bool { return !c.Plan.PreserveFDs && c.flake == "" }},
	{"groups", nil, "in a user namespace with one id other groups show as nogroup", nogroups},
	{"groups", nil, "root has the groups that the images give him", func(c *comparison) bool {
		return !c.Plan.User && c.flake == strings.Trim(fmt.Sprint(c.Plan.Groups), "[]")
	}},
	{"user name", nil, "the caller's id has a name inside though no database of the host has it", func(c *comparison) bool { return c.native == "" && c.flake != "" }},
	{"* id", nil, "the flake, or its images, name a user", anotherUser},
	{"groups", nil, "the flake, or its images, name a user", func(c *comparison) bool { return c.otherUser() }},
	{"user name", nil, "the flake, or its images, name a user", func(c *comparison) bool { return c.otherUser() }},
	{"time zone", nil, "TZ names a zone, and the images have no data of it", func(c *comparison) bool {
		return zoneName(c.seen.env["TZ"]) && strings.HasSuffix(c.flake, " 0") && strings.Count(c.flake, " 0,") == 1
	}},
	{"directory*", isolated, "the images' WorkingDir", func(c *comparison) bool { return c.flake == c.Plan.Cwd }},
	{"HOME", privately, "a home of its own at the same path", func(c *comparison) bool { return c.flake != "none" && c.native != "none" }},
	{"/tmp", privately, "a directory of its own", ownDirectory},
	{"/var/tmp", privately, "a directory of its own", ownDirectory},
	{"network interfaces", isolated, "no network but a loopback interface", func(c *comparison) bool { return c.flake == "lo" }},
	{"env LISTEN_PID", nil, "it is the app's own process id", func(c *comparison) bool { return c.Plan.PreserveFDs && c.flake == c.seen.values["process id"] }},
	{"env PWD", nil, "it always names the directory the app starts in", func(c *comparison) bool { return c.flake == c.seen.values["directory as named"] }},
	{"env *", nil, "the images' own, or what every container has", imagesOwn},
	{"env *", nil, "on the deny list", func(c *comparison) bool {
		return c.flake == unset("", false) && plan.Match(caller.ProfileOf(c.Profile).Deny, c.variable())
	}},
	{"env *", privately, "not passed by this profile", func(c *comparison) bool {
		return c.flake == unset("", false) && !plan.Match(caller.ProfileOf(c.Profile).Pass, c.variable())
	}},
}

func (d Difference) covers(field, profile string) bool {
	return plan.Match([]string{d.Field}, field) && (d.Profiles == nil || slices.Contains(d.Profiles, profile))
}

func (c *comparison) variable() string { return strings.TrimPrefix(c.field, "env ") }

// imagesOwn is a variable that the images, or every container, set.
func imagesOwn(c *comparison) bool { return slices.Contains(c.Plan.Env, c.variable()+"="+c.flake) }

// otherUser says that the app does not run as its caller.
func (c *comparison) otherUser() bool { return c.Plan.UID != c.Plan.Caller }

func anotherUser(c *comparison) bool {
	id := c.Plan.UID
	if c.field == "group id" {
		id = c.Plan.GID
	}
	return c.otherUser() && c.flake == fmt.Sprintf("%d %d %d", id, id, id)
}

const overflow = "65534"

// nogroups is a list of the caller's groups in which those that have no number inside are the kernel's stand-in.
func nogroups(c *comparison) bool {
	theirs := strings.Fields(c.native)
	for _, g := range strings.Fields(c.flake) {
		if g != overflow && !slices.Contains(theirs, g) {
			return false
		}
	}
	return c.Plan.User && len(strings.Fields(c.flake)) == len(theirs)
}

// onlyHangups are, of the signals that the caller ignores, those that Go leaves alone.
func onlyHangups(c *comparison) bool {
	var left []string
	for _, sig := range strings.Fields(c.native) {
		if slices.Contains([]string{"1", "2", "32", "33"}, sig) {
			left = append(left, sig)
		}
	}
	return c.flake == strings.Join(left, " ")
}

func ownDirectory(c *comparison) bool { return c.flake != "none" }

// subset says whether all bits of a hexadecimal number are in another.
func subset(a, b string) bool {
	var x, y uint64
	_, err := fmt.Sscanf(a+" "+b, "%x %x", &x, &y)
	return err == nil && x&^y == 0
}

// zoneName says whether TZ is the name of a zone, and not a rule: Europe/Berlin, CET, not CET-1CEST.
func zoneName(tz string) bool {
	return tz != "" && !strings.ContainsAny(strings.TrimPrefix(tz, ":"), "0123456789<")
}
