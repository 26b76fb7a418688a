package compile

import (
	"testing"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

func TestDefaultWritable(t *testing.T) {
	for _, tc := range []struct{ settings, size, kernel, want string }{
		{"", "", "6.18.0", "tmpfs"},
		{"none", "", "6.18.0", "none"},
		{"disk", "", "6.18.0", "disk"},
		{"tmpfs", "", "6.18.0", "tmpfs"},
		{"tmpfs", "", "5.15.0", "disk"}, // where it could not be had
		{"disk", "1g", "6.18.0", "tmpfs"},
	} {
		c := &Compiler{Defaults: flake.Defaults{Writable: tc.settings}}
		if got := c.writable(Request{Flake: &flake.Flake{WritableSize: tc.size}}, tc.kernel); got != tc.want {
			t.Errorf("%+v: %s", tc, got)
		}
	}
}

func TestDefaultEngine(t *testing.T) {
	for behaviour, tc := range map[string]struct {
		request, settings string
		plan              plan.Plan
		want              string
	}{
		"nothing is said":                            {"", "", plan.Plan{}, ""},
		"the settings' for root":                     {"", "libcontainer", plan.Plan{}, "libcontainer"},
		"not for a user":                             {"", "libcontainer", plan.Plan{User: true}, ""},
		"not with a range":                           {"", "libcontainer", plan.Plan{Range: &plan.Range{}}, ""},
		"the flake's comes first":                    {"direct", "libcontainer", plan.Plan{}, "direct"},
		"and is told to a user":                      {"libcontainer", "", plan.Plan{User: true}, "libcontainer"},
		"the direct one can't be forced by settings": {"", "direct", plan.Plan{}, ""},
	} {
		c := &Compiler{Defaults: flake.Defaults{Engine: tc.settings}}
		if got := c.engine(&tc.plan, Request{Engine: tc.request}); got != tc.want {
			t.Errorf("%s: %q, want %q", behaviour, got, tc.want)
		}
	}
}

func TestWishesRange(t *testing.T) {
	for behaviour, tc := range map[string]struct {
		request, settings string
		user, imageUser   string
		wishes            bool
	}{
		"nothing is said":                 {},
		"the image names a user":          {imageUser: "www", wishes: true},
		"the image names root":            {imageUser: "0:0"},
		"the request names another":       {imageUser: "www", user: "root"},
		"asked for":                       {request: "range", user: "root", wishes: true},
		"the settings":                    {settings: "range", wishes: true},
		"the settings, whoever it is":     {settings: "range", user: "www", wishes: true},
		"asked for, the settings as well": {request: "range", settings: "range", wishes: true},
		"the request comes first":         {request: "single", settings: "range"},
		"also the other way round":        {request: "range", settings: "single", wishes: true},
		"single for an image with a user": {settings: "single", imageUser: "www"},
	} {
		c := &Compiler{Defaults: flake.Defaults{IDs: tc.settings}}
		if got := c.wishesRange(Request{IDs: tc.request, User: tc.user}, stackConfig{user: tc.imageUser}); got != tc.wishes {
			t.Errorf("%s: %v", behaviour, got)
		}
	}
}
