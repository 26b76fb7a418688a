package integration

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// settled is the text of a settings file with these defaults, besides those that the caller has in any case.
func settled(by fixture.Caller, lines ...string) string {
	if by.Range {
		lines = append(lines, "ids: range")
	}
	return "defaults:\n  " + strings.Join(lines, "\n  ") + "\n"
}

// writes says whether the app can write to the image's directory.
func writes(t *testing.T, want bool, res *fixture.Result) {
	t.Helper()
	if (res.Code == 0) != want || !want && !strings.Contains(res.Stderr, "read-only file system") {
		t.Errorf("want that it can write: %v, got %v", want, res)
	}
}

func TestDefaults(t *testing.T) { fixture.Each(t, testDefaults) }

func testDefaults(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Register("told", "probe", "--target", "/bin/probe", "--writable", "tmpfs")
	write := []string{"write", "/etc/new", "x"}
	run := func(options ...string) *fixture.Result {
		t.Helper()
		return s.Run(append(append(options, "probe", "/bin/probe"), write...)...)
	}
	writes(t, true, s.App("probe", write...))
	writes(t, true, run())
	// Plans that are there, of a flake whose images are pinned, too, know when it changes.
	s.SetSettings(settled(by, "writable: none"))
	writes(t, false, s.App("probe", write...))
	writes(t, false, run())
	writes(t, true, s.App("told", write...))
	for _, kind := range []string{"tmpfs", "disk"} {
		writes(t, true, run("--writable", kind))
	}
	elsewhere := s.With("XDG_CONFIG_HOME=" + s.Tmp)
	writes(t, true, elsewhere.App("probe", write...))
	writes(t, false, s.App("probe", write...))
	s.SetSettings(settled(by, "writable: disk"))
	writes(t, true, s.App("probe", write...))
	writes(t, false, run("--writable", "none"))
	if err := os.Remove(s.SettingsFile()); err != nil {
		t.Fatal(err)
	}
	writes(t, true, s.App("probe", write...))
	t.Run("the administrator's", func(t *testing.T) { testAdministratorsDefaults(t, s.In(t)) })
}

func testAdministratorsDefaults(t *testing.T, s *fixture.Sandbox) {
	fixture.RequireRoot(t, "the administrator's settings")
	file := filepath.Join(fixture.SystemSettings, "config.yaml")
	t.Cleanup(func() {
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(file, []byte(settled(s.By, "writable: none")), 0o644); err != nil {
		t.Fatal(err)
	}
	write := []string{"write", "/etc/new", "x"}
	writes(t, false, s.App("probe", write...))
	writes(t, true, s.App("told", write...))
	// A key that the user's own file has is his, the others stay the administrator's.
	s.SetSettings("defaults: {engine: direct}\n")
	writes(t, false, s.App("probe", write...))
	s.SetSettings("defaults: {writable: tmpfs}\n")
	writes(t, true, s.App("probe", write...))
	if s.By.Range {
		says(t, probing(s), "0:0 root", "id")
	}
}

// session is the app's, as it sees it: 0 is one outside of its namespace, the caller's.
func session(t *testing.T, res *fixture.Result) string {
	t.Helper()
	_, behind, _ := strings.Cut(res.Stdout, ") ")
	fields := strings.Fields(behind) // from the third on
	if len(fields) < 4 {
		t.Fatalf("no stat of a process in %v", res)
	}
	return fields[3]
}

func TestDefaultEngine(t *testing.T) { fixture.Each(t, testDefaultEngine) }

// testDefaultEngine tells the engines apart by the session, of which libcontainer makes one of its own.
func testDefaultEngine(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	run := func(options ...string) *fixture.Result {
		t.Helper()
		return s.MustRun(append(options, "probe", "/bin/probe", "cat", "/proc/self/stat")...)
	}
	if got := session(t, run()); got != "0" {
		t.Fatalf("session %s by the direct engine", got)
	}
	s.SetSettings(settled(by, "engine: libcontainer"))
	// Who is not root can't have it, and has not asked for it himself: there is nothing to say.
	if res := run(); (session(t, res) != "0") != by.IsRoot() || res.Stderr != "" {
		t.Errorf("by default: %v", res)
	}
	if res := s.MustApp("probe", "cat", "/proc/self/stat"); (session(t, res) != "0") != by.IsRoot() || res.Stderr != "" {
		t.Errorf("by link: %v", res)
	}
	if res := run("--engine", "direct"); session(t, res) != "0" {
		t.Errorf("asked for the other: %v", res)
	}
	if !by.IsRoot() {
		s.Refused(s.Run("--engine", "libcontainer", "probe", "/bin/probe", "id"), "libcontainer")
	}
}

func TestBadSettings(t *testing.T) { fixture.Each(t, testBadSettings) }

// testBadSettings looks whether they are told by all that reads them; launcher/flake has the list of mistakes.
func testBadSettings(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	refused := func(t *testing.T, want ...string) {
		t.Helper()
		s := s.In(t)
		s.Refused(s.App("probe", "id"), want...)
		s.Refused(s.Run("probe", "/bin/probe", "id"), want...)
		s.Refused(s.Ctl("images"), want...)
	}
	for behaviour, test := range map[string]struct {
		text string
		want []string
	}{
		"an unknown key":   {"defaults:\n  user: root\n", []string{"config.yaml:2", "user"}},
		"an unknown value": {"defaults:\n  ids: all\n", []string{"config.yaml:2", "single or range"}},
		"no YAML":          {"defaults: [\n", []string{"config.yaml:"}},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s.In(t).SetSettings(test.text)
			refused(t, append(test.want, "correct the file")...)
		})
	}
	s.SetSettings(settled(by, "writable: tmpfs"))
	chmod := func(mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(s.SettingsFile(), mode); err != nil {
			t.Fatal(err)
		}
	}
	chmod(0o666)
	t.Run("others may write", func(t *testing.T) { refused(t, "config.yaml", "another user") })
	if !by.IsRoot() {
		chmod(0)
		t.Run("unreadable", func(t *testing.T) { refused(t, "config.yaml", "permission denied", "chmod a+r") })
	}
	chmod(0o644)
	s.MustApp("probe", "exit", "0")
}

