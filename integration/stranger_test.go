package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// each command that opens a store, by what it is.
func openers(s *fixture.Sandbox) map[string]func() *fixture.Result {
	return map[string]func() *fixture.Result{
		"images":   func() *fixture.Result { return s.Ctl("images") },
		"gc":       func() *fixture.Result { return s.Ctl("gc") },
		"load":     func() *fixture.Result { return s.Ctl("load", "/etc/passwd") },
		"register": func() *fixture.Result { return s.Ctl("register", "--container", "probe", "--app", s.Link("new")) },
		"remove":   func() *fixture.Result { return s.Ctl("remove", "--container", "probe") },
		"run":      func() *fixture.Result { return s.Run("probe", "/bin/probe", "id") },
		"link":     func() *fixture.Result { return s.App("probe", "id") },
	}
}

// refusedBy checks that no command works with that store, and that each says why.
func refusedBy(t *testing.T, s *fixture.Sandbox, want ...string) {
	t.Helper()
	for name, open := range openers(s) {
		if res := open(); res.Code == 0 {
			t.Errorf("%s goes on: %v", name, res)
		} else {
			s.Refused(res, want...)
		}
	}
}

func TestStoreOfSomebodyElse(t *testing.T) { fixture.Each(t, testStoreOfSomebodyElse) }

// testStoreOfSomebodyElse is also root calling with a user's FLAKES_ROOT.
func testStoreOfSomebodyElse(t *testing.T, by fixture.Caller) {
	fixture.RequireRoot(t, "to be two users")
	other := fixture.NewSandbox(t, fixture.Other)
	other.Load(fixture.ProbeBase(t))
	other.Register("probe", "probe", "--target", "/bin/probe")
	s := fixture.NewSandbox(t, by)
	before := census(t, other.Home)
	stranger := s.With("FLAKES_ROOT=" + other.Root)
	stranger.Links = other.Links
	refusedBy(t, stranger, "54322")
	if diff := cmp.Diff(before, census(t, other.Home)); diff != "" {
		t.Errorf("something was changed (-before +after):\n%s", diff)
	}
}

func TestStoreThatOthersCouldFill(t *testing.T) { fixture.Each(t, testStoreThatOthersCouldFill) }

