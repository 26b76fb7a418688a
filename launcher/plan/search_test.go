package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSearchDirs(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want []string
	}{
		"own directory first": {map[string]string{"HOME": "/h"}, []string{"/h/.config/flakes", "/etc/flakes", "/usr/share/flakes"}},
		"no home":             {nil, []string{"/etc/flakes", "/usr/share/flakes"}},
		"relative home":       {map[string]string{"HOME": "h"}, []string{"/etc/flakes", "/usr/share/flakes"}},
		"FLAKES_ROOT":         {map[string]string{"HOME": "/h", "FLAKES_ROOT": "/d"}, []string{"/d/registrations"}},
	}
	for name, tc := range tests {
		if d := cmp.Diff(tc.want, SearchDirs(func(k string) string { return tc.env[k] })); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestSettingsFiles(t *testing.T) {
	const system = "/etc/flake-launcher/config.yaml"
	for behaviour, tc := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"own file first":    {map[string]string{"HOME": "/h"}, []string{"/h/.config/flake-launcher/config.yaml", system}},
		"XDG_CONFIG_HOME":   {map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, []string{"/x/flake-launcher/config.yaml", system}},
		"a relative one":    {map[string]string{"HOME": "/h", "XDG_CONFIG_HOME": "x"}, []string{system}},
		"no home":           {nil, []string{system}},
		"FLAKES_ROOT, too":  {map[string]string{"FLAKES_ROOT": "/d"}, []string{system}},
		"and a home for it": {map[string]string{"FLAKES_ROOT": "/d", "HOME": "/h"}, []string{"/h/.config/flake-launcher/config.yaml", system}},
	} {
		files := SettingsFiles(func(k string) string { return tc.env[k] })
		if d := cmp.Diff(tc.want, files); d != "" {
			t.Errorf("%s: %s", behaviour, d)
		}
		p := &Plan{}
		if len(files) > 0 && p.Follows(files) {
			t.Errorf("%s: a plan without fingerprints follows %q", behaviour, files)
		}
		for _, file := range files {
			p.Checks = append(p.Checks, NewCheck(file))
		}
		p.Checks = append(p.Checks, NewCheck("/"))
		if !p.Follows(files) || p.Follows(append([]string{"/other"}, files...)) {
			t.Errorf("%s: %v", behaviour, p.Checks)
		}
	}
}
