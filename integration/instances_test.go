package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

func TestKeptNames(t *testing.T) { fixture.Each(t, testKeptNames) }

func testKeptNames(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	as := func(name string) *fixture.Sandbox { return s.With("FLAKE_INSTANCE=" + name) }
	s.MustApp("probe", "write", "/tmp/x", "plain")
	as("a").MustApp("probe", "write", "/tmp/x", "in a")
	as("b.2_=-@").MustApp("probe", "write", "/tmp/x", "in b")
	for name, want := range map[string]string{"": "plain", "a": "in a", "b.2_=-@": "in b"} {
		if got := as(name).MustApp("probe", "cat", "/tmp/x").Stdout; got != want {
			t.Errorf("instance %q has %q", name, got)
		}
	}
	var got []string
	for _, row := range instances(s) {
		got = append(got, row.name()+" "+row.Status)
	}
	if strings.Join(got, ", ") != "probe running, probe@a running, probe@b.2_=-@ running" {
		t.Errorf("shown: %q", got)
	}
	if res := s.MustCtl("show", "--format", "csv"); strings.Count(res.Stdout, "\n") != 3 || strings.Count(res.Stdout, ",") != 18 {
		t.Errorf("%v", res)
	}
	if res := s.MustCtl("podman", "show"); !strings.HasPrefix(res.Stdout, "NAME") || strings.Count(res.Stdout, "\n") != 4 {
		t.Errorf("%v", res)
	}
	ended := *instances(s)[1].PID
	s.MustCtl("reset", "probe@a")
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", ended)); err == nil {
		t.Errorf("process %d is there after reset", ended)
	}
	if res := as("a").App("probe", "cat", "/tmp/x"); res.Code != 1 {
		t.Errorf("after reset: %v", res)
	}
	s.MustCtl("podman", "reset", "--app", s.Link("probe"), "--instance", "a")
	s.Refused(s.Ctl("reset", "probe@a"), "no kept instance")
	s.Refused(s.Ctl("reset", "other"), "no kept instance")
	for _, name := range []string{"a/b", "..", "../x", strings.Repeat("x", 300), " ", "a b", "ü", "@"} {
		s.Refused(as(name).App("probe", "exit", "0"), "instance name")
		s.Refused(s.Ctl("reset", "probe@"+name), "instance name")
		s.Refused(s.Run("--instance", name, "probe", "/bin/probe"), "instance name")
	}
	s.Refused(s.Run("--instance", "", "probe", "/bin/probe"), "instance name", "empty")
	s.MustCtl("reset", "--all", "probe")
	if rows := instances(s); len(rows) != 0 {
		t.Errorf("after reset --all: %+v", rows)
	}
}

func TestKeptAdHoc(t *testing.T) { fixture.Each(t, testKeptAdHoc) }

func testKeptAdHoc(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	s.Load(fixture.Delta(t, "delta", `file etc/origin data="delta\n"`))
	s.MustRun("--instance", "dev", "probe", "/bin/probe", "write", "/tmp/x", "one")
	s.MustRun("--instance", "dev", "probe", "/bin/probe", "write", "/var/tmp/x", "one")
	if got := s.MustRun("--instance", "dev", "probe", "/bin/probe", "cat", "/tmp/x").Stdout; got != "one" {
		t.Errorf("%q", got)
	}
	if got := s.MustRun("probe", "/bin/probe", "ls", "/var/tmp").Stdout; got != "\n" {
		t.Errorf("a start without an instance sees %q", got)
	}
	// The same name over other images: not while it runs, and not over what was written there.
	mustKill(t, *only(t, s).PID)
	eventually(t, "it is gone", func() bool { return instances(s)[0].Status == "stopped" })
	s.Refused(s.Run("--instance", "dev", "--base", "probe", "delta", "/bin/probe", "cat", "/tmp/x"), "other images", "flake-ctl reset flake-run@dev")
	s.MustCtl("gc")
	if got := s.MustRun("--instance", "dev", "probe", "/bin/probe", "cat", "/tmp/x").Stdout; got != "one" {
		t.Errorf("after gc: %q", got)
	}
	s.Refused(s.Ctl("remove", "--container", "probe"), "needed by")
}