// What settings wish for and can't be had is left out without a word; what somebody asks for himself is refused.
func TestDefaultRange(t *testing.T) {
	fixture.RequireRoot(t, "a user with a range, and root's store")
	fixture.RequireProgram(t, "newuidmap")
	s := fixture.NewSandbox(t, fixture.Ranged)
	system := fixture.NewSystem(t)
	system.Load(fixture.ProbeBase(t))
	one, all := s.By.Owner()+" ranged", "0:0 root"
	is := func(t *testing.T, want string, options ...string) {
		t.Helper()
		res := s.In(t).MustRun(append(options, "/bin/probe", "id")...)
		if res.Stdout != want+"\n" || strings.Contains(res.Stderr, "ids") {
			t.Errorf("%q: want %q, got %v", options, want, res)
		}
	}
	t.Run("root's store", func(t *testing.T) {
		is(t, one, "probe")
		s.In(t).Refused(s.Run("--ids", "range", "probe", "/bin/probe", "id"), "not yours")
		s.Load(fixture.Delta(t, "mine", "file mine"))
		is(t, one, "--base", "probe", "mine")
	})
	img := owned(t, "www")
	img.Name = "probe:latest"
	s.Load(img)
	t.Run("own store", func(t *testing.T) {
		is(t, all, "--user", "root", "probe")
		is(t, "33:34 www", "probe") // as the image says
		is(t, "1000:1000 node", "--user", "node", "probe")
		is(t, one, "--ids", "single", "probe")
		s.Register("single", "probe", "--target", "/bin/probe", "--ids", "single")
		if res := s.MustApp("single", "id"); res.Stdout != one+"\n" {
			t.Errorf("the flake says single: %v", res)
		}
		s.In(t).Refused(s.Run("--ids", "single", "--user", "node", "probe", "/bin/probe", "id"), "node", "ids: range")
	})
	t.Run("user of the image alone", func(t *testing.T) {
		s.SetSettings("defaults: {ids: single}\n")
		is(t, one, "probe")
		is(t, all, "--ids", "range", "--user", "0", "probe")
		s.SetSettings(s.By.Settings())
		is(t, "33:34 www", "probe")
	})
	for behaviour, files := range map[string]map[string]string{
		"no helper": {"/usr/bin/newuidmap": "/dev/null"}, "no range": {"/etc/subgid": "/dev/null"},
		"too small for files": {"/etc/subuid": file(t, s, "subuid", "ranged:2000000000:500\n")},
	} {
		t.Run(behaviour, func(t *testing.T) {
			without := s.In(t)
			without.Mounts(files)
			for range 2 {
				if res := without.MustRun("probe", "/bin/probe", "id"); res.Stdout != one+"\n" || strings.Contains(res.Stderr, "ids") {
					t.Errorf("%v", res)
				}
			}
			without.Refused(without.Run("--ids", "range", "probe", "/bin/probe", "id"))
			is(t, "33:34 www", "probe") // as soon as it can be had
		})
	}
	t.Run("too small for the app's user", func(t *testing.T) {
		without := s.In(t)
		without.Mounts(map[string]string{"/etc/subuid": file(t, s, "subuid-2", "ranged:2000000000:1500\n")})
		without.Refused(without.Run("--user", "2000", "probe", "/bin/probe", "id"), "2000")
		without.MustRun("probe", "/bin/probe", "id")
	})
}

// file makes a file of root's for [fixture.Sandbox.Mounts].
func file(t *testing.T, s *fixture.Sandbox, name, text string) string {
	t.Helper()
	path := filepath.Join(s.Tmp, name)
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o644), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	return path
}
