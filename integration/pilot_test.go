package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

func TestPilotArguments(t *testing.T) { fixture.Each(t, testPilotArguments) }

func testPilotArguments(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	dropIn(s, "probe", "pilot_arguments: true\n")
	got := s.MustApp("probe", "args", "@one", "x", "%remove", "@@scope/x", "%%s", "--", "%progress:1", "", "@two").JSON(t)
	if diff := cmp.Diff([]string{"x", "@scope/x", "%s", "--", ""}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for arg, want := range map[string]string{
		"%s": "%%s", "%port:80": "%progress", "@../x": "letters", "@": "letters",
		"@" + strings.Repeat("x", 300): "64", "%": "%%",
	} {
		s := s.In(t)
		res := s.App("probe", "exit", "0", arg)
		s.Refused(res, want)
		if res.Code != 125 || res.Stdout != "" {
			t.Errorf("want 125, got %v", res)
		}
	}
	dropIn(s, "probe", "pilot_arguments: false\n")
	plain := []string{"@one", "%remove", "@@x", "%%s"}
	if diff := cmp.Diff(plain, s.MustApp("probe", append([]string{"args"}, plain...)...).JSON(t)); diff != "" {
		t.Errorf("natively (-want +got):\n%s", diff)
	}
}

func TestMissingVolumesOnDemand(t *testing.T) { fixture.Each(t, testMissingVolumesOnDemand) }

func testMissingVolumesOnDemand(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	missing := filepath.Join(s.Tmp, "missing")
	for _, engine := range []string{"direct", "libcontainer"} {
		if engine == "libcontainer" && !by.IsRoot() {
			continue // refuses ordinary users
		}
		dropIn(s, "probe", "pilot_arguments: true\nprofile: isolated\nengine: "+engine+"\nshare: ["+missing+"]\n")
		s.Refused(s.App("probe", "exit", "0"), missing)
		s.MustApp("probe", "exit", "0", "%ignore_missing_volume_path")
		s.With("FLAKE_OPTIONS=ignore_missing_volume_path").MustApp("probe", "exit", "0")
	}
}

func TestPilotVariables(t *testing.T) { fixture.Each(t, testPilotVariables) }

func testPilotVariables(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	res := s.With("FLAKE_INSTANCE=one", "FLAKE_OPTIONS=remove interactive").MustApp("probe", "env")
	if strings.Contains(res.Stdout, "FLAKE_") {
		t.Errorf("the app sees what was for the launcher: %v", res)
	}
	for variable, want := range map[string]string{
		"FLAKE_INSTANCE=../x": "../x", "FLAKE_INSTANCE=a/b": "a/b", "FLAKE_INSTANCE=" + strings.Repeat("x", 300): "64",
		"FLAKE_OPTIONS=remove fast": "ignore_missing_volume_path", "FLAKE_OPTIONS=%remove": "remove",
	} {
		s := s.In(t).With(variable)
		s.Refused(s.App("probe", "exit", "0"), want)
		s.Refused(s.Run("probe", "/bin/probe", "exit", "0"), want)
	}
}

// What is done before a start is told to who asks for it, and to nobody else.
func TestProgressOnDemand(t *testing.T) { fixture.Each(t, testProgressOnDemand) }

func testProgressOnDemand(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	stale := func(content string) {
		t.Helper()
		time.Sleep(10 * time.Millisecond)
		dropIn(s, "probe", content)
	}
	for n, test := range []struct {
		pilot, options string
		args           []string
		told           bool
	}{
		{"true", "", nil, false},
		{"true", "", []string{"%progress"}, true},
		{"false", "", []string{"%progress"}, false},
		{"false", "progress", nil, true},
	} {
		stale("pilot_arguments: " + test.pilot + "\n" + strings.Repeat("#", n) + "\n")
		s := s.With("FLAKE_OPTIONS=" + test.options)
		res := s.MustApp("probe", append([]string{"exit", "0"}, test.args...)...)
		if told := strings.Contains(res.Stderr, "compiling the launch plan of probe"); told != test.told || !told && res.Stderr != "" {
			t.Errorf("%+v: %v", test, res)
		}
		if again := s.MustApp("probe", append([]string{"exit", "0"}, test.args...)...); again.Stderr != "" {
			t.Errorf("nothing was to be done, but %v", again)
		}
	}
}

// What is for the launcher goes through sudo to the launcher that root runs.
func TestPilotThroughSudo(t *testing.T) {
	system, s, _ := shared(t)
	bin := filepath.Join(s.Home, "bin")
	s.Mkdir(bin)
	s.WriteFile(filepath.Join(bin, "sudo"), "#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
	if err := os.Chmod(filepath.Join(bin, "sudo"), 0o755); err != nil {
		t.Fatal(err)
	}
	dropIn(system, "probe", "pilot_arguments: true\ncontainer: {runtime: {runas: root}}\n")
	s = s.With("PATH="+bin+":/usr/bin:/bin", "FLAKE_INSTANCE=one", "FLAKE_OPTIONS=remove", "SUDO_ASKPASS=/bin/false")
	res := s.MustExec(system.Link("probe"), "args", "@two", "%progress", "x")
	want := "-u\nroot\nFLAKE_INSTANCE=one\nFLAKE_OPTIONS=remove\n--\n" + system.Link("probe") + "\nargs\n@two\n%progress\nx\n"
	if res.Stdout != want {
		t.Errorf("want %q, got %v", want, res)
	}
}