// A container keeps its images; what was written in it is never put over others.
func TestKeptOverOtherImages(t *testing.T) { fixture.Each(t, testKeptOverOtherImages) }

func testKeptOverOtherImages(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	load := func(origin string) {
		t.Helper()
		s.Load(fixture.Delta(t, "app", fmt.Sprintf("file etc/origin data=%q", origin)))
		s.Register("app", "app", "--base", "probe", "--target", "/bin/probe", "--resume", "--profile", "isolated", "--force")
	}
	load("old")
	s.MustApp("app", "write", "/tmp/x", "one")
	load("new")
	s.MustCtl("gc")
	if got := s.MustApp("app", "cat", "/etc/origin", "/tmp/x").Stdout; got != "oldone" {
		t.Errorf("the running instance has %q", got)
	}
	mustKill(t, *only(t, s).PID)
	eventually(t, "it is gone", func() bool { return instances(s)[0].Status == "stopped" })
	s.MustCtl("gc")
	s.Refused(s.App("app", "cat", "/etc/origin"), "other images", "flake-ctl reset app")
	load("old") // the collection has left what the instance needs
	if got := s.MustApp("app", "cat", "/etc/origin", "/tmp/x").Stdout; got != "oldone" {
		t.Errorf("with the old image: %q", got)
	}
	load("new")
	s.MustCtl("reset", "app")
	if got := s.MustApp("app", "cat", "/etc/origin").Stdout; got != "new" {
		t.Errorf("after reset: %q", got)
	}
}

func TestKeptRemoval(t *testing.T) { fixture.Each(t, testKeptRemoval) }

func testKeptRemoval(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	// By the option, when the app has ended, with its own status.
	once := s.With("FLAKE_OPTIONS=remove", "FLAKE_INSTANCE=once")
	s.With("FLAKE_INSTANCE=once").MustApp("probe", "write", "/tmp/x", "one")
	if res := once.App("probe", "exit", "9"); res.Code != 9 || res.Stderr != "" {
		t.Errorf("%v", res)
	}
	if rows := instances(s); len(rows) != 0 {
		t.Errorf("after remove: %+v", rows)
	}
	// With its flake.
	s.MustApp("probe", "write", "/tmp/x", "one")
	s.With("FLAKE_INSTANCE=a").MustApp("probe", "write", "/tmp/x", "one")
	s.MustCtl("remove", "probe")
	if rows := instances(s); len(rows) != 0 {
		t.Errorf("after the flake was removed: %+v", rows)
	}
	// By the collection, where the flake is gone; not while it runs.
	s.Register("probe", "probe", "--target", "/bin/probe", "--resume", "--profile", "isolated")
	s.MustApp("probe", "write", "/tmp/x", "one")
	if err := os.Remove(filepath.Join(s.Registrations, "probe.yaml")); err != nil {
		t.Fatal(err)
	}
	s.MustCtl("gc")
	mustKill(t, *only(t, s).PID)
	eventually(t, "it is gone", func() bool { return instances(s)[0].Status == "stopped" })
	if res := s.MustCtl("gc", "--dry-run"); !strings.Contains(res.Stdout, "would delete kept instance probe") {
		t.Errorf("%v", res)
	}
	if res := s.MustCtl("gc"); !strings.Contains(res.Stdout, "deleted kept instance probe") {
		t.Errorf("%v", res)
	}
	if rows := instances(s); len(rows) != 0 {
		t.Errorf("after the collection: %+v", rows)
	}
	_ = os.Remove(s.Link("probe"))
	_ = os.Remove(filepath.Join(s.Root, "ledger", "probe.json"))
}

