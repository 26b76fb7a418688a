package integration

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// phase is one of a traced start; times are microseconds from its beginning on.
type phase struct {
	lane, name string
	begin, end float64
}

var phaseLine = regexp.MustCompile(`^ *(\d+) us +\+(\d+) us  (outside|PID 1|app) +(\S.*)$`)

// phaseLines splits what is on stderr into what the app wrote and the trace, of which nothing else may be there.
func phaseLines(t *testing.T, stderr string) (said string, phases []phase) {
	t.Helper()
	lines := strings.SplitAfter(stderr, "\n")
	first := slices.IndexFunc(lines, func(l string) bool { return phaseLine.MatchString(strings.TrimSpace(l)) })
	if first < 0 || !regexp.MustCompile(`^ *\d+ us +end\n$`).MatchString(lines[max(len(lines)-2, 0)]) {
		t.Fatalf("no trace that comes to its end in %q", stderr)
	}
	for _, line := range lines[first : len(lines)-2] {
		word := phaseLine.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if word == nil {
			t.Fatalf("no line of a trace: %q", line)
		}
		begin, _ := strconv.ParseFloat(word[1], 64)
		took, _ := strconv.ParseFloat(word[2], 64)
		phases = append(phases, phase{word[3], word[4], begin, begin + took})
	}
	return strings.Join(lines[:first], ""), phases
}

// phaseEvents reads a file of the trace format.
func phaseEvents(t *testing.T, path string) (phases []phase) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var trace struct {
		Events []struct {
			Name, Ph string
			Pid, Tid int
			Ts, Dur  float64
			Args     struct {
				Name  string
				Count int
			}
		} `json:"traceEvents"`
	}
	if err := json.Unmarshal(text, &trace); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	lanes := map[int]string{}
	for _, e := range trace.Events {
		switch {
		case e.Ph == "M" && e.Name == "thread_name":
			lanes[e.Tid] = e.Args.Name
		case e.Ph != "X" || e.Pid == 0 || e.Args.Count < 1 || lanes[e.Tid] == "":
			t.Errorf("odd event %+v", e)
		default:
			phases = append(phases, phase{lanes[e.Tid], e.Name, e.Ts, e.Ts + e.Dur})
		}
	}
	return phases
}

// checkPhases holds a trace against what every start consists of, and its times against each other.
func checkPhases(t *testing.T, phases []phase, precision float64, first ...string) {
	t.Helper()
	lanes := map[string][]phase{}
	for i, p := range phases {
		if i > 0 && p.begin < phases[i-1].begin {
			t.Errorf("%v comes after %v", p, phases[i-1])
		}
		lane := lanes[p.lane]
		if n := len(lane); n > 0 && math.Abs(lane[n-1].end-p.begin) > precision {
			t.Errorf("between %v and %v there is something else", lane[n-1], p)
		}
		lanes[p.lane] = append(lane, p)
	}
	for lane, want := range map[string][]string{
		"outside": slices.Concat(first, []string{"namespaces", "waiting", "end of PID 1", "clearing up"}),
		"PID 1":   {"namespaces", "writable part", "overlay", "mounts", "change of root", "seccomp filters", "fork of the app", "waiting", "end of the app"},
		"app":     {"execve", "running"},
	} {
		var names []string
		for _, p := range lanes[lane] {
			if slices.Contains(want, p.name) {
				names = append(names, p.name)
			}
		}
		if diff := cmp.Diff(want, slices.Compact(names)); diff != "" {
			t.Fatalf("%s (-want +got):\n%s%v", lane, diff, phases)
		}
	}
	within := func(inner, outer []phase) {
		if inner[0].begin < outer[0].begin || inner[len(inner)-1].end > outer[len(outer)-1].end+precision {
			t.Errorf("%v is not within %v", inner, outer)
		}
	}
	within(lanes["PID 1"], lanes["outside"])
	within(lanes["app"], lanes["PID 1"])
}

func TestTrace(t *testing.T) { fixture.Each(t, testTrace) }

// testTrace traces each way that a start can go: through the launcher's early part, which does a plain start whose plan is
// there, and through Go.
func testTrace(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	link, run := s.Link("probe"), s.Binary("flake-run")
	checked := []string{"plan", "checks", "list of operations", "layers"}
	if by.Range {
		checked = []string{"plan and checks", "layers"}
	}
	for name, test := range map[string]struct {
		flags []string // of flake-run; none: the flake's link
		first []string
	}{
		"by link":            {nil, checked},
		"ad hoc, first time": {[]string{"--writable=tmpfs", "--user=0"}, []string{"plan and checks", "compiling the plan", "layers"}},
		"disk":               {[]string{"--writable=disk"}, []string{"plan and checks", "layers"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, file := s.In(t), filepath.Join(s.Tmp, strings.ReplaceAll(name, " ", "-")+".json")
			if test.flags == nil {
				res := s.With("FLAKE_TRACE=1").MustApp("probe", "exit", "0")
				_, phases := phaseLines(t, res.Stderr)
				checkPhases(t, phases, 1, test.first...)
				s.With("FLAKE_TRACE="+file).MustExec(link, "exit", "0")
			} else {
				app := []string{"probe", "/bin/probe", "exit", "0"}
				s.MustExec(run, slices.Concat([]string{"--trace-json", file}, test.flags, app)...)
				res := s.MustExec(run, slices.Concat(test.flags, []string{"--trace"}, app)...)
				_, phases := phaseLines(t, res.Stderr)
				checkPhases(t, phases, 1, slices.DeleteFunc(slices.Clone(test.first), func(s string) bool { return s == "compiling the plan" })...)
			}
			checkPhases(t, phaseEvents(t, file), 0.002, test.first...)
		})
	}
}

