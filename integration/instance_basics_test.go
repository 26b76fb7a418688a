package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// resolver is an /etc for a sandbox whose resolv.conf comes and goes in all forms, and a directory of /run.
type resolver struct {
	t        *testing.T
	etc, run string
}

func newResolver(t *testing.T, s *fixture.Sandbox) *resolver {
	t.Helper()
	fixture.RequireRoot(t, "to lay an /etc of its own over the machine's")
	r := &resolver{t: t, etc: filepath.Join(t.TempDir(), "etc")}
	if out, err := exec.Command("cp", "-a", "/etc", r.etc).CombinedOutput(); err != nil {
		t.Fatalf("copy /etc: %v: %s", err, out)
	}
	var err error
	if r.run, err = os.MkdirTemp("/run", "flake-test-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(r.run) })
	for dir := filepath.Dir(r.etc); dir != os.TempDir(); dir = filepath.Dir(dir) {
		r.must(os.Chmod(dir, 0o755))
	}
	r.must(os.Chmod(r.run, 0o755))
	s.Mounts(map[string]string{"/etc": r.etc})
	return r
}

func (r *resolver) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// put replaces a file, as who looks after it does.
func (r *resolver) put(path, content string) {
	r.t.Helper()
	r.must(os.WriteFile(path+".new", []byte(content), 0o644))
	r.must(os.Chmod(path+".new", 0o644))
	r.must(os.Rename(path+".new", path))
}

func (r *resolver) file(content string) { r.put(filepath.Join(r.etc, "resolv.conf"), content) }

func (r *resolver) link(text string) {
	r.t.Helper()
	path := filepath.Join(r.etc, "resolv.conf")
	r.must(os.Symlink(text, path+".new"))
	r.must(os.Rename(path+".new", path))
}

func TestInstanceFollowsTheResolver(t *testing.T) { fixture.Each(t, testInstanceFollowsTheResolver) }

// testInstanceFollowsTheResolver has the host's file change its form while an instance runs, which began with each.
func testInstanceFollowsTheResolver(t *testing.T, by fixture.Caller) {
	for _, begins := range []string{"file", "link"} {
		t.Run("begins as a "+begins, func(t *testing.T) {
			s := kept(t, by)
			r := newResolver(t, s)
			wants := func(step, want string) {
				t.Helper()
				if res := s.App("probe", "cat", "/etc/resolv.conf"); res.Stdout != want {
					t.Errorf("%s: want %q, got %v", step, want, res)
				}
			}
			one := filepath.Join(r.run, "one.conf")
			r.put(one, "of run\n")
			if begins == "file" {
				r.file("plain\n")
				wants("a plain file", "plain\n")
			}
			pid := 0
			for round := range 2 {
				r.link(one)
				wants("a link", "of run\n")
				if is := *only(t, s).PID; round == 0 {
					pid = is
				}
				r.put(one, "of run, later\n")
				wants("replaced behind the link", "of run, later\n")
				r.put(filepath.Join(r.run, "two.conf"), "another\n")
				r.link("../" + r.run[1:] + "/two.conf")
				wants("another link", "another\n")
				// It follows by itself: nothing is copied in this way.
				if out := s.MustApp("probe", "each", "/bin/probe", "stat", "/etc/resolv.conf").Stdout; !strings.HasPrefix(out, "120000 ") {
					t.Errorf("no link inside: %q", out)
				}
				r.file("plain again\n")
				wants("a plain file again", "plain again\n")
				r.file("edited\n")
				wants("a plain file edited", "edited\n")
				r.put(one, "of run\n")
			}
			if is := *only(t, s).PID; is != pid {
				t.Errorf("it is another container: %d, then %d", pid, is)
			}
		})
	}
}
