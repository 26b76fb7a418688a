package integration

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
	"github.com/flake-launcher/flake-launcher/integration/image"
)

const ranger = 54322

// ranged is a sandbox of a user that is made for it, with these lines in /etc/subuid and /etc/subgid.
func ranged(t *testing.T, subuid, subgid string, more ...string) *fixture.Sandbox {
	t.Helper()
	fixture.RequireRoot(t, "to become another user")
	fixture.RequireProgram(t, "newuidmap")
	s := fixture.NewSandbox(t, fixture.Caller{Name: "ranger", UID: ranger, GID: ranger})
	accounts, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(filepath.Dir(s.Home), "accounts")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for name, text := range map[string]string{
		"passwd": string(accounts) + fmt.Sprintf("ranger:x:%d:%d::%s:/bin/sh\n", ranger, ranger, s.Home),
		"subuid": subuid, "subgid": subgid,
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		files["/etc/"+name] = file
	}
	for _, name := range more { // what is to be missing, or "what=by what" to be another file
		name, by, ok := strings.Cut(name, "=")
		if !ok {
			by = "/dev/null"
		}
		files[name] = by
	}
	s.Mounts(maps.Clone(files))
	return s
}

const line = "ranger:200000:65536\n"

// owned is an image with files of several users, and all that a user can't keep.
func owned(t *testing.T, user string) image.Image {
	t.Helper()
	lines := append(fixture.ProbeLines(t),
		"dir srv own=33:33 mode=0750", `file srv/www data="page" own=33:34 mode=0640`, "hard srv/again to=srv/www own=33:34 mode=0640", "link srv/link to=www own=33:33",
		`file usr/bin/suid mode=4755 data="x" own=0:0`, `file closed mode=0000 data="x" own=1000:1000`, "dir shut mode=0000 own=1000:1000",
		`file shut/in data="in" own=1000:1000`, "dir opt own=1000:1000 mode=2775", "fifo opt/pipe own=1000:1000 mode=0600",
		`file etc/passwd data="root:x:0:0:root:/root:/bin/sh\nwww:x:33:34::/srv:/bin/sh\nnode:x:1000:1000::/opt:/bin/sh\n"`,
		`file etc/group data="root:x:0:\nwww:x:34:\nnode:x:1000:\nextra:x:99:node\n"`)
	img := fixture.ProbeBase(t)
	img.Name = "owned:latest"
	img.Layers = []*image.Layer{fixture.Layer(t, lines...), fixture.Layer(t, "whiteout etc/origin", "dir opt own=1000:1000 mode=2775", "opaque opt",
		`file opt/new data="new" own=1000:1000`)}
	img.Config.User = user
	return img
}

func TestRange(t *testing.T) {
	s := ranged(t, line, line)
	s.Load(owned(t, ""))
	single := s.MustRun("owned", "/bin/probe", "stat", "/srv/www")
	if !strings.Contains(single.Stdout, fmt.Sprint(ranger)) {
		t.Errorf("a single id is not the default: %v", single)
	}
	run := func(args ...string) *fixture.Result {
		t.Helper()
		return s.Run(append([]string{"--ids", "range", "owned", "/bin/probe"}, args...)...)
	}
	for path, want := range map[string]string{
		"/srv": "40000 750 33:33", "/srv/www": "100000 640 33:34", "/srv/again": "100000 640 33:34", "/srv/link": "33:33",
		"/usr/bin/suid": "100000 4755 0:0", "/closed": "100000 0 1000:1000", "/shut": "40000 0 1000:1000", "/shut/in": "1000:1000",
		"/opt": "40000 2775 1000:1000", "/opt/new": "1000:1000", "/": "40000 755 0:0", "/tmp": "40000 1777 0:0",
	} {
		if res := run("stat", path); res.Code != 0 || !strings.Contains(res.Stdout, want) {
			t.Errorf("%s: want %q in %v", path, want, res)
		}
	}
	for _, gone := range []string{"/etc/origin", "/opt/pipe"} {
		if res := run("stat", gone); res.Stdout != "none\n" {
			t.Errorf("%s is there: %v", gone, res)
		}
	}
	// By default root, who is the caller; or any user of the image, with his groups and nobody else's.
	for user, want := range map[string]string{"root": "uid 0 gid 0", "www": "uid 33 gid 34 groups []", "node": "uid 1000 gid 1000 groups [99]"} {
		res := s.Run("--ids", "range", "--user", user, "owned", "/bin/probe", "ids")
		if !strings.Contains(res.Stdout, want) {
			t.Errorf("user %q: want %q in %v", user, want, res)
		}
	}
	res := run("each", "/bin/probe", "write", "/tmp/x", "x", "then", "/bin/probe", "chown", "1000:1000", "/tmp/x", "then", "/bin/probe", "stat", "/tmp/x")
	if !strings.Contains(res.Stdout, "1000:1000") || res.Code != 0 || s.Run("--ids", "range", "--user", "www", "owned", "/bin/probe", "write", "/usr/bin/x", "x").Code == 0 {
		t.Errorf("rights are not those of the users: %v", res)
	}
	status := run("cat", "/proc/self/status").Stdout
	for _, want := range []string{"CapEff:\t00000000800405fb", "CapBnd:\t00000000800405fb", "NoNewPrivs:\t1", "Seccomp_filters:\t1"} {
		if !strings.Contains(status, want) {
			t.Errorf("status lacks %q:\n%s", want, status)
		}
	}
	maps := strings.Join(strings.Fields(run("cat", "/proc/self/uid_map").Stdout), " ")
	if want := fmt.Sprintf("0 %d 1 1 200000 65536", ranger); maps != want {
		t.Errorf("maps %q, want %q", maps, want)
	}
	if res := run("exit", "42"); res.Code != 42 {
		t.Errorf("%v", res)
	}
	if res := run("raise", "15"); res.Signal != syscall.SIGTERM {
		t.Errorf("%v", res)
	}
	s.Register("ranged", "owned", "--target", "/bin/probe", "--ids", "range")
	if res := s.MustApp("ranged", "stat", "/srv/www"); !strings.Contains(res.Stdout, "33:34") {
		t.Errorf("%v", res)
	}
	if res := s.MustRun("--ids", "range", "--writable", "none", "owned", "/bin/probe", "stat", "/srv"); !strings.Contains(res.Stdout, "33:33") {
		t.Errorf("%v", res)
	}
	s.NoLeaks()
}