// With the image go the instances that were made from it, but only if asked for.
func TestKeptAndItsImage(t *testing.T) { fixture.Each(t, testKeptAndItsImage) }

func testKeptAndItsImage(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	s.MustRun("--instance", "dev", "probe", "/bin/probe", "exit", "0")
	s.MustApp("probe", "exit", "0")
	s.MustCtl("remove", "--container", "probe", "--force")
	if rows := instances(s); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
}

func TestKeptRefusals(t *testing.T) { fixture.Each(t, testKeptRefusals) }

func testKeptRefusals(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	register := func(options ...string) *fixture.Result {
		return s.Ctl(append([]string{"register", "--container", "probe", "--app", s.Link("bad"), "--target", "/bin/probe", "--resume", "--profile", "isolated"}, options...)...)
	}
	s.Refused(register("--engine", "libcontainer"), "resume", "engine")
	if !by.IsRoot() { // who has all ids anyway
		s.Refused(register("--ids", "range"), "ids: range", "writable: disk")
	}
	dir := filepath.Join(s.Root, "instances", "probe")
	for what, plant := range map[string]func(){
		"a symbolic link": func() {
			if err := os.Symlink(s.Home, dir); err != nil {
				t.Fatal(err)
			}
		},
		"a file": func() { s.WriteFile(dir, "") },
		"open to others": func() {
			s.Mkdir(dir)
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		},
		"another user's": func() {
			if !by.IsRoot() {
				s.Mkdir(dir)
				if err := os.Chmod(dir, 0o770); err != nil {
					t.Fatal(err)
				}
				return
			}
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			fixture.Other.Give(t, dir)
		},
		"a state that is a link": func() {
			s.Mkdir(dir)
			if err := os.Symlink("/etc/passwd", filepath.Join(dir, "state")); err != nil {
				t.Fatal(err)
			}
		},
		"a state that others can write": func() {
			s.Mkdir(dir)
			s.WriteFile(filepath.Join(dir, "state"), "")
			if err := os.Chmod(filepath.Join(dir, "state"), 0o666); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := s.In(t)
			plant()
			res := s.App("probe", "exit", "0")
			s.Refused(res, "kept instance", "look who put it there")
			if res.Code != 125 {
				t.Errorf("%v", res)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		})
	}
	s.MustApp("probe", "exit", "0")
}

func TestKeptOnBadDisks(t *testing.T) { fixture.Each(t, testKeptOnBadDisks) }

func testKeptOnBadDisks(t *testing.T, by fixture.Caller) {
	fixture.RequireRoot(t, "to mount a small tmpfs")
	s := kept(t, by)
	s.Ctl("compile", "probe")
	dir := filepath.Join(s.Root, "instances")
	for what, disk := range map[string]struct{ options, want string }{
		"read-only":   {"mode=0700,ro", "read-only"},
		"full":        {"mode=0700,nr_inodes=1", "space"},
		"almost full": {"mode=0700,nr_inodes=3", "space"},
		"too small":   {"mode=0700,nr_inodes=7", "space"},
	} {
		t.Run(what, func(t *testing.T) {
			s := s.In(t)
			options, flags := disk.options, uintptr(0)
			if rest, ro := strings.CutSuffix(options, ",ro"); ro {
				options, flags = rest, unix.MS_RDONLY
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", flags, fmt.Sprintf("%s,uid=%d,gid=%d", options, by.UID, by.GID)); err != nil {
				t.Fatal(err)
			}
			defer unix.Unmount(dir, unix.MNT_DETACH)
			res := s.App("probe", "exit", "0")
			s.Refused(res, disk.want)
			if left, err := os.ReadDir(dir); res.Code != 125 || err != nil || len(left) > 0 {
				t.Errorf("%v; left behind: %v, %v", res, left, err)
			}
		})
	}
	s.MustApp("probe", "exit", "0")
}
