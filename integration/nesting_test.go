package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
	"github.com/flake-launcher/flake-launcher/integration/image"
)

// nest is an image that holds our own programs and, as an archive, an image to start inside.
func nest(t *testing.T) image.Image {
	t.Helper()
	inner := filepath.Join(t.TempDir(), "inner.tar")
	if err := fixture.ProbeBase(t).WriteFile(inner); err != nil {
		t.Fatal(err)
	}
	lines := fixture.ProbeLines(t)
	for _, name := range []string{"flake-ctl", "flake-run", "flake-launcher", "flake-engine"} {
		lines = append(lines, packed(t, "usr/bin/"+name, "mode=0755", fixture.Binary(t, name)))
	}
	lines = append(lines, packed(t, "inner.tar", "mode=0644", inner))
	img := fixture.ProbeBase(t)
	img.Name, img.Layers = "nest:latest", []*image.Layer{fixture.Layer(t, lines...)}
	return img
}

func packed(t *testing.T, name, mode, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("file %s %s data=%q", name, mode, data)
}

// inside are the words that load the inner image and run the probe in it.
func inside(options []string, words ...string) []string {
	return slices.Concat([]string{"/bin/probe", "each", "/usr/bin/flake-ctl", "load", "/inner.tar", "then", "/usr/bin/flake-run"},
		options, []string{"probe", "/bin/probe"}, words)
}

func TestNesting(t *testing.T) {
	fixture.Each(t, func(t *testing.T, by fixture.Caller) {
		s := fixture.NewSandbox(t, by)
		s.Load(nest(t))
		res := s.MustRun(append([]string{"--profile", "isolated", "--network", "host", "--nesting", "nest"}, inside(nil, "cat", "/etc/origin")...)...)
		if !strings.HasSuffix(res.Stdout, "\nbase\n") {
			t.Errorf("%v", res)
		}
		// Status, signals and arguments come through both.
		if res := s.Run(append([]string{"--profile", "isolated", "--network", "host", "--nesting", "nest"}, inside(nil, "exit", "42")...)...); res.Code != 42 {
			t.Errorf("%v", res)
		}
		// The app of the outer flake has the masks that every app has, and no way to what is behind them.
		for _, words := range [][]string{{"ls", "/proc/acpi"}, {"ls", "/dev/shm"}} {
			res := s.MustRun(append([]string{"--nesting", "nest", "/bin/probe"}, words...)...)
			if strings.TrimSpace(res.Stdout) != "" {
				t.Errorf("%v", res)
			}
		}
		for _, engine := range []string{"direct", "libcontainer"} {
			options := []string{"--profile", "isolated", "--network", "host", "--nesting", "--engine", engine, "nest"}
			if engine == "libcontainer" && !by.IsRoot() {
				continue
			}
			res := s.Run(append(options, "/bin/probe", "write", "/proc/sys/kernel/core_pattern", "x")...)
			if res.Code == 0 {
				t.Errorf("%s: /proc/sys can be written: %v", engine, res)
			}
			res = s.MustRun(append(options, inside(nil, "cat", "/etc/origin")...)...)
			if !strings.HasSuffix(res.Stdout, "\nbase\n") {
				t.Errorf("%s: %v", engine, res)
			}
		}
		// A registered flake has it from its file.
		s.Register("nested", "nest", "--target", "/bin/probe", "--nesting", "--profile", "isolated")
		if res := s.MustApp("nested", inside(nil, "cat", "/etc/origin")[1:]...); !strings.HasSuffix(res.Stdout, "\nbase\n") {
			t.Errorf("%v", res)
		}
		s.NoLeaks()
	})
}

// The inner flake may have the key as well.
func TestNestingInside(t *testing.T) {
	fixture.Each(t, func(t *testing.T, by fixture.Caller) {
		s := fixture.NewSandbox(t, by)
		s.Load(nest(t))
		for _, options := range [][]string{{"--nesting"}, nil} {
			res := s.Run(append([]string{"--profile", "isolated", "--network", "host", "--nesting", "nest"}, inside(options, "cat", "/proc/self/status")...)...)
			if res.Code != 0 || !strings.Contains(res.Stdout, "NSpid") {
				t.Errorf("%v", res)
			}
		}
	})
}

// Without the key a flake does not start inside of another, and the message names the key.
func TestWithoutNesting(t *testing.T) {
	fixture.Each(t, func(t *testing.T, by fixture.Caller) {
		s := fixture.NewSandbox(t, by)
		s.Load(nest(t))
		for _, options := range [][]string{nil, {"--writable", "none"}} {
			res := s.Run(append([]string{"--profile", "isolated", "--network", "host", "nest"}, inside(options, "exit", "0")...)...)
			s.Refused(res, "nesting: true", "/proc")
			if n := strings.Count(res.Stderr, "remedy"); n != 1 || res.Code != 125 {
				t.Errorf("%v", res)
			}
		}
	})
}

// An app that makes namespaces by itself gets no further than our own start: of root's /proc it can write nothing, for
// root inside is the host's root there.
func TestNestingIsNoWayToTheHost(t *testing.T) {
	fixture.Each(t, func(t *testing.T, by fixture.Caller) {
		s := fixture.NewSandbox(t, by)
		s.Load(fixture.ProbeBase(t))
		for _, test := range []struct {
			nesting      bool
			flags, want  string
			root, anyone bool // whom it concerns
		}{
			{false, "rw", "mount: operation not permitted", true, true},
			{false, "ro", "mount: operation not permitted", true, true},
			{true, "rw", "mount: operation not permitted", true, false},
			{true, "ro", "open: read-only file system", true, true},
			{true, "rw", "open: permission denied", false, true}, // the host's root owns it, who is not in this namespace
			{true, "remount", "mount: operation not permitted", true, false},
		} {
			if by.IsRoot() && !test.root || !by.IsRoot() && !test.anyone {
				continue
			}
			options := []string{"probe", "/bin/probe", "proc", test.flags}
			if test.nesting {
				options = append([]string{"--nesting"}, options...)
			}
			if res := s.Run(options...); strings.TrimSpace(res.Stdout) != test.want {
				t.Errorf("%+v: %v", test, res)
			}
		}
	})
}
