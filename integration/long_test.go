package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// A script that never ends keeps a registration waiting for half a minute, and no longer.
func TestSystemFilesWithoutEnd(t *testing.T) { fixture.Each(t, testSystemFilesWithoutEnd) }

func testSystemFilesWithoutEnd(t *testing.T, by fixture.Caller) {
	fixture.RequireLong(t, "waits for 30 seconds")
	s := started(t, by)
	s.Load(fixture.Delta(t, "endless", "file systemfiles mode=0755 data="+quote("trap '' TERM INT HUP\necho /usr/bin/env\nwhile :; do sleep 1; done\n")))
	res := s.Ctl("register", "--container", "endless", "--base", "probe", "--app", s.Link("endless"), "--target", "/bin/probe")
	s.Refused(res, "endless", "systemfiles", "still running after 30s")
	if res.Took < 30*time.Second || res.Took > 40*time.Second {
		t.Errorf("it took %v", res.Took)
	}
	if strings.Count(res.Stderr, "\n") != 2 {
		t.Errorf("want two lines: %v", res)
	}
	for _, path := range []string{s.Link("endless"), filepath.Join(s.Registrations, "endless.yaml")} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("a refused registration has left %s", path)
		}
	}
}

// A base with a C library that is too old for the host's programs: it comes from the host as a whole, and the base's own
// programs run with it.
func TestRealHostSystemOverOldGlibc(t *testing.T) { fixture.Each(t, testRealHostSystemOverOldGlibc) }

func testRealHostSystemOverOldGlibc(t *testing.T, by fixture.Caller) {
	fixture.RequireLong(t, "builds an image of Debian 11")
	base := fixture.Real(t, "bullseye")
	libc := filepath.Join("/usr/lib", debianTriplet(t, base), "libc.so.6")
	if hostSays(t, "getconf", "GNU_LIBC_VERSION") <= "glibc 2.31" {
		t.Skip("the C library of this host is no newer than the image's")
	}
	s := real(t, by)
	s.MustCtl("load", s.Share(base.Archive))
	want := hostSays(t, "sha256sum", libc)
	if res := s.MustRun("bullseye", "/usr/bin/sha256sum", libc); res.Stdout == want {
		t.Fatalf("the image has this host's own C library: %v", res)
	}
	zypperRuns(t, s, "bullseye")
	if res := s.MustCtl("explain", "zypper", libc); !strings.Contains(res.Stdout, "from host") || !strings.Contains(res.Stdout, "the images' lacks a version") {
		t.Errorf("%v", res)
	}
	sameFile(t, s, func(args ...string) *fixture.Result {
		return s.Run(append([]string{"--host-package", "zypper", "bullseye"}, args...)...)
	}, libc)
}
