package integration

import (
	"path/filepath"
	"testing"

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
