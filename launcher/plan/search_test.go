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
