package integration

import (
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// What a caller's limits leave no room for is told with the limit.
func TestLimitsOfACaller(t *testing.T) { fixture.EachUnranged(t, testLimitsOfACaller) }

func testLimitsOfACaller(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	limited := func(limit, program string, args ...string) *fixture.Result {
		t.Helper()
		return s.Exec("/bin/bash", append([]string{"-c", "ulimit " + limit + ` && exec "$0" "$@"`, program}, args...)...)
	}
	file := []string{"limit", "size of files", "ulimit -f"}
	s.Refused(limited("-f 0", s.Link("probe"), "exit", "0"), "ulimit -f", "LimitFSIZE")
	s.Refused(limited("-f 0", s.Binary("flake-ctl"), "load", "/etc/passwd"), file...)
	s.Refused(limited("-f 0", s.Binary("flake-run"), "probe", "/bin/probe", "exit", "0"), "ulimit -f")
	for _, program := range []string{"flake-launcher", "flake-run"} {
		res := limited("-v 200000", s.Binary(program), "--instance", "x", "probe")
		s.Refused(res, program, "address space", "ulimit -v")
		if res.Code != 125 {
			t.Errorf("want 125, got %v", res)
		}
	}
}
