package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// verdict is one row of `flake-ctl selftest --format json`.
type verdict struct{ Field, Native, Flake, Verdict, Reason string }

// selftest compares a flake, natively from the caller's home.
func selftest(t *testing.T, s *fixture.Sandbox, args ...string) (*fixture.Result, map[string]verdict) {
	t.Helper()
	res := s.ExecWith(func(cmd *exec.Cmd) {
		if os.Geteuid() == 0 { // with groups, as anybody who logged in
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{
				Uid: uint32(s.By.UID), Gid: uint32(s.By.GID), Groups: []uint32{uint32(s.By.GID), 4, 27},
			}}
		}
	}, s.Binary("flake-ctl"), append([]string{"selftest", "--format", "json"}, args...)...)
	var rows []verdict
	if err := json.Unmarshal([]byte(res.Stdout), &rows); err != nil {
		t.Fatalf("read JSON: %v in %v", err, res)
	}
	fields := map[string]verdict{}
	for _, row := range rows {
		fields[row.Field] = row
	}
	return res, fields
}

// A flake is like a native program but for what its profile says.
func TestSelftest(t *testing.T) { fixture.Each(t, testSelftest) }

func testSelftest(t *testing.T, by fixture.Caller) {
	s := started(t, by).With("LANG=de_DE.UTF-8", "LC_TIME=en_DK.UTF-8", "LC_ALL=", "TZ=XYZ-3:30", "NO_PROXY=a, b")
	for _, profile := range []string{"native", "project", "isolated"} {
		t.Run(profile, func(t *testing.T) {
			s := s.In(t)
			s.Register(profile, "probe", "--target", "/bin/probe", "--profile", profile)
			args := []string{profile}
			if profile != "native" {
				args = append(args, "--quick") // which status an app ends with is none of a profile's business
			}
			res, fields := selftest(t, s, args...)
			for _, row := range fields {
				if row.Verdict == "DIFFERS" || row.Verdict == "expected" && row.Reason == "" {
					t.Errorf("%+v", row)
				}
			}
			if res.Code != 0 {
				t.Errorf("%v", res)
			}
		})
	}
}

// What a flake's own options change is found, so the comparison can fail.
func TestSelftestFindsDifferences(t *testing.T) { fixture.Each(t, testSelftestFindsDifferences) }

func testSelftestFindsDifferences(t *testing.T, by fixture.Caller) {
	s := started(t, by).With("LANG=C.UTF-8", "SOMETHING=here")
	s.Register("odd", "probe", "--target", "/bin/probe", "--workdir", "/var", "--network", "none")
	s.Mkdir(s.Registrations + "/odd.d")
	s.WriteFile(s.Registrations+"/odd.d/odd.yaml", "env:\n  deny: [LANG, SELFTEST_VARIABLE]\n  set: {SOMETHING: else}\n")
	res, fields := selftest(t, s, "odd", "--quick")
	if res.Code != 1 || !strings.Contains(res.Stderr, "env LANG") {
		t.Errorf("want status 1 and a word of LANG: %v", res)
	}
	for _, name := range []string{"env LANG", "env SELFTEST_VARIABLE", "env SOMETHING", "directory", "network interfaces"} {
		if fields[name].Verdict != "DIFFERS" {
			t.Errorf("%s: %+v", name, fields[name])
		}
	}
	s.Refused(s.Ctl("selftest", "nothing"), "nothing")
}
