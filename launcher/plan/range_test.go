package plan

import "testing"

func TestCovered(t *testing.T) {
	host := []IDMap{{0, 0, 4294967295}}
	for behaviour, tc := range map[string]struct {
		maps, known []IDMap
		want        bool
	}{
		"the host's":               {[]IDMap{{0, 1000, 1}, {1, 100000, 65536}}, host, true},
		"the last ids":             {[]IDMap{{0, 4294901759, 65536}}, host, true},
		"one id alone":             {[]IDMap{{0, 1000, 1}, {1, 100000, 65536}}, []IDMap{{1000, 1000, 1}}, false},
		"a container's":            {[]IDMap{{0, 1000, 1}, {1, 100000, 65536}}, []IDMap{{0, 1000, 1}, {1, 100000, 65536}}, false},
		"a range in a container's": {[]IDMap{{0, 1000, 1}, {1, 2000, 1000}}, []IDMap{{0, 1000, 1}, {1, 100000, 65536}}, true},
		"across two":               {[]IDMap{{1, 10, 20}}, []IDMap{{20, 500, 10}, {0, 700, 20}}, true},
		"a hole":                   {[]IDMap{{1, 10, 20}}, []IDMap{{21, 500, 10}, {0, 700, 20}}, false},
		"beyond the end":           {[]IDMap{{1, 10, 20}}, []IDMap{{0, 700, 29}}, false},
	} {
		if got := covered(tc.maps, tc.known); got != tc.want {
			t.Errorf("%s: %v", behaviour, got)
		}
	}
	if r := (&Range{UIDs: []IDMap{{0, 0, 1}}, GIDs: []IDMap{{0, 0, 1}}}); !r.Mapped() {
		t.Error("0 is not there")
	}
}
