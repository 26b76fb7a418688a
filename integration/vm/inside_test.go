package vm

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A machine that stops half-way must not look like one whose checks ended well.
func TestParse(t *testing.T) {
	for behaviour, test := range map[string]struct {
		said     string
		want     []Verdict
		complete bool
	}{
		"nothing":         {"", []Verdict{{}, {}}, false},
		"all":             {"@@ begin\r\na\r\nb\r\n\r\n@@ end 0\r\n@@ begin\r\n\r\n@@ end 7\r\n@@ done\r\n", []Verdict{{true, 0, "a\nb"}, {true, 7, ""}}, true},
		"one cut off":     {"@@ begin\n\n@@ end 0\n@@ begin\nhalf a li", []Verdict{{Made: true}, {}}, false},
		"one left out":    {"@@ begin\n\n@@ end 0\n@@ done\n", []Verdict{{Made: true}, {}}, false},
		"an end too many": {"@@ end 0\n@@ begin\n@@ end 0\n@@ begin\n@@ end x\n@@ done\n", []Verdict{{Made: true}, {}}, false},
		"more than asked": {"@@ begin\n@@ end 0\n@@ begin\n@@ end 0\n@@ begin\n@@ end 0\n@@ done\n", []Verdict{{Made: true}, {Made: true}}, false},
	} {
		t.Run(behaviour, func(t *testing.T) {
			got, complete := parse(test.said, 2)
			if diff := cmp.Diff(test.want, got); diff != "" || complete != test.complete {
				t.Errorf("complete: %v\n%s", complete, diff)
			}
		})
	}
}
