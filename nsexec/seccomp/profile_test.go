package seccomp

import (
	"strings"
	"testing"
)

func TestRuleConditions(t *testing.T) {
	amd := machine{arch: "amd64", kernel: "6.1.0-13-amd64", caps: []string{"CAP_A", "CAP_B"}}
	for name, tc := range map[string]struct {
		r    rule
		want bool
	}{
		"no condition":                       {rule{}, true},
		"this architecture":                  {rule{Includes: condition{Arches: []string{"arm", "amd64"}}}, true},
		"another architecture":               {rule{Includes: condition{Arches: []string{"arm64"}}}, false},
		"not this architecture":              {rule{Excludes: condition{Arches: []string{"amd64"}}}, false},
		"a capability":                       {rule{Includes: condition{Caps: []string{"CAP_A"}}}, true},
		"two, both there":                    {rule{Includes: condition{Caps: []string{"CAP_A", "CAP_B"}}}, true},
		"two, one there":                     {rule{Includes: condition{Caps: []string{"CAP_A", "CAP_C"}}}, false},
		"excluded by one of two":             {rule{Excludes: condition{Caps: []string{"CAP_C", "CAP_B"}}}, false},
		"excluded by none":                   {rule{Excludes: condition{Caps: []string{"CAP_C"}}}, true},
		"old enough kernel":                  {rule{Includes: condition{MinKernel: "6.1"}}, true},
		"kernel of tomorrow":                 {rule{Includes: condition{MinKernel: "6.10"}}, false},
		"only before a kernel":               {rule{Excludes: condition{MinKernel: "5.0"}}, false},
		"architecture there, capability not": {rule{Includes: condition{Arches: []string{"amd64"}, Caps: []string{"CAP_X"}}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.r.holds(amd)
			if err != nil || got != tc.want {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	for _, bad := range []string{"", "6", "six.one", "."} {
		if _, err := atLeast(bad, "4.8"); err == nil {
			t.Errorf("kernel release %q was taken", bad)
		}
	}
	for _, good := range []string{"4.8", "4.8-rc1", "4.10.0", "10.0+"} {
		if ok, err := atLeast(good, "4.8"); !ok || err != nil {
			t.Errorf("%q: %v, %v", good, ok, err)
		}
	}
}

func TestProfilesThatAreNone(t *testing.T) {
	for _, in := range []string{"", "{", "[]", "{}", `{"defaultAction": 1}`} {
		if _, err := parseProfile([]byte(in)); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
	p, err := parseProfile([]byte(`{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"includes":{"minKernel":"x"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.rulesFor(machine{kernel: "6.1"}); err == nil || !strings.Contains(err.Error(), "read") {
		t.Errorf("%v", err)
	}
}
