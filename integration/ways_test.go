package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/facts"
	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// The ways in which one flake can be started.
const (
	byEarly        = "early"        // the direct engine, by the launcher's part in C
	byGo           = "go"           // the direct engine, by its part in Go
	byLibcontainer = "libcontainer" // as root only
)

// asksGo is a variable that the early part leaves to Go, which does not know it either. No app sees it.
const asksGo = "FLAKE_NOTHING=1"

// ways is a sandbox in which the flakes `facts` and, for root, `libcontainer` start the program of package facts, with
// those options. Native is the same program on the host.
type ways struct {
	*fixture.Sandbox
	t      *testing.T
	native string
}

func newWays(t *testing.T, by fixture.Caller, options ...string) *ways {
	t.Helper()
	program, err := facts.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	s := fixture.NewSandbox(t, by)
	s.Load(fixture.Delta(t, "facts", "dir usr", "dir usr/bin", "link bin to=usr/bin", "dir etc", "dir dev", "dir proc", "dir sys", "dir tmp mode=1777", "dir root mode=0700",
		`file etc/passwd data="root:x:0:0:root:/root:/bin/sh\n"`, fmt.Sprintf("file usr/bin/facts mode=0755 data=%q", content)))
	w := &ways{Sandbox: s, t: t, native: filepath.Join(s.Tmp, "facts")}
	if err := os.WriteFile(w.native, content, 0o755); err != nil {
		t.Fatal(err)
	}
	s.Register("facts", "facts", append([]string{"--target", "/bin/facts"}, options...)...)
	if by.IsRoot() {
		s.Register(byLibcontainer, "facts", append([]string{"--target", "/bin/facts", "--engine", "libcontainer"}, options...)...)
	}
	for _, way := range w.all() {
		w.run(way, nil, "exit", "0") // which may write plans
	}
	w.NoLeaks()
	return w
}

// all are the ways that this caller has.
func (w *ways) all() []string {
	if w.By.IsRoot() {
		return []string{byEarly, byGo, byLibcontainer}
	}
	return []string{byEarly, byGo}
}

// in is the same for a subtest.
func (w *ways) in(t *testing.T) *ways { return &ways{Sandbox: w.In(t), t: t, native: w.native} }

// sandbox is where a start goes that way, and by which link.
func (w *ways) sandbox(way string) (*fixture.Sandbox, string) {
	switch way {
	case byGo:
		return w.With(asksGo), w.Link("facts")
	case byLibcontainer:
		return w.Sandbox, w.Link(byLibcontainer)
	}
	return w.Sandbox, w.Link("facts")
}

// run starts the app that way, by a caller of a kind: see facts/testdata/caller.c.
func (w *ways) run(way string, kind []string, args ...string) *fixture.Result {
	w.t.Helper()
	s, link := w.sandbox(way)
	return s.In(w.t).Exec(w.native, append(append(append([]string{"as"}, kind...), "--", link), args...)...)
}

// begin starts an app that waits for the end of its input.
func (w *ways) begin(way string, kind []string) (*exec.Cmd, io.Closer) {
	w.t.Helper()
	s, link := w.sandbox(way)
	cmd := s.Command(w.t.Context(), w.native, append(append(append([]string{"as"}, kind...), "--", link), "wait")...)
	in, err := cmd.StdinPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		w.t.Fatalf("app does not run: %q, %v", line, err)
	}
	return cmd, in
}

// takes says which way a start really goes: the early part is still the launcher, with the caller's words.
func (w *ways) takes(way string, kind []string) string {
	w.t.Helper()
	cmd, in := w.begin(way, kind)
	words, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid))
	in.Close()
	if end := cmd.Wait(); err != nil || end != nil {
		w.t.Fatal(err, end)
	}
	_, link := w.sandbox(way)
	switch first, _, _ := strings.Cut(string(words), "\x00"); {
	case first == link && way != byLibcontainer:
		return byEarly
	case first == filepath.Base(link):
		return byGo
	default:
		return byLibcontainer
	}
}

// told is what the app finds out.
func (w *ways) told(way string, kind []string) facts.Facts {
	w.t.Helper()
	res := w.run(way, kind, "inside")
	f, err := facts.Parse(res.Stdout)
	if err != nil || res.Code != 0 || res.Stderr != "" {
		w.t.Fatalf("%s: %v, %v", way, err, res)
	}
	return f
}