func testStoreThatOthersCouldFill(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	for _, mode := range []os.FileMode{0o775, 0o757, 0o777 | os.ModeSticky} {
		if err := os.Chmod(s.Root, mode); err != nil {
			t.Fatal(err)
		}
		// A start by a plan that is there is checked as the others are.
		refusedBy(t, s, s.Root, "write")
	}
	if err := os.Chmod(s.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	moved := s.Root + "-moved"
	if err := os.Rename(s.Root, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(moved, s.Root); err != nil {
		t.Fatal(err)
	}
	refusedBy(t, s, s.Root, "link")
	if err := os.Remove(s.Root); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(moved, s.Root); err != nil {
		t.Fatal(err)
	}
	s.MustApp("probe", "exit", "0")
}

func TestRegistrationThatOthersCouldWrite(t *testing.T) {
	fixture.Each(t, testRegistrationThatOthersCouldWrite)
}

func testRegistrationThatOthersCouldWrite(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	file := filepath.Join(s.Registrations, "probe.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o664, 0o646} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		s.Refused(s.App("probe", "id"), file, "another user")
	}
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	s.MustApp("probe", "exit", "0")
	dropins := filepath.Join(s.Registrations, "probe.d")
	s.Mkdir(dropins)
	s.WriteFile(filepath.Join(dropins, "a.yaml"), "writable: none\n")
	s.MustApp("probe", "exit", "0")
	if err := os.Chmod(filepath.Join(dropins, "a.yaml"), 0o666); err != nil {
		t.Fatal(err)
	}
	s.Refused(s.App("probe", "id"), "a.yaml", "another user")
	if err := os.RemoveAll(dropins); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		// Somebody else's file, in its place and by a symlink from it.
		theirs := filepath.Join(fixture.Other.Dir(t), "theirs.yaml")
		if err := os.WriteFile(theirs, text, 0o644); err != nil {
			t.Fatal(err)
		}
		fixture.Other.Give(t, theirs)
		fixture.Other.Give(t, file)
		s.Refused(s.App("probe", "id"), file, "another user")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(theirs, file); err != nil {
			t.Fatal(err)
		}
		s.Refused(s.App("probe", "id"), file, "another user")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	s.WriteFile(file, string(text))
	s.MustApp("probe", "exit", "0")
}

// sudo may leave HOME as it was: what lies there is the user's word, and root must not take it.
func TestRootWithTheHomeOfAUser(t *testing.T) {
	system, alice, _ := shared(t)
	alice.Load(fixture.Delta(t, "evil", `dir etc`, `file etc/origin data="planted\n"`))
	for _, name := range []string{"probe", "planted"} {
		alice.Register(name, "evil", "--base", "probe", "--target", "/bin/probe")
		alice.MustApp(name, "exit", "0")
	}
	t.Run("registrations", func(t *testing.T) { rootIsNotTaken(t, system.In(t), alice.In(t)) })
	alice.WriteFile(filepath.Join(alice.Home, ".config", "flake-launcher", "config.yaml"), "additional_stores: ["+alice.Root+"]\n")
	t.Run("settings, too", func(t *testing.T) { rootIsNotTaken(t, system.In(t), alice.In(t)) })
	system.MustApp("probe", "exit", "0")
}

func rootIsNotTaken(t *testing.T, system, alice *fixture.Sandbox) {
	t.Helper()
	before := census(t, alice.Home)
	sudo := system.With("HOME=" + alice.Home)
	for _, name := range []string{"probe", "planted"} {
		res := sudo.Exec(alice.Link(name), "cat", "/etc/origin")
		if strings.Contains(res.Stdout, "planted") {
			t.Errorf("root ran what a user had planted: %v", res)
		}
		if res.Code != 0 {
			sudo.Refused(res, alice.Home, "another user")
		}
	}
	if res := sudo.Run("evil", "/bin/probe", "id"); res.Code == 0 {
		t.Errorf("root ran a user's image: %v", res)
	}
	for _, command := range []string{"list", "images", "gc"} {
		res := sudo.Ctl(command)
		if res.Code != 0 {
			sudo.Refused(res, alice.Home)
		}
	}
	if diff := cmp.Diff(before, census(t, alice.Home)); diff != "" {
		t.Errorf("root left something in a user's HOME (-before +after):\n%s", diff)
	}
}

func TestRegistrationOfAStoreOutOfReach(t *testing.T) {
	system, alice, _ := shared(t)
	if err := os.Chmod(system.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	alice.Refused(alice.Exec(system.Link("probe"), "id"), "probe", system.Root)
	alice.Refused(alice.Run("probe", "/bin/probe", "id"), "probe", system.Root)
	if err := os.Chmod(system.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(system.Root, "layers"), 0o700); err != nil {
		t.Fatal(err)
	}
	alice.Refused(alice.Exec(system.Link("probe"), "id"), system.Root)
	if err := os.Chmod(filepath.Join(system.Root, "layers"), 0o755); err != nil {
		t.Fatal(err)
	}
	alice.MustExec(system.Link("probe"), "exit", "0")
}

func TestHomes(t *testing.T) {
	system, alice, _ := shared(t)
	home := filepath.Join(alice.Tmp, "home")
	alice.Mkdir(home)
	with := func(home string) *fixture.Sandbox {
		s := alice.With("HOME=" + home)
		s.Root, s.Home = filepath.Join(home, ".local", "share", "flakes"), alice.Tmp
		if !filepath.IsAbs(home) {
			s.Root = ""
		}
		return s
	}
	for behaviour, test := range map[string]struct {
		s    *fixture.Sandbox
		disk string
		want string
	}{
		"none":         {with(""), "", "HOME"},
		"not there":    {with("/nowhere/at/all"), "", "/nowhere"},
		"relative":     {with("home"), "", "HOME"},
		"somebody's":   {with(system.Home), "", system.Home},
		"read-only":    {with(home), "ro", "read-only"},
		"full":         {with(home), "size=4k,nr_inodes=3", "space"},
		"no directory": {with("/dev/null"), "", "/dev/null"},
		"almost full":  {with(home), "size=40k", "space"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := test.s.In(t)
			if test.disk != "" {
				smallDisk(t, s, home, strings.TrimPrefix(test.disk, "ro"))
			}
			if test.disk == "ro" {
				if err := unix.Mount("", home, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(alice.Tmp, "probe.tar")
			if _, err := os.Stat(path); err != nil {
				if err := fixture.ProbeBase(t).WriteFile(path); err != nil {
					t.Fatal(err)
				}
			}
			s.Refused(s.Ctl("load", path), test.want)
			s.ForgetMemory(s.Root)
			res := s.Exec(system.Link("probe"), "id")
			if behaviour == "full" {
				s.Refused(res, test.want)
			} else if res.Code != 0 || res.Stderr != "" { // a plan has room on the disk or in memory
				t.Errorf("%v", res)
			}
		})
	}
}
