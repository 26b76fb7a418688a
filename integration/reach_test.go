package integration

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/facts"
	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// No app comes at the file that it was started by, nor at anything that a process around it has open.
func TestLauncherIsOutOfReach(t *testing.T) { fixture.EachUnranged(t, testLauncherIsOutOfReach) }

func testLauncherIsOutOfReach(t *testing.T, by fixture.Caller) {
	w := newWays(t, by)
	before := sumOf(t, w.Binary("flake-launcher"))
	paths := []string{"open", "/proc/1/exe", "/proc/1/task/1/exe", "/proc/1/mem", "/proc/1/root/etc/passwd", "/proc/1/cwd/x", "/proc/self/exe", "/proc/thread-self/exe"}
	for fd := range 64 {
		paths = append(paths, fmt.Sprintf("/proc/1/fd/%d", fd), fmt.Sprintf("/proc/1/task/1/fd/%d", fd))
		if fd > 2 { // which are the caller's
			paths = append(paths, fmt.Sprintf("/proc/self/fd/%d", fd))
		}
	}
	for _, way := range w.all() {
		res := w.run(way, nil, paths...)
		if res.Code != 0 || strings.Count(res.Stdout, "errno ") != len(paths)-1 {
			t.Errorf("%s: something could be opened for writing: %v", way, res)
		}
	}
	if sumOf(t, w.Binary("flake-launcher")) != before {
		t.Error("the launcher has changed")
	}
}

func sumOf(t *testing.T, path string) [32]byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(content)
}

// An image's program may lead to the file that the process which executes it was executed from. Were that the launcher, it
// would go on to look for its siblings, which are the image's here, and they could open the file by their parent.
func TestImageThatNamesTheLauncher(t *testing.T) {
	fixture.EachUnranged(t, testImageThatNamesTheLauncher)
}

func testImageThatNamesTheLauncher(t *testing.T, by fixture.Caller) {
	w := newWays(t, by)
	lines := []string{"dir usr", "dir usr/bin", "dir work mode=0777", "link usr/bin/evil to=/proc/self/exe", "link usr/bin/thread to=/proc/thread-self/exe",
		`file usr/bin/script mode=0755 data="#!/proc/self/exe\n"`, `file usr/bin/second mode=0755 data="#!/usr/bin/script x\n"`}
	program, err := os.ReadFile(w.native)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, dir := range []string{filepath.Dir(w.Binary("flake-launcher")), "/usr/local/libexec/flake-launcher"} {
		parts := strings.Split(strings.Trim(dir, "/"), "/")
		for i := range parts {
			if d := strings.Join(parts[:i+1], "/"); !known[d] && d != "usr" {
				known[d] = true
				lines = append(lines, "dir "+d)
			}
		}
		for _, name := range []string{"flake-ctl", "flake-engine"} {
			lines = append(lines, fmt.Sprintf("file %s/%s mode=0755 data=%q", strings.Trim(dir, "/"), name, program))
		}
	}
	w.Load(fixture.Delta(t, "names", lines...))
	var starts [][]string
	for _, program := range []string{"script", "second"} {
		w.Register(program, "names", "--base", "facts", "--target", "/usr/bin/"+program, "--profile", "isolated")
		starts = append(starts, []string{w.Link(program)})
	}
	for _, program := range []string{"evil", "thread", "script"} {
		starts = append(starts, []string{w.Binary("flake-run"), "--base", "facts", "names", "/usr/bin/" + program})
	}
	for _, words := range starts {
		for way, s := range map[string]*fixture.Sandbox{byEarly: w.Sandbox, byGo: w.With(asksGo)} {
			for range 2 { // the first may have to make a plan
				res := s.In(t).Exec(words[0], words[1:]...)
				if res.Stdout != "" || res.Code != 125 || strings.Contains(res.Stderr, "beside") {
					t.Errorf("%s: %v", way, res)
				}
				if way == byEarly && !strings.Contains(res.Stderr, "/proc/self/exe") && words[0] == w.Link("script") {
					t.Errorf("%s does not say why: %v", way, res)
				}
			}
		}
	}
}

// Whatever a caller has open or not, the app gets standard input, output and error alone; and a start works, or says why not,
// whatever the caller is like. All ways give the same.
func TestOddCallersOfAllWays(t *testing.T) { fixture.EachUnranged(t, testOddCallersOfAllWays) }

