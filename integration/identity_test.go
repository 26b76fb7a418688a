package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// words are the lines of what a probe printed.
func words(res *fixture.Result) []string {
	return strings.Split(strings.TrimSuffix(res.Stdout, "\n"), "\n")
}

// says runs a probe and compares what it prints, a word a line.
func says(t *testing.T, run func(args ...string) *fixture.Result, want string, args ...string) {
	t.Helper()
	res := run(args...)
	if got := strings.Join(words(res), " "); got != want {
		t.Errorf("%s: want %q, got %v", strings.Join(args, " "), want, res)
	}
}

// probing runs commands of the probe in the image `probe` with these options.
func probing(s *fixture.Sandbox, options ...string) func(args ...string) *fixture.Result {
	return func(args ...string) *fixture.Result {
		return s.Run(append(append(options, "probe", "/bin/probe"), args...)...)
	}
}

// ownOrRoots runs a test of an ordinary user over an image in his own store, and over one in root's.
func ownOrRoots(t *testing.T, test func(t *testing.T, s *fixture.Sandbox, own bool)) {
	t.Run("own store", func(t *testing.T) {
		s := fixture.NewSandbox(t, fixture.User)
		s.Load(fixture.ProbeBase(t))
		s.MustRun("probe", "/bin/probe", "exit", "0")
		s.NoLeaks()
		test(t, s, true)
	})
	t.Run("root's store", func(t *testing.T) {
		s := fixture.NewSandbox(t, fixture.User) // ends last: with root's image its plans can go, too
		system := fixture.NewSystem(t)
		system.Load(fixture.ProbeBase(t))
		s.MustRun("probe", "/bin/probe", "exit", "0")
		s.NoLeaks(system.Root)
		test(t, s, false)
	})
}

func TestUserIsHimself(t *testing.T) {
	ownOrRoots(t, func(t *testing.T, s *fixture.Sandbox, own bool) {
		run, me := probing(s, "--profile", "isolated"), s.By.Owner()
		nobodys := me // the files of an own store are the caller's
		if !own {
			nobodys = "65534:65534"
		}
		says(t, run, me+" user54321", "id") // no database of the host knows the id
		says(t, probing(s.With("LOGNAME=alice"), "--profile", "isolated"), me+" user54321", "id")
		for path, want := range map[string]string{
			"/etc/origin": "100000 644 " + nobodys + " 5 ", "/usr/bin": "40000 755 " + nobodys, "/bin": "120000 777 " + nobodys + " 7 usr/bin",
			"/tmp": "40000 1777 " + me, "/var/tmp": "40000 1777 " + me, "/run": "40000 755 " + me, s.Home: "40000 755 " + me,
		} {
			if res := run("stat", path); !strings.HasPrefix(res.Stdout, want) {
				t.Errorf("%s: want %q, got %v", path, want, res)
			}
		}
		says(t, run, "ok ok ok ok", "touch", "/tmp/x", "/var/tmp/x", "/run/x", s.Home+"/x")
		if _, err := os.Lstat(filepath.Join(s.Home, "x")); err == nil {
			t.Error("HOME inside is the host's, without having been shared")
		}
		want := "ok ok ok ok"
		if !own {
			want = "EACCES EACCES EACCES EACCES"
		}
		says(t, run, want, "touch", "/x", "/etc/x", "/etc/origin", "/usr/bin/probe2")
		says(t, run, "EACCES", "touch", "/proc/sys/kernel/hostname")
		// A file made here is the caller's, and nobody else's.
		script := s.Binary("flake-run") + " probe /bin/probe chown "
		if out := s.Exec("/bin/sh", "-c", script+me+" 0:0 1:1 /tmp").Stdout; out != "ok\nEINVAL\nEINVAL\n" {
			t.Errorf("chown: %q", out)
		}
		if out := s.Exec("/bin/sh", "-c", script+me+" /etc/origin").Stdout; own != (out == "ok\n") {
			t.Errorf("chown of the image's file: %q", out)
		}
		if home := s.MustRun("probe", "/bin/probe", "env").Stdout; !strings.Contains(home, `"HOME=`+s.Home+`"`) {
			t.Errorf("no HOME of the caller in %s", home)
		}
	})
}