// callers are kinds of them, by the words of facts/testdata/caller.c.
var callers = map[string][]string{
	"plain": nil,
	"odd": {"ignore=1", "ignore=10", "ignore=32-34", "ignore=64", "block=12", "block=35", "pend=12", "umask=027", "nice=5", "oom=300", "slack=77777",
		"core=0x11", "stack=4194304", "nofile=300", "fd=3", "fd=20-30", "variables=300"},
}

// However a flake is started, its app finds the same, but for the closed lists of package facts.
func TestWaysToStartAgree(t *testing.T) { fixture.EachUnranged(t, testWaysToStartAgree) }

func testWaysToStartAgree(t *testing.T, by fixture.Caller) {
	for profile, options := range map[string][]string{
		"native": {"--profile", "native"}, "isolated": {"--profile", "isolated"}, "read-only": {"--profile", "isolated", "--writable", "none"},
	} {
		w := newWays(t, by, options...)
		for kind, words := range callers {
			t.Run(profile+"/"+kind, func(t *testing.T) {
				w := w.in(t)
				found := map[string]facts.Facts{}
				for _, way := range w.all() {
					if took := w.takes(way, words); took != way {
						t.Fatalf("takes the way %s instead of %s", took, way)
					}
					found[way] = w.told(way, words)
				}
				for _, d := range facts.Compare(found[byEarly], found[byGo], facts.Early) {
					t.Errorf("(-early +go) %s", d)
				}
				if other, ok := found[byLibcontainer]; ok {
					for _, d := range facts.Compare(found[byEarly], other, facts.Engines) {
						t.Errorf("(-direct +libcontainer) %s", d)
					}
				}
				if profile == "native" {
					w.likeNative(words, found[byEarly])
				}
			})
		}
	}
}

// likeNative compares with the same program on the host.
func (w *ways) likeNative(kind []string, inside facts.Facts) {
	w.t.Helper()
	res := w.Exec(w.native, append(append([]string{"as"}, kind...), "--", w.native)...)
	outside, err := facts.Parse(res.Stdout)
	if err != nil {
		w.t.Fatalf("%v: %v", err, res)
	}
	compared := 0
	for name := range outside {
		if facts.Natively.MatchString(name) {
			compared++
			continue
		}
		delete(outside, name)
	}
	for name := range inside {
		if _, ok := outside[name]; !ok {
			delete(inside, name)
		}
	}
	if compared < 25 {
		w.t.Errorf("only %d facts compared with those on the host", compared)
	}
	for _, d := range facts.Compare(inside, outside, nil) {
		w.t.Errorf("(-flake +native) %s", d)
	}
}

// The end of an app is the same by all ways, and so is what PID 1 does for it.
func TestWaysToStartEndAlike(t *testing.T) { fixture.EachUnranged(t, testWaysToStartEndAlike) }

func testWaysToStartEndAlike(t *testing.T, by fixture.Caller) {
	w := newWays(t, by)
	for _, args := range [][]string{{"exit", "0"}, {"exit", "3"}, {"exit", "255"}, {"raise", "2"}, {"raise", "6"}, {"raise", "9"}, {"raise", "15"}, {"raise", "34"}, {"raise", "64"}} {
		want := w.Exec(w.native, args...)
		for _, way := range w.all() {
			if got := w.run(way, nil, args...); got.Code != want.Code || got.Signal != want.Signal || got.Stdout+got.Stderr != "" {
				t.Errorf("%s: %v\nnatively: %v", way, got, want)
			}
		}
	}
	for _, way := range w.all() {
		if res := w.run(way, nil, "orphans", "20"); res.Stdout != "2\n" {
			t.Errorf("%s: PID 1 and the app are to be left of 20 orphans: %v", way, res)
		}
		for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, 34, 64} {
			cmd, in := w.begin(way, nil)
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			in.Close()
			if end := cmd.ProcessState.Sys().(syscall.WaitStatus); !end.Signaled() || end.Signal() != sig {
				t.Errorf("%s: %v ends it so: %v", way, sig, cmd.ProcessState)
			}
		}
	}
}
