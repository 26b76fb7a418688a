package launcher

import (
	"slices"
	"testing"
)

// Whether a plan belongs to a command line or to a registration is decided by the kind of the call, not by a name.
func TestSubjects(t *testing.T) {
	if s := registered(AdHocFlake); s.words != nil || s.speaker != AdHocFlake {
		t.Errorf("a flake of flake-run's name: %+v", s)
	}
	words := AdHoc{Image: "probe"}.Words()
	s := adHoc(words)
	if !slices.Equal(s.words, words) || !slices.Equal(s.compile, words) || s.plan == registered(AdHocFlake).plan {
		t.Errorf("an ad-hoc start: %+v", s)
	}
}