func TestUserAsRootInside(t *testing.T) {
	ownOrRoots(t, func(t *testing.T, s *fixture.Sandbox, own bool) {
		for _, spelling := range []string{"root", "0", "0:0"} {
			run := probing(s, "--user", spelling)
			if !own {
				s.Refused(run("id"), "root")
				continue
			}
			says(t, run, "0:0 root", "id")
		}
		s.Refused(probing(s, "--user", "nobody")("id"), "nobody")
		s.Refused(probing(s, "--user", "7:7")("id"), "7:7")
		s.Refused(probing(s, "--user", "0:0:0")("id"), "0:0:0", "more than one colon", "USER:GROUP")
		if !own {
			return
		}
		run := probing(s, "--user", "root")
		says(t, run, "100000 644 0:0 5 ", "stat", "/etc/origin")
		says(t, run, "ok ok ok ok EACCES", "touch", "/x", "/etc/x", "/root/x", "/tmp/x", "/proc/sys/kernel/hostname")
		says(t, run, "ok EINVAL", "chown", "0:0", "1:1", "/etc/origin")
		s.MustCtl("register", "--container", "probe", "--app", s.Link("rooted"), "--target", "/bin/probe", "--user", "root")
		if out := s.MustApp("rooted", "id").Stdout; out != "0:0 root\n" {
			t.Errorf("registered as root: %s", out)
		}
	})
}

func TestRealIdentity(t *testing.T) { fixture.Each(t, testRealIdentity) }

// testRealIdentity asks the tools that people ask.
func testRealIdentity(t *testing.T, by fixture.Caller) {
	base := fixture.Real(t, "bookworm")
	s := real(t, by)
	s.MustCtl("load", s.Share(base.Archive))
	want := "uid=54321(user54321) gid=54321(user54321)|user54321|54321|54321|54321"
	if by.IsRoot() || by.Range { // who is root within his range
		want = "uid=0(root) gid=0(root)|root|0|0|0"
	}
	res := s.MustRun("bookworm", "/bin/sh", "-c", `
		touch /tmp/mine
		echo "$(id | sed 's/ groups=.*//')|$(whoami)|$(stat -c %u /tmp/mine)|$(ls -ln /usr/bin/env | awk '{print $3}')|$(ls -ln /etc/passwd | awk '{print $4}')"`)
	if by.IsRoot() || by.Range || by.UID == 54321 {
		if got := strings.TrimSpace(res.Stdout); got != want {
			t.Errorf("want %s, got %v", want, res)
		}
	}
}

// What the caller can't read of the host is said when the flake is registered, not found when it runs.
func TestHostFilesOutOfReach(t *testing.T) {
	fixture.RequireRoot(t, "files that the user can't read")
	s := fixture.NewSandbox(t, fixture.User)
	s.Load(fixture.ProbeBase(t))
	host := hostDir(t, fixture.Root)
	for name, mode := range map[string]os.FileMode{"open": 0o644, "closed": 0o600} {
		if err := os.WriteFile(filepath.Join(host, name), []byte("the host's\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	below := strings.TrimPrefix(host, "/")
	s.Load(fixture.Delta(t, "linked", `file removed data=`+quote(below+"/open\n"+below+"/closed\n")))
	res := s.Register("linked", "linked", "--base", "probe", "--target", "/bin/probe")
	if !strings.Contains(res.Stderr, host+"/closed") {
		t.Errorf("no word about the file that can't be read: %v", res)
	}
	if out := s.MustApp("linked", "cat", host+"/open").Stdout; out != "the host's\n" {
		t.Errorf("the other file: %q", out)
	}
}