// A range changes nothing of what holds for everybody.
func TestRangeSeesNoMore(t *testing.T) {
	s := ranged(t, line, line)
	s.Load(owned(t, ""))
	for _, path := range []string{"/proc/acpi", "/sys/firmware", "/proc/scsi"} {
		if res := s.Run("--ids", "range", "owned", "/bin/probe", "ls", path); strings.TrimSpace(res.Stdout) != "" {
			t.Errorf("%v", res)
		}
	}
	for _, path := range []string{"/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper"} {
		if res := s.Run("--ids", "range", "owned", "/bin/probe", "write", path, "x"); res.Code == 0 {
			t.Errorf("%v", res)
		}
	}
	if res := s.Run("--ids", "range", "owned", "/bin/probe", "proc", "rw"); strings.TrimSpace(res.Stdout) == "writable" {
		t.Errorf("%v", res)
	}
}

// An image that names a user gets a range where there is one, unless the flake says otherwise.
func TestRangeByImageUser(t *testing.T) {
	for behaviour, test := range map[string]struct {
		subuid  string
		options []string
		want    string
	}{
		"a range":            {line, nil, "uid 33 gid 34"},
		"no range":           {"", nil, fmt.Sprintf("uid %d gid %d", ranger, ranger)},
		"too small":          {"ranger:200000:10\n", nil, fmt.Sprintf("uid %d gid %d", ranger, ranger)},
		"ids: single":        {line, []string{"--ids", "single"}, fmt.Sprintf("uid %d gid %d", ranger, ranger)},
		"another's range":    {"somebody:200000:65536\n", nil, fmt.Sprintf("uid %d gid %d", ranger, ranger)},
		"by number":          {fmt.Sprintf("%d:200000:65536\n", ranger), nil, "uid 33 gid 34"},
		"in several pieces":  {"ranger:200000:500\nranger:300000:1000\n", nil, "uid 33 gid 34"},
		"overlapping pieces": {"ranger:200000:5000\nranger:200100:1000\n", nil, "uid 33 gid 34"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := ranged(t, test.subuid, test.subuid)
			s.Load(owned(t, "www"))
			if res := s.Run(append(test.options, "owned", "/bin/probe", "ids")...); !strings.Contains(res.Stdout, test.want) {
				t.Errorf("want %q in %v", test.want, res)
			}
		})
	}
}

