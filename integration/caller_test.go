package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// in is a sandbox's command in a directory.
func in(s *fixture.Sandbox, dir string, path string, args ...string) *fixture.Result {
	return s.ExecWith(func(cmd *exec.Cmd) { cmd.Dir = dir }, path, args...)
}

// dropIn adds keys to a registration.
func dropIn(s *fixture.Sandbox, name, text string) {
	dir := filepath.Join(s.Registrations, name+".d")
	if _, err := os.Stat(dir); err != nil {
		s.Mkdir(dir)
	}
	s.WriteFile(filepath.Join(dir, "test.yaml"), text)
}

func TestProfiles(t *testing.T) { fixture.Each(t, testProfiles) }

// testProfiles is the table of the README.
func testProfiles(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s = s.With("MINE=yes", "LC_TIME=C", "TZ=UTC", "https_proxy=http://p", "LD_PRELOAD_X=1", "PYTHONPATH=/p", "PATH=/evil:/usr/bin:/bin", "ORIGIN=caller")
	work := by.Dir(t) // below /tmp
	s.WriteFile(filepath.Join(s.Home, "in-home"), "home")
	s.WriteFile(filepath.Join(work, "in-cwd"), "cwd")
	tmp := filepath.Join(by.Dir(t), "in-tmp")
	s.WriteFile(tmp, "tmp")
	for profile, want := range map[string]struct {
		home, cwd, tmp, network bool
		env, not                []string
	}{
		"native":   {true, true, true, true, []string{"MINE=yes", "TZ=UTC", "https_proxy=http://p", "ORIGIN=base", "PATH=/usr/bin:/bin"}, []string{"PYTHONPATH=", "LD_PRELOAD_X="}},
		"project":  {false, true, false, true, []string{"TZ=UTC", "LC_TIME=C", "https_proxy=http://p", "ORIGIN=base"}, []string{"MINE=", "PYTHONPATH="}},
		"isolated": {false, false, false, false, []string{"TZ=UTC", "LC_TIME=C", "ORIGIN=base"}, []string{"MINE=", "https_proxy="}},
	} {
		t.Run(profile, func(t *testing.T) {
			s := s.In(t)
			s.Register(profile, "probe", "--target", "/bin/probe", "--profile", profile)
			app := func(args ...string) *fixture.Result { t.Helper(); return in(s, work, s.Link(profile), args...) }
			if res := app("cat", filepath.Join(s.Home, "in-home")); (res.Stdout == "home") != want.home {
				t.Errorf("home: %v", res)
			}
			if res := app("cat", "in-cwd"); (res.Stdout == "cwd") != want.cwd {
				t.Errorf("current directory: %v", res)
			}
			if res := app("cat", tmp); (res.Stdout == "tmp") != want.tmp {
				t.Errorf("/tmp: %v", res)
			}
			if res := app("cat", "/proc/net/dev"); (strings.Count(res.Stdout, ":") > 1) != want.network && want.network == false {
				t.Errorf("network: %v", res)
			}
			if host, inside := readlink(t, "/proc/self/ns/net"), app("stat", "/proc/self/ns/net").Stdout; strings.Contains(inside, host) != want.network {
				t.Errorf("network namespace %s, host's %s", inside, host)
			}
			if res := app("ls", s.Home); !want.home && strings.TrimSpace(res.Stdout) != "" {
				t.Errorf("the home is not empty: %v", res)
			}
			home := s.Home
			if by.Range && !want.home { // who is root within a range has the image's home then
				home = "/root"
			}
			env := app("env").JSON(t)
			for _, kv := range append(want.env, "HOME="+home) {
				if !slices.Contains(env, kv) {
					t.Errorf("no %s in %q", kv, env)
				}
			}
			for _, prefix := range want.not {
				if slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, prefix) }) {
					t.Errorf("%s in %q", prefix, env)
				}
			}
			where := work + " " + work + "\n"
			if !want.cwd {
				where = "/ "
			}
			if res := app("cwd"); !strings.HasPrefix(res.Stdout, where) {
				t.Errorf("starts in %v, want %q", res, where)
			}
			// Whatever is shared, what is written elsewhere vanishes, and HOME can be written to.
			if res := app("touch", filepath.Join(home, "new")); res.Stdout != "ok\n" {
				t.Errorf("write to HOME: %v", res)
			}
			_, err := os.Lstat(filepath.Join(s.Home, "new"))
			if (err == nil) != want.home {
				t.Errorf("what was written to HOME is on the host: %v", err == nil)
			}
			_ = os.Remove(filepath.Join(s.Home, "new"))
		})
	}
}

