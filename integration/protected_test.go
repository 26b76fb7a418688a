package integration

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// A directory that the host has mounted in a second place is the same directory there.
func TestAppCannotRewriteUsElsewhere(t *testing.T) { fixture.Each(t, testAppCannotRewriteUsElsewhere) }

func testAppCannotRewriteUsElsewhere(t *testing.T, by fixture.Caller) {
	fixture.RequireRoot(t, "to mount a directory twice")
	s := started(t, by)
	s.Register("project", "probe", "--target", "/bin/probe", "--profile", "project")
	name := filepath.Base(s.Registrations)
	for place, dir := range map[string]string{"above": filepath.Dir(s.Registrations), "itself": s.Registrations} {
		alias := filepath.Join(s.Tmp, place)
		s.Mkdir(alias)
		if err := unix.Mount(dir, alias, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(alias, unix.MNT_DETACH) })
		evil := filepath.Join(name, "evil.yaml")
		if dir == s.Registrations {
			evil = "evil.yaml"
		}
		for _, app := range []string{"probe", "project"} {
			if res := in(s, alias, s.Link(app), "touch", evil); res.Stdout != "EROFS\n" {
				t.Errorf("%s, %s: %v", app, place, res)
			}
			if res := in(s, alias, s.Link(app), "touch", "ordinary"); dir != s.Registrations && !by.IsRoot() && res.Stdout != "ok\n" {
				t.Errorf("%s, %s: beside it: %v", app, place, res)
			}
		}
	}
}

// What additional stores hold is started as what the own one holds is.
func TestAppCannotRewriteAdditionalStores(t *testing.T) {
	fixture.Each(t, testAppCannotRewriteAdditionalStores)
}

func testAppCannotRewriteAdditionalStores(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	dir := filepath.Join(s.Home, "more", "flakes")
	other := s.With("XDG_DATA_HOME=" + filepath.Dir(dir))
	if by.IsRoot() {
		other = s.With("FLAKES_ROOT=" + dir)
	}
	other.Load(fixture.Delta(t, "delta", `file etc/x data="x"`))
	s.SetSettings(by.Settings() + "additional_stores: [" + dir + "]\n")
	if res := in(s, s.Home, s.Link("probe"), "touch", filepath.Join(dir, "refs", "evil")); res.Stdout != "EROFS\n" {
		t.Errorf("%v", res)
	}
	if res := in(s, s.Home, s.Link("probe"), "rename", filepath.Dir(dir), s.Home+"/moved"); res.Stdout != "EBUSY\n" {
		t.Errorf("%v", res)
	}
	other.MustCtl("remove", "--container", "delta")
}

// Root, too, is read his own registrations first.
func TestRootsAppCannotRegister(t *testing.T) {
	system := fixture.NewSystem(t)
	system.Load(fixture.ProbeBase(t))
	system.Register("probe", "probe", "--target", "/bin/probe")
	for _, dir := range []string{".config/flakes", ".config/flake-launcher"} {
		if res := system.App("probe", "touch", filepath.Join(system.Home, dir, "x.yaml")); res.Stdout != "EROFS\n" {
			t.Errorf("%s: %v", dir, res)
		}
	}
	// In a home that sudo has left him nothing is made.
	alice := fixture.NewSandbox(t, fixture.User)
	system.With("HOME="+alice.Home).MustApp("probe", "exit", "0")
	if entries, err := os.ReadDir(filepath.Join(alice.Home, ".config")); err == nil {
		t.Errorf("root has made %v", entries)
	}
}

// A later call from further up must not uncover what an earlier one had protected, nor mount again what is there.
func TestKeptCannotRewriteUs(t *testing.T) { fixture.Each(t, testKeptCannotRewriteUs) }

func testKeptCannotRewriteUs(t *testing.T, by fixture.Caller) {
	s := kept(t, by, "--profile", "project") // the last one counts
	below := filepath.Dir(s.Registrations)
	mounts := 0
	for round := range 2 {
		for _, dir := range []string{below, filepath.Dir(below), s.Registrations} {
			res := in(s, dir, s.Link("probe"), "touch", filepath.Join(s.Registrations, "evil.yaml"))
			if res.Stdout != "EROFS\n" {
				t.Errorf("in %s: %v", dir, res)
			}
			if res := in(s, dir, s.Link("probe"), "rename", below, below+"-moved"); res.Stdout != "EBUSY\n" && res.Stdout != "ENOENT\n" && res.Stdout != "EROFS\n" {
				t.Errorf("in %s: rename %s: %v", dir, below, res)
			}
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", *only(t, s).PID))
		if err != nil {
			t.Fatal(err)
		}
		now := strings.Count(string(text), "\n")
		if round > 0 && now != mounts {
			t.Errorf("%d mounts, %d after the same calls again", mounts, now)
		}
		mounts = now
	}
}

// What runs in the instance already must not find for a moment what is about to be read-only.
func TestKeptIsNeverUnprotected(t *testing.T) { fixture.Each(t, testKeptIsNeverUnprotected) }

func testKeptIsNeverUnprotected(t *testing.T, by fixture.Caller) {
	s := kept(t, by, "--profile", "project")
	evil := filepath.Join(s.Registrations, "evil.yaml")
	above := filepath.Dir(filepath.Dir(s.Registrations))
	for round := range 20 {
		s := s.With(fmt.Sprintf("FLAKE_INSTANCE=r%d", round))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		cmd := s.Command(ctx, s.Link("probe"), "insist", evil)
		cmd.Dir = s.Tmp
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("%q, %v", line, err)
		}
		if res := in(s, above, s.Link("probe"), "touch", evil); res.Stdout != "EROFS\n" {
			t.Errorf("%v", res)
		}
		cancel()
		_ = cmd.Wait() // killed
		s.MustCtl("reset", fmt.Sprintf("probe@r%d", round))
		if _, err := os.Stat(evil); err == nil {
			t.Fatalf("written in round %d", round)
		}
	}
}
