package selftest

import (
	"testing"

	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

func TestJudge(t *testing.T) {
	p := &plan.Plan{Cwd: "/srv", Env: []string{"PATH=/usr/bin"}, UID: 7, Caller: 7, User: true}
	for name, tc := range map[string]struct {
		profile, field, native, flake string
		want                          string
	}{
		"equal":                           {caller.Isolated, "umask", "0022", "0022", Same},
		"never excused":                   {caller.Isolated, "umask", "0022", "0077", Differs},
		"shared home":                     {caller.Native, "HOME", "the caller's", "an empty one", Differs},
		"home of its own":                 {caller.Project, "HOME", "the caller's", "an empty one", Expected},
		"no home at all":                  {caller.Project, "HOME", "the caller's", "none", Differs},
		"another directory":               {caller.Native, "directory", "/home", "/srv", Differs},
		"the images' directory":           {caller.Isolated, "directory", "/home", "/srv", Expected},
		"not the images' directory":       {caller.Isolated, "directory", "/home", "/", Differs},
		"ignored signals that Go handles": {caller.Native, "ignored signals", "1 13", "1", Expected},
		"SIGHUP no longer ignored":        {caller.Native, "ignored signals", "1 13", "", Differs},
		"one that the caller does not":    {caller.Native, "ignored signals", "1", "1 13", Differs},
		"descriptors closed":              {caller.Native, "further descriptors", "3 9", "", Expected},
		"one of ours is open":             {caller.Native, "further descriptors", "3 9", "4", Differs},
		"image's PATH":                    {caller.Native, "env PATH", "/bin", "/usr/bin", Expected},
		"somebody else's PATH":            {caller.Native, "env PATH", "/bin", "/sbin", Differs},
		"denied":                          {caller.Native, "env LD_PRELOAD", "x", "(not set)", Expected},
		"not denied":                      {caller.Native, "env EDITOR", "vi", "(not set)", Differs},
		"not passed by a profile":         {caller.Project, "env EDITOR", "vi", "(not set)", Expected},
		"changed on the way":              {caller.Project, "env LANG", "C", "POSIX", Differs},
		"a variable of its own":           {caller.Native, "env container", "(not set)", "oci", Differs},
		"no network":                      {caller.Isolated, "network interfaces", "lo eth0", "lo", Expected},
		"no network where it is shared":   {caller.Project, "network interfaces", "lo eth0", "lo", Differs},
		"groups without a number":         {caller.Native, "groups", "7 27", "7 65534", Expected},
		"a group more":                    {caller.Native, "groups", "7", "7 65534", Differs},
		"a group that nobody is in":       {caller.Native, "groups", "7 27", "7 28", Differs},
		"another user":                    {caller.Native, "user id", "7 7 7", "0 0 0", Differs},
		"a name where there is none":      {caller.Native, "user name", "", "user7", Expected},
		"another name":                    {caller.Native, "user name", "me", "user7", Differs},
		"capabilities that are not there": {caller.Native, "capabilities", "1", "3", Differs},
	} {
		t.Run(name, func(t *testing.T) {
			test := &Test{Plan: p, Profile: tc.profile}
			got := test.judge(tc.field, tc.native, tc.flake, observation{})
			if got.Verdict != tc.want || (got.Reason == "") == (tc.want == Expected) {
				t.Errorf("%+v, want %s", got, tc.want)
			}
		})
	}
}

func TestPlaces(t *testing.T) {
	for _, tc := range [][4]string{
		{"1:2 10", "1:2 10", "the caller's", "the caller's"},
		{"1:2 10", "1:2 11", "the caller's", "the caller's"},
		{"1:2 10", "9:2 0", "the caller's", "an empty one"},
		{"1:2 10", "9:2 3", "the caller's", "one with 3 entries"},
		{"1:2 10", "none", "the caller's", "none"},
		{"none", "none", "none", "none"},
		{"none", "9:2 0", "none", "an empty one"},
	} {
		if n, f := places(tc[0], tc[1]); n != tc[2] || f != tc[3] {
			t.Errorf("%q, %q: %q, %q", tc[0], tc[1], n, f)
		}
	}
}