func readlink(t *testing.T, path string) string {
	t.Helper()
	text, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestCurrentDirectory(t *testing.T) { fixture.Each(t, testCurrentDirectory) }

func testCurrentDirectory(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Register("project", "probe", "--target", "/bin/probe", "--profile", "project")
	work := by.Dir(t)
	deep := filepath.Join(work, "a", "b with blank")
	s.Mkdir(deep)
	if err := os.Symlink(filepath.Join(work, "a"), filepath.Join(work, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"probe", "project"} {
		for dir, want := range map[string]string{deep: deep, s.Home: s.Home, "/": "/", "/usr": "/usr", "/etc": "/etc", "/proc": "/proc", "/dev": "/dev"} {
			if res := in(s, dir, s.Link(name), "cwd"); res.Stdout != want+" "+want+"\n" {
				t.Errorf("%s in %s: %v", name, dir, res)
			}
		}
		for _, dir := range []string{"/usr/share", "/var/lib", "/proc/sys/kernel", "/sys/kernel"} {
			res := in(s, dir, s.Link(name), "cwd")
			if dir == "/proc/sys/kernel" || dir == "/sys/kernel" { // they have these of their own
				if res.Code != 0 {
					t.Errorf("%v", res)
				}
				continue
			}
			if res.Code != 125 {
				t.Errorf("%s in %s: %v", name, dir, res)
			}
			s.Refused(res, dir, "workdir")
		}
		// By the name the caller has for it, if that is one inside as well.
		logical := filepath.Join(work, "link", "b with blank")
		res := s.ExecWith(func(cmd *exec.Cmd) { cmd.Dir = deep; cmd.Env = append(slices.Clone(s.Env), "PWD="+logical) }, s.Link(name), "cwd")
		if res.Stdout != deep+" "+logical+"\n" {
			t.Errorf("%s by a symlink: %v", name, res)
		}
		res = in(s, "/tmp", "/bin/sh", "-c", `mkdir gone-$$ && cd gone-$$ && rmdir ../gone-$$ && exec "$0" cwd`, s.Link(name))
		if res.Code != 125 {
			t.Errorf("deleted: %v", res)
		}
		s.Refused(res, "current directory")
	}
	// What is written there is the caller's.
	if res := in(s, deep, s.Link("project"), "write", "made", "x"); res.Code != 0 {
		t.Errorf("%v", res)
	}
	st, err := os.Stat(filepath.Join(deep, "made"))
	if err != nil || !ownedBy(st, by) {
		t.Errorf("%v %v", st, err)
	}
	s.Register("there", "probe", "--target", "/bin/probe", "--workdir", "/usr")
	if res := in(s, deep, s.Link("there"), "cwd"); !strings.HasPrefix(res.Stdout, "/usr ") {
		t.Errorf("workdir: %v", res)
	}
	res := s.ExecWith(func(cmd *exec.Cmd) { cmd.Dir = deep }, s.Binary("flake-run"), "--writable", "none", "probe", "/bin/probe", "each",
		"/bin/probe", "cwd", "then", "/bin/probe", "touch", "here", "/etc/x", "/x", s.Home+"/x")
	outcome := "EROFS" // of his home, which root within a range does not get an empty one of
	if by.Range {
		outcome = "ENOENT"
	}
	if want := deep + " " + deep + "\nok\nEROFS\nEROFS\n" + outcome + "\n"; res.Stdout != want {
		t.Errorf("read-only root: want %q, got %v", want, res)
	}
}

// Where the caller is although he couldn't go there: in a directory that he may not search, or below one.
func TestCurrentDirectoryOutOfReach(t *testing.T) {
	fixture.EachUnranged(t, testCurrentDirectoryOutOfReach)
}

func testCurrentDirectoryOutOfReach(t *testing.T, by fixture.Caller) {
	fixture.RequireRoot(t, "to be put there")
	s := started(t, by)
	s.Register("project", "probe", "--target", "/bin/probe", "--profile", "project")
	for name, owner := range map[string]fixture.Caller{"his own": by, "root's": fixture.Root} {
		above := filepath.Join(owner.Dir(t), "above")
		dir := filepath.Join(above, "dir")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		owner.Give(t, above, dir)
		for _, barred := range []string{above, dir} {
			for _, app := range []string{"probe", "project"} {
				script := `cd "$0" && chmod 0 "$1" && setpriv --reuid $3 --regid $4 --clear-groups --no-new-privs -- "$2" cwd; s=$?; chmod 755 "$1"; exit $s`
				as := *s
				as.By = fixture.Root
				res := as.Exec("/bin/sh", "-c", script, dir, barred, s.Link(app), fmt.Sprint(by.UID), fmt.Sprint(by.GID))
				switch {
				case by.IsRoot() || owner == by && barred == above: // who may go anywhere, within his own namespace
					if want := dir + " " + dir + "\n"; res.Code != 0 || res.Stdout != want {
						t.Errorf("%s, below %s: %v", name, filepath.Base(barred), res)
					}
				case res.Code != 125:
					t.Errorf("%s, below %s: %v", name, filepath.Base(barred), res)
				default:
					s.Refused(res, "ermission denied", "change to another directory")
				}
			}
		}
	}
}

// The directory that a user is in is shown over root's images, too, where he could make no place for it.
func TestCurrentDirectoryOverRootsStore(t *testing.T) {
	ownOrRoots(t, func(t *testing.T, s *fixture.Sandbox, _ bool) {
		work := s.By.Dir(t)
		for _, writable := range []string{"tmpfs", "none", "disk"} {
			res := s.ExecWith(func(cmd *exec.Cmd) { cmd.Dir = work }, s.Binary("flake-run"), "--writable", writable, "--share", s.Tmp+":ro", "probe", "/bin/probe", "each",
				"/bin/probe", "cwd", "then", "/bin/probe", "touch", "here", s.Tmp+"/x")
			if want := work + " " + work + "\nok\nEROFS\n"; res.Stdout != want {
				t.Errorf("%s: want %q, got %v", writable, want, res)
			}
		}
	})
}

func TestShare(t *testing.T) { fixture.Each(t, testShare) }

func testShare(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	dir := by.Dir(t)
	s.WriteFile(filepath.Join(dir, "file"), "shared")
	s = s.With("HERE="+dir, "SSH_AUTH_SOCK="+filepath.Join(dir, "agent"))
	if err := os.Symlink("file", filepath.Join(dir, "agent")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	for behaviour, test := range map[string]struct{ share, args, want string }{
		"a directory":              {dir, "cat " + file, "shared"},
		"it can be written to":     {dir, "touch " + file, "ok\n"},
		"read-only":                {dir + ":ro", "touch " + file, "EROFS\n"},
		"a file":                   {file, "cat " + file, "shared"},
		"a file, read-only":        {file + ":ro", "touch " + file, "EROFS\n"},
		"may be missing and is":    {dir + "/none?", "stat " + dir + "/none", "none\n"},
		"may be missing, is there": {file + ":ro?", "touch " + file, "EROFS\n"},
		"by a variable":            {"%HERE", "cat " + file, "shared"},
		"in the home":              {"~/", "stat " + file, "none\n"},
		"ssh-agent":                {"ssh-agent", "cat " + dir + "/agent", "shared"},
		"a session without one":    {"wayland", "stat " + file, "none\n"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := s.In(t)
			res := in(s, "/", s.Binary("flake-run"), append([]string{"--share", test.share, "probe", "/bin/probe"}, strings.Fields(test.args)...)...)
			if res.Stdout != test.want {
				t.Errorf("want %q, got %v", test.want, res)
			}
		})
	}
	for behaviour, test := range map[string]struct{ share, word string }{
		"missing":         {dir + "/none", dir + "/none"},
		"relative":        {"some/where", "some/where"},
		"unset variable":  {"%NOTHING/x", "NOTHING"},
		"the root":        {"/", `"/"`},
		"the host's /etc": {"/etc", "/etc"},
		"/proc":           {"/proc/1", "/proc/1"},
		"no such name":    {"telepathy", "telepathy"},
	} {
		t.Run("refused: "+behaviour, func(t *testing.T) {
			s := s.In(t)
			res := in(s, "/", s.Binary("flake-run"), "--share", test.share, "probe", "/bin/probe", "id")
			if res.Code != 125 {
				t.Errorf("%v", res)
			}
			s.Refused(res, test.word)
		})
	}
}

func TestAppCannotRewriteUs(t *testing.T) { fixture.Each(t, testAppCannotRewriteUs) }

// testAppCannotRewriteUs tries all that an app could change to be started again as something else.
func testAppCannotRewriteUs(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Register("project", "probe", "--target", "/bin/probe", "--profile", "project")
	plans, err := filepath.Glob(filepath.Join(s.Root, "plans", "*"))
	if err != nil || len(plans) == 0 {
		t.Fatalf("no plans: %v", err)
	}
	before := census(t, s.Root)
	paths := append(plans, filepath.Join(s.Root, "new"), filepath.Join(s.Root, "plans", "new"), filepath.Join(s.Root, "refs", "new"),
		filepath.Join(s.Root, "ledger", "new"), filepath.Join(s.Registrations, "probe.yaml"), filepath.Join(s.Registrations, "evil.yaml"))
	for name, dir := range map[string]string{"probe": "/", "project": s.Home} {
		res := in(s, dir, s.Link(name), append([]string{"touch"}, paths...)...)
		for i, word := range words(res) {
			// Where the home is not shared and does not hold them, they are not there at all.
			if word != "EROFS" && (word != "ENOENT" || name == "probe") {
				t.Errorf("%s: %s: %s", name, paths[i], word)
			}
		}
		for _, parent := range []string{s.Root, filepath.Dir(s.Root), filepath.Dir(filepath.Dir(s.Root)), s.Registrations, filepath.Dir(s.Registrations)} {
			if parent == s.Home || !strings.HasPrefix(parent, filepath.Dir(s.Home)+"/") {
				continue
			}
			if res := in(s, dir, s.Link(name), "rename", parent, parent+"-moved"); res.Stdout != "EBUSY\n" && res.Stdout != "EROFS\n" && res.Stdout != "ENOENT\n" {
				t.Errorf("%s: rename %s: %v", name, parent, res)
			}
		}
	}
	// From within them as well.
	for _, dir := range []string{s.Root, filepath.Join(s.Root, "plans"), s.Registrations} {
		for _, name := range []string{"probe", "project"} {
			if res := in(s, dir, s.Link(name), "touch", "new"); res.Stdout != "EROFS\n" {
				t.Errorf("%s in %s: %v", name, dir, res)
			}
		}
	}
	after := census(t, s.Root)
	if len(before) == 0 || len(after) != len(before) {
		t.Errorf("the store changed: %d entries, then %d", len(before), len(after))
	}
}

// A user who never registered anything has no directory of registrations that an app could fill.
func TestAppCannotRegister(t *testing.T) {
	ownOrRoots(t, func(t *testing.T, s *fixture.Sandbox, own bool) {
		for _, dir := range []string{".config/flakes", ".config/flake-launcher"} {
			file := filepath.Join(s.Home, dir, "x.yaml")
			run := func(args ...string) *fixture.Result {
				return in(s, s.Home, s.Binary("flake-run"), append([]string{"--profile", "native", "probe", "/bin/probe"}, args...)...)
			}
			if res := run("mkdir", s.Home+"/.config", filepath.Dir(file)); !strings.HasPrefix(res.Stdout, "EEXIST") {
				t.Errorf("%v", res)
			}
			if res := run("touch", file); res.Stdout != "EROFS\n" {
				t.Errorf("%s: %v", file, res)
			}
			if res := run("rename", s.Home+"/.config", s.Home+"/.moved"); res.Stdout != "EBUSY\n" {
				t.Errorf("%v", res)
			}
		}
	})
}

func TestEnvironmentPolicy(t *testing.T) { fixture.Each(t, testEnvironmentPolicy) }

func testEnvironmentPolicy(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Register("policy", "probe", "--target", "/bin/probe", "--profile", "isolated")
	dropIn(s, "policy", "env:\n  allow: [AWS_*, PYTHONPATH]\n  deny: [LC_*, AWS_SECRET*]\n  set: {FIXED: \"1\", FROM: \"%WHO-%NOBODY.\", ORIGIN: flake}\n")
	s = s.With("AWS_REGION=r", "AWS_SECRET_KEY=s", "PYTHONPATH=/p", "LC_ALL=C", "LANG=C", "WHO=%LANG", "ORIGIN=caller")
	env := s.MustApp("policy", "env").JSON(t)
	for _, kv := range []string{"AWS_REGION=r", "PYTHONPATH=/p", "LANG=C", "FIXED=1", "FROM=%LANG-.", "ORIGIN=flake", "BASE=yes"} {
		if !slices.Contains(env, kv) {
			t.Errorf("no %s in %q", kv, env)
		}
	}
	for _, kv := range env {
		if strings.HasPrefix(kv, "AWS_SECRET") || strings.HasPrefix(kv, "LC_") || strings.HasPrefix(kv, "WHO=") {
			t.Errorf("%s in %q", kv, env)
		}
	}
}

func TestHostBasics(t *testing.T) { fixture.Each(t, testHostBasics) }

func testHostBasics(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	for _, path := range []string{"/etc/hosts", "/etc/resolv.conf", "/etc/localtime", "/etc/machine-id"} {
		host, err := os.ReadFile(path)
		if err != nil {
			continue // this host has none, and neither has the app
		}
		for profile, want := range map[string]string{"native": string(host), "project": string(host), "isolated": string(host)} {
			if path == "/etc/machine-id" && profile == "isolated" {
				want = ""
			}
			if res := s.Run("--profile", profile, "probe", "/bin/probe", "cat", path); res.Stdout != want {
				t.Errorf("%s with %s: %v", path, profile, res)
			}
		}
		// It is the app's own: it can replace it, and the host does not see that.
		res := s.Run("probe", "/bin/probe", "each", "/bin/probe", "write", path, "mine", "then", "/bin/probe", "cat", path)
		if after, err := os.ReadFile(path); res.Stdout != "mine" || err != nil || string(after) != string(host) {
			t.Errorf("%s: %v, %v", path, res, err)
		}
	}
	if res := s.Run("--profile", "native", "probe", "/bin/probe", "stat", "/etc/fstab", "/etc/debian_version"); res.Stdout != "none\nnone\n" {
		t.Errorf("the host's /etc: %v", res)
	}
}

func ownedBy(st os.FileInfo, by fixture.Caller) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == by.UID && int(sys.Gid) == by.GID
}