func testOddCallersOfAllWays(t *testing.T, by fixture.Caller) {
	w := newWays(t, by)
	for behaviour, test := range map[string]struct {
		kind []string
		fds  string // that the app has
		ways []string
	}{
		"many descriptors":          {[]string{"fd=3", "fd=40-60", "fd=100", "fd=239-241"}, "0 1 2", w.all()},
		"the first numbers of ours": {[]string{"fd=3-64"}, "0 1 2", w.all()},
		"standard input closed":     {[]string{"close=0"}, "0 1 2", w.all()},
		"standard error closed":     {[]string{"close=2"}, "0 1 2", w.all()},
		"input and error closed":    {[]string{"close=0", "close=2"}, "0 1 2", w.all()},
		"closed, with others":       {[]string{"close=0", "close=2", "fd=3-8", "fd=40-60"}, "0 1 2", w.all()},
		"few descriptors":           {[]string{"nofile=20"}, "0 1 2", []string{byEarly, byGo}},
		"many variables":            {[]string{"variables=300"}, "0 1 2", w.all()},
		"very many variables":       {[]string{"variables=5000"}, "0 1 2", w.all()},
		"a small stack":             {[]string{"stack=262144"}, "0 1 2", []string{byEarly, byGo}},
	} {
		t.Run(behaviour, func(t *testing.T) {
			w := w.in(t)
			want := ""
			for _, way := range test.ways {
				res := w.run(way, test.kind)
				f, err := facts.Parse(res.Stdout)
				if err != nil || res.Code != 0 || res.Stderr != "" {
					t.Errorf("%s: %v, %v", way, err, res)
					continue
				}
				var fds []string
				for line := range strings.Lines(strings.TrimSpace(f["descriptors"])) {
					fds = append(fds, strings.Fields(line)[0])
				}
				if got := strings.Join(fds, " "); got != test.fds {
					t.Errorf("%s: the app has the descriptors %s", way, got)
				}
				got := f["descriptors"] + f["environment"]
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%s: %s\nby the first way: %s", way, got, want)
				}
			}
		})
	}
	w.refusesAlike()
}

// refusesAlike is about callers who can't be served, or can't be told.
func (w *ways) refusesAlike() {
	w.t.Helper()
	early, late := w.run(byEarly, []string{"fd=3-12", "nofile=24"}), w.run(byGo, []string{"fd=3-12", "nofile=24"})
	if early.Code != 125 || early.Code != late.Code || early.Stderr != late.Stderr {
		w.t.Errorf("few descriptors, and many open: %v\nby Go: %v", early, late)
	}
	w.Refused(early, "too many open files", "ulimit -n")
	// Without standard output there is nothing to be told but the status.
	for _, kind := range [][]string{{"close=1"}, {"close=0-2"}, {"close=0-2", "fd=40-60"}} {
		for _, way := range w.all() {
			if res := w.run(way, kind, "exit", "7"); res.Code != 7 || res.Stdout+res.Stderr != "" {
				w.t.Errorf("%s, %q: %v", way, kind, res)
			}
		}
	}
}

// Words pass as they are, whatever their number and length.
func TestLongWordsByAllWays(t *testing.T) { fixture.EachUnranged(t, testLongWordsByAllWays) }

func testLongWordsByAllWays(t *testing.T, by fixture.Caller) {
	w := newWays(t, by)
	many := make([]string, 5000)
	for i := range many {
		many[i] = fmt.Sprint("word ", i)
	}
	for behaviour, words := range map[string][]string{
		"of 100 KB": {strings.Repeat("long ", 20000)}, "many": many, "bytes": {"\xff\n\x01", "", " "}, "some of 100 KB": {strings.Repeat("a", 100000), "x", strings.Repeat("b", 100000)},
	} {
		want := w.Exec(w.native, append([]string{"args"}, words...)...)
		wantLine, _, _ := strings.Cut(want.Stdout, "\n")
		variables := ""
		for _, way := range w.all() {
			res := w.run(way, []string{"variables=300"}, append([]string{"args"}, words...)...)
			line, env, _ := strings.Cut(res.Stdout, "\n")
			if line != wantLine || res.Stderr != "" {
				t.Errorf("%s by %s: want %q, got %v", behaviour, way, wantLine, res)
			}
			if variables == "" {
				variables = env
			}
			if env != variables {
				t.Errorf("%s by %s: environment %q, want %q", behaviour, way, env, variables)
			}
		}
	}
	// The longest name that a flake can have, and the longest of a link that there can be.
	longest := strings.Repeat("n", 200)
	w.Register(longest, "facts", "--target", "/bin/facts")
	for _, s := range []*fixture.Sandbox{w.Sandbox, w.With(asksGo)} {
		if res := s.In(t).App(longest, "exit", "9"); res.Code != 9 || res.Stderr != "" {
			t.Errorf("%v", res)
		}
	}
	link := filepath.Join(w.Links, strings.Repeat("m", 255))
	if err := os.Symlink(w.Binary("flake-launcher"), link); err != nil {
		t.Fatal(err)
	}
	early, late := w.Exec(link, "exit", "0"), w.With(asksGo).In(t).Exec(link, "exit", "0")
	if early.Code != late.Code || early.Stderr != late.Stderr || early.Code != 125 {
		t.Errorf("a name of 255 bytes: %v\nby Go: %v", early, late)
	}
	w.Refused(early, "at most 200 characters")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
}
