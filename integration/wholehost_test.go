package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// All of the host as a volume is the host as the caller sees it, without what a start mounts for itself.
func TestWholeHostAsVolume(t *testing.T) { fixture.Each(t, testWholeHostAsVolume) }

func testWholeHostAsVolume(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	entries, err := os.ReadDir("/")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, e := range entries {
		want = append(want, e.Name())
	}
	s.WriteFile(filepath.Join(s.Tmp, "file"), "of the host")
	for _, options := range [][]string{{"--writable", "tmpfs"}, {"--writable", "disk"}, {"--writable", "none"}, {"--instance", "x"}, {"--instance", "x"}} {
		run := func(args ...string) string {
			t.Helper()
			return s.MustRun(slices.Concat(options, []string{"--opt", "--volume /:/host", "--opt", "--volume /:/again:ro", "probe", "/bin/probe"}, args)...).Stdout
		}
		for _, at := range []string{"/host", "/again"} {
			if got := strings.Fields(run("ls", at)); !slices.Equal(got, want) {
				t.Errorf("%q: %s has %q, want %q", options, at, got, want)
			}
			if got := run("cat", at+filepath.Join(s.Tmp, "file")); got != "of the host" {
				t.Errorf("%q: %q", options, got)
			}
		}
		if got := run("touch", "/again"+filepath.Join(s.Tmp, "new"), "/host"+filepath.Join(s.Registrations, "new.yaml"), "/host"+filepath.Join(s.Tmp, "new")); got != "EROFS\nEROFS\nok\n" {
			t.Errorf("%q: %q", options, got)
		}
	}
	s.MustCtl("reset", "flake-run@x")
}

// A writable part on disk lies below a home that is shared: what is mounted for the app is not shown there once more.
func TestNoRootWithinTheRoot(t *testing.T) { fixture.Each(t, testNoRootWithinTheRoot) }

func testNoRootWithinTheRoot(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	mounts := func(options ...string) int {
		t.Helper()
		res := in(s, filepath.Dir(s.Root), s.Binary("flake-run"), append(options, "probe", "/bin/probe", "cat", "/proc/self/mountinfo")...)
		return strings.Count(res.Stdout, "\n")
	}
	want := mounts("--writable", "none")
	for _, options := range [][]string{{"--writable", "disk"}, {"--instance", "x"}} {
		if got := mounts(options...); want == 0 || got > want+2 {
			t.Errorf("%q: %d mounts, without a writable part %d", options, got, want)
		}
	}
	s.MustCtl("reset", "flake-run@x")
}