func TestRangeRefused(t *testing.T) {
	for behaviour, test := range map[string]struct {
		subuid, subgid string
		missing        []string
		options        []string
		want           []string
	}{
		"no range at all":      {"", "", nil, nil, []string{"/etc/subuid", "ranger:100000:65536"}},
		"no groups":            {line, "", nil, nil, []string{"/etc/subgid"}},
		"too small for files":  {"ranger:200000:100\n", line, nil, nil, []string{"1000", "101 ids", "/etc/subuid"}},
		"too small for a user": {"ranger:200000:1500\n", line, nil, []string{"--user", "2000"}, []string{"2000", "1501 ids"}},
		"no helper":            {line, line, []string{"/usr/bin/newuidmap"}, nil, []string{"newuidmap is missing", "uidmap"}},
		"no helper for groups": {line, line, []string{"/usr/bin/newgidmap"}, nil, []string{"newgidmap is missing", "uidmap"}},
		"helper refuses":       {line, line, []string{"/usr/bin/newgidmap=/bin/false"}, nil, []string{"/usr/bin/newgidmap", "/etc/subgid"}},
		"libcontainer":         {line, line, nil, []string{"--engine", "libcontainer"}, []string{"libcontainer"}},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := ranged(t, test.subuid, test.subgid, test.missing...)
			s.Load(owned(t, ""))
			res := s.Run(append(append([]string{"--ids", "range"}, test.options...), "owned", "/bin/probe", "ids")...)
			s.Refused(res, test.want...)
			lines := strings.Split(strings.TrimSpace(res.Stderr), "\n")
			if n := strings.Count(res.Stderr, "remedy: "); n != 1 || len(lines) > 3 || res.Code != 125 {
				t.Errorf("%v", res)
			}
		})
	}
}

// What was made with a range is removed by our own means; nothing is left that is somebody else's.
func TestRangeRemoval(t *testing.T) {
	s := ranged(t, line, line)
	s.Load(owned(t, ""))
	s.MustRun("--ids", "range", "owned", "/bin/probe", "exit", "0")
	foreign := func() (n int) {
		_ = filepath.WalkDir(s.Root, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if st, err := os.Lstat(path); err == nil && st.Sys().(*syscall.Stat_t).Uid != ranger {
				n++
			}
			return nil
		})
		return n
	}
	if foreign() == 0 {
		t.Fatal("no file has another owner")
	}
	// Others have nothing to look for where set-uid programs lie.
	if st, err := os.Stat(filepath.Join(s.Root, "ranges")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if res := s.MustCtl("gc", "--dry-run"); strings.Contains(res.Stdout, "owners") {
		t.Errorf("what is needed would go: %v", res)
	}
	res := s.MustCtl("remove", "--container", "owned")
	if !strings.Contains(res.Stdout, "with its owners") || foreign() != 0 {
		t.Errorf("%d files of others are left: %v", foreign(), res)
	}
	if diff := cmp.Diff("freed 0 B\n", s.MustCtl("gc").Stdout); diff != "" {
		t.Log(diff)
	}
}

// A writable part on disk holds files of other ids, which the caller could not remove from outside.
func TestRangeOnDisk(t *testing.T) {
	s := ranged(t, line, line)
	s.Load(owned(t, ""))
	run := []string{"--ids", "range", "--writable", "disk", "owned", "/bin/probe"}
	left := func() []string {
		dirs, _ := filepath.Glob(filepath.Join(s.Root, "ranges", "tmp", "writable-*"))
		return dirs
	}
	for _, words := range [][]string{
		{"touch", "/srv/mine", "/opt/x", "/tmp/x", "/shut/in", "/etc/x"}, {"chown", "1000:1000", "/usr/bin/suid"},
	} {
		if res := s.MustRun(append(run, words...)...); strings.Trim(res.Stdout, "ok\n") != "" {
			t.Errorf("%v", res)
		}
	}
	if dirs := left(); len(dirs) > 0 {
		t.Errorf("left after the end: %q", dirs)
	}
	cmd, out := ready(t, s, s.Binary("flake-run"), append(run, "each", "/bin/probe", "touch", "/srv/mine", "/shut/in", "then", "/bin/probe", "wait")...)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait()
	// Without the range nobody can remove it: starts go on, and the collection says so.
	subuid := filepath.Join(filepath.Dir(s.Home), "accounts", "subuid")
	for _, text := range []string{"ranger:300000:65536\n", line} {
		if err := os.WriteFile(subuid, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if text == line {
			break
		}
		s.MustRun(append(run, "exit", "0")...)
		res := s.Ctl("gc")
		s.Refused(res, "writable-", "/etc/subuid")
		if len(left()) != 1 || res.Code != 1 {
			t.Errorf("%q after %v", left(), res)
		}
	}
	if res := s.MustCtl("gc", "--dry-run"); !strings.Contains(res.Stdout, "would delete unfinished work writable-") {
		t.Errorf("%v", res)
	}
	if res := s.MustCtl("gc"); len(left()) > 0 || !strings.Contains(res.Stdout, "deleted unfinished work writable-") {
		t.Errorf("%q after %v", left(), res)
	}
}

// Root has all ids anyway.
func TestRangeOfRoot(t *testing.T) {
	fixture.RequireRoot(t, "to be root")
	s := fixture.NewSandbox(t, fixture.Root)
	s.Load(owned(t, "www"))
	res := s.MustRun("--ids", "range", "owned", "/bin/probe", "ids")
	if !strings.Contains(res.Stdout, "uid 33 gid 34") {
		t.Errorf("%v", res)
	}
}
