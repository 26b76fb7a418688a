package elflink

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestAgreesWithTheLoader compares with what this machine's own loader says of this machine's programs: the same libraries
// at the same paths, and the same ones missing.
func TestAgreesWithTheLoader(t *testing.T) {
	programs, _ := filepath.Glob("/usr/bin/*")
	extra, _ := filepath.Glob("/usr/sbin/*")
	s := hostSide(t)
	tried := 0
	for _, name := range append(programs, extra...) {
		f := s.object(name)
		if f == nil || f.obj.interp == "" || !strings.Contains(f.obj.interp, "ld-linux") || len(f.obj.needed) < 3 {
			continue
		}
		if tried++; tried > 120 {
			break
		}
		cmd := exec.Command(f.obj.interp, "--list", f.path)
		cmd.Env = []string{}
		out, err := cmd.CombinedOutput()
		if err != nil && !strings.Contains(string(out), "not found") {
			t.Errorf("%s: %v\n%s", name, err, out)
			continue
		}
		want := listed(t, string(out))
		got := map[string]string{}
		for _, m := range s.start(f).members[1:] {
			if m.need != f.obj.interp {
				got[filepath.Base(m.as)] = m.path
			}
		}
		for lib, path := range want {
			if got[lib] != path {
				t.Errorf("%s: %s is %q, want %q", name, lib, got[lib], path)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if tried == 0 {
		t.Skip("no program of glibc on this machine")
	}
	t.Logf("%d programs", tried)
}

// listed reads lines "libz.so.1 => /lib/libz.so.1 (0x...)".
func listed(t *testing.T, out string) map[string]string {
	t.Helper()
	libs := map[string]string{}
	for line := range strings.Lines(out) {
		_, path, ok := strings.Cut(line, " => ")
		if !ok {
			continue
		}
		path, _, _ = strings.Cut(path, " (")
		name := filepath.Base(path)
		if strings.HasPrefix(name, "ld-linux") {
			continue
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue // not found
		}
		libs[name] = real
	}
	return libs
}

func hostSide(t *testing.T) *side {
	t.Helper()
	if _, err := os.Stat("/etc/ld.so.cache"); err != nil {
		t.Skip("no ld.so.cache on this machine")
	}
	h, err := newHostTree(nil, "/")
	if err != nil {
		t.Fatal(err)
	}
	return newSide(h, h.names)
}