func TestTraceLeavesTheAppAlone(t *testing.T) { fixture.Each(t, testTraceLeavesTheAppAlone) }

func testTraceLeavesTheAppAlone(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Register("fds", "probe", "--target", "/bin/probe", "--preserve-fds")
	s.MustApp("fds", "exit", "0")
	file := filepath.Join(s.Home, "near.json")
	lines, events := s.With("FLAKE_TRACE=1"), s.With("FLAKE_TRACE=near.json")
	for _, args := range [][]string{
		{"args", "--trace", "FLAKE_TRACE=1"}, {"env"}, {"exit", "42"}, {"cat", "/nothing"},
		{"raise", strconv.Itoa(int(syscall.SIGTERM))}, {"ls", "/proc/self/fd"},
	} {
		for _, flake := range []string{"probe", "fds"} {
			plain := s.App(flake, args...)
			res := lines.App(flake, args...)
			said, _ := phaseLines(t, res.Stderr)
			if got := (fixture.Result{Stdout: res.Stdout, Stderr: said, Code: res.Code, Signal: res.Signal}); !sameEnd(&got, plain) {
				t.Errorf("%s, traced on stderr: %v\nelse %v", flake, res, plain)
			}
			if res := events.App(flake, args...); !sameEnd(res, plain) {
				t.Errorf("%s, traced to a file: %v\nelse %v", flake, res, plain)
			}
			if phases := phaseEvents(t, file); len(phases) == 0 {
				t.Errorf("%s: no phases in the file", flake)
			}
		}
	}
}

func sameEnd(a, b *fixture.Result) bool {
	return a.Stdout == b.Stdout && a.Stderr == b.Stderr && a.Code == b.Code && a.Signal == b.Signal
}

func TestTraceThatCannotBeWritten(t *testing.T) { fixture.Each(t, testTraceThatCannotBeWritten) }

func testTraceThatCannotBeWritten(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	old, link := filepath.Join(s.Tmp, "old"), filepath.Join(s.Tmp, "link")
	s.WriteFile(old, "old\n")
	if err := os.Symlink(old, link); err != nil {
		t.Fatal(err)
	}
	ran := filepath.Join(s.Home, "ran")
	for behaviour, file := range map[string]string{
		"no directory": "/nonexistent/trace.json", "none from here": "nonexistent/trace.json", "a directory": s.Tmp, "a symlink": link,
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := s.In(t)
			for _, res := range []*fixture.Result{
				s.With("FLAKE_TRACE="+file).App("probe", "touch", ran),
				s.With("FLAKE_TRACE="+file).Run("probe", "/bin/probe", "touch", ran),
				s.Run("--trace-json", file, "probe", "/bin/probe", "touch", ran),
			} {
				s.Refused(res, "write the trace to", filepath.Base(file), "remedy")
				if res.Code != 125 || res.Stdout != "" || strings.Count(res.Stderr, "\n") != 2 {
					t.Errorf("want status 125 and two lines, got %v", res)
				}
			}
			if _, err := os.Stat(ran); err == nil {
				t.Error("the app was started")
			}
		})
	}
	if text, err := os.ReadFile(old); err != nil || string(text) != "old\n" {
		t.Errorf("behind the symlink: %q, %v", text, err)
	}
	s.MustApp("probe", "touch", ran) // that it could have been seen
	if _, err := os.Stat(ran); err != nil {
		t.Error(err)
	}
}

func TestTraceOfWhatIsNotTraced(t *testing.T) { fixture.Each(t, testTraceOfWhatIsNotTraced) }

// testTraceOfWhatIsNotTraced: a start says that there is no trace, does its work, and leaves an older trace alone.
func testTraceOfWhatIsNotTraced(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	file := filepath.Join(s.Tmp, "trace.json")
	s.WriteFile(file, "old\n")
	const says = "probe: no trace: only one-shot starts of the direct engine tell their phases\n"
	for _, trace := range []string{"1", file, "1"} {
		res := s.With("FLAKE_TRACE="+trace).App("probe", "exit", "42")
		if res.Code != 42 || res.Stderr != says {
			t.Errorf("FLAKE_TRACE=%s: %v", trace, res)
		}
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "old\n" {
		t.Errorf("the file: %q, %v", text, err)
	}
	for _, off := range []string{"0", ""} {
		s := s.With("FLAKE_TRACE=")
		s.Env = append(s.Env, "FLAKE_TRACE="+off)
		if res := s.App("probe", "exit", "42"); res.Code != 42 || res.Stderr != "" {
			t.Errorf("%s: %v", fmt.Sprintf("FLAKE_TRACE=%q", off), res)
		}
	}
}
