package integration

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// counted are the system calls of a phase of a start, and how many of them open something.
type counted struct{ calls, opens int }

// The phases of a start.
const (
	phaseLauncher = "launcher" // until there is a PID 1
	phaseRoot     = "PID 1"    // until it starts the app
	phaseApp      = "app"      // until it is another program
	phaseEnd      = "the end"  // of the two processes around it, when the app has been started
)

// recorded is what the start of a registered flake costs. A start that takes more fails the test: who has good reasons
// changes the numbers, by those that the test logs, and gives the reasons in the commit. They are those of sandboxes in /tmp;
// count makes up for what not all machines have. In the end two calls come and go: PID 1's end is told by a pipe and a signal.
var recorded = map[string]map[string]counted{
	"root": {phaseLauncher: {115, 9}, phaseRoot: {455, 102}, phaseApp: {10, 0}, phaseEnd: {23, 0}},
	"user": {phaseLauncher: {114, 10}, phaseRoot: {601, 156}, phaseApp: {10, 0}, phaseEnd: {23, 0}},
}

// systemCall is one system call of a trace.
type systemCall struct {
	pid, name, args, result string
	phase                   string
}

func (c systemCall) String() string {
	return fmt.Sprintf("%s: %s(%.200s) = %s", c.phase, c.name, c.args, c.result)
}

// traced runs a flake under strace and gives its calls, from those of the launcher on to the app's execve.
func traced(t *testing.T, s *fixture.Sandbox, link string, args ...string) []systemCall {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("needs strace to count system calls: integration/hack/deps.sh test")
	}
	log := filepath.Join(t.TempDir(), "log")
	words := []string{"-f", "-qq", "-s", "300", "-e", "signal=none", "-o", log}
	if os.Geteuid() == 0 && !s.By.IsRoot() { // who traces a user's start as that user can't read its strings
		words = append(words, fixture.RequireProgram(t, "setpriv"), fmt.Sprintf("--reuid=%d", s.By.UID), fmt.Sprintf("--regid=%d", s.By.GID), "--clear-groups")
	}
	res := s.ExecWith(func(cmd *exec.Cmd) { cmd.SysProcAttr = nil }, strace, append(append(words, link), args...)...)
	if res.Code != 0 || res.Stderr != "" {
		t.Fatalf("%v", res)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	return phases(t, parseTrace(string(text)), link)
}

var traceLine = regexp.MustCompile(`^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$`)

// parseTrace puts the halves of calls together that strace tells in two lines. Calls stand where they begin.
func parseTrace(text string) (calls []systemCall) {
	open := map[string]int{}
	for line := range strings.Lines(text) {
		m := traceLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		pid, rest := m[1], m[4]
		at := len(calls)
		if m[2] != "" {
			at = open[pid]
			calls[at].args += rest
		} else {
			calls = append(calls, systemCall{pid: pid, name: m[3], args: rest})
		}
		if half, ok := strings.CutSuffix(calls[at].args, "<unfinished ...>"); ok {
			calls[at].args = half
			open[pid] = at
			continue
		}
		if end := strings.LastIndex(calls[at].args, " = "); end >= 0 {
			calls[at].result = strings.TrimSpace(calls[at].args[end+3:])
			calls[at].args = strings.TrimRight(calls[at].args[:end], " )")
		}
	}
	return calls
}

// phases tells by its process, and by what that has done, in which phase a call is. It leaves out what is before the
// launcher and, of the app, what is behind its execve.
func phases(t *testing.T, all []systemCall, link string) (calls []systemCall) {
	t.Helper()
	from := slices.IndexFunc(all, func(c systemCall) bool {
		return c.name == "execve" && strings.HasPrefix(c.args, `"`+link+`"`) && c.result == "0"
	})
	if from < 0 {
		t.Fatalf("strace saw no launcher among %d calls", len(all))
	}
	phase := map[string]string{all[from].pid: phaseLauncher}
	ran := false
	for _, c := range all[from+1:] {
		now, known := phase[c.pid]
		if !known { // a process that has just been made
			now = phaseRoot
			if len(phase) > 1 {
				now = phaseApp
			}
			phase[c.pid] = now
		}
		if now == "" {
			continue
		}
		c.phase = now
		calls = append(calls, c)
		switch {
		case c.name == "execve" && c.result == "0" && now == phaseApp:
			phase[c.pid], ran = "", true
		case c.name == "clone" && now == phaseLauncher, c.name == "vfork" && now == phaseRoot:
			phase[c.pid] = phaseEnd
		}
	}
	if !ran {
		t.Fatalf("strace saw no app among %d calls; the last: %v", len(all), calls[max(0, len(calls)-5):])
	}
	return calls
}

// opens says whether a call opens something.
func (c systemCall) opens() bool {
	return slices.Contains([]string{"open", "openat", "openat2", "open_tree", "creat", "fsopen"}, c.name)
}

// writes says whether it changes a file, or opens one for that.
func (c systemCall) writes() bool {
	if c.opens() {
		return regexp.MustCompile(`O_(WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)`).MatchString(c.args)
	}
	return regexp.MustCompile(`^(mkdir|mknod|symlink|link|rename|unlink|rmdir|truncate|f?chmod|l?chown|fchown|utime|futimes|l?setxattr|l?removexattr)`).MatchString(c.name)
}

// coverCalls are those that a cover of a file or directory in /proc or /sys takes beyond looking for it.
const coverCalls = 6

// count adds up by phase, as if this machine had all that there may be to cover.
func count(calls []systemCall) map[string]counted {
	sums := map[string]counted{}
	for _, c := range calls {
		n := sums[c.phase]
		n.calls++
		if c.opens() {
			n.opens++
		}
		if c.name == "openat2" && strings.Contains(c.result, "ENOENT") && regexp.MustCompile(`, "(proc|sys)/`).MatchString(c.args) {
			n.calls += coverCalls
			n.opens++
		}
		sums[c.phase] = n
	}
	return sums
}

// A start costs what it is known to cost.
func TestCallsOfAStart(t *testing.T) { fixture.EachUnranged(t, testCallsOfAStart) }

func testCallsOfAStart(t *testing.T, by fixture.Caller) {
	w := newWays(t, by)
	calls := traced(t, w.Sandbox, w.Link("facts"), "exit", "0")
	got, want := count(calls), recorded[by.Name]
	for _, phase := range []string{phaseLauncher, phaseRoot, phaseApp, phaseEnd} {
		g, r := got[phase], want[phase]
		t.Logf("%s, %s: %d calls, %d of them open something", by.Name, phase, g.calls, g.opens)
		if g.calls <= r.calls && g.opens <= r.opens {
			continue
		}
		t.Errorf("%s: %d calls, of which %d open something; recorded are %d and %d. If that has to be, change `recorded` in integration/calls_test.go and say why in the commit. They are:\n%s",
			phase, g.calls, g.opens, r.calls, r.opens, names(calls, phase))
	}
}

// names are the calls of a phase, by how often they are made.
func names(calls []systemCall, phase string) string {
	times := map[string]int{}
	var order []string
	for _, c := range calls {
		if c.phase == phase {
			if times[c.name]++; times[c.name] == 1 {
				order = append(order, c.name)
			}
		}
	}
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(times[b], times[a]) })
	var out strings.Builder
	for _, name := range order {
		fmt.Fprintf(&out, "%s %d, ", name, times[name])
	}
	return strings.TrimSuffix(out.String(), ", ")
}

// A one-shot start writes nothing on the host, waits for nobody, and asks nobody.
func TestNothingOnTheWay(t *testing.T) { fixture.EachUnranged(t, testNothingOnTheWay) }

func testNothingOnTheWay(t *testing.T, by fixture.Caller) {
	w := newWays(t, by)
	places := []string{w.Root, w.Home, w.Links, w.Tmp, "/run/flake-launcher"}
	before := stamps(places)
	calls := traced(t, w.Sandbox, w.Link("facts"), "exit", "0")
	for path, stamp := range stamps(places) {
		if before[path] != stamp {
			t.Errorf("a start changes %s", path)
		}
	}
	programs := 0
	for _, c := range calls {
		if c.name == "execve" || c.name == "execveat" {
			programs++
		}
		if why := onTheWay(c); why != "" {
			t.Errorf("%s: %v", why, c)
		}
	}
	if programs != 1 {
		t.Errorf("%d programs executed instead of the app alone", programs)
	}
	// The search finds what it is to find.
	for _, c := range []systemCall{
		{name: "flock", args: "3, LOCK_EX|LOCK_NB"}, {name: "socket", args: "AF_UNIX"}, {name: "getdents64", args: "3"}, {name: "openat", args: `AT_FDCWD, "/tmp/x", O_WRONLY|O_CREAT`, phase: phaseRoot},
		{name: "openat", args: `3, "x", O_RDWR`, phase: phaseLauncher}, {name: "mkdir", args: `"/sys/fs/cgroup/x"`, phase: phaseRoot}, {name: "rename", args: `"/a"`, phase: phaseEnd}, {name: "memfd_create"},
	} {
		if onTheWay(c) == "" {
			t.Errorf("nothing is said about %v", c)
		}
	}
}

// onTheWay says what is wrong about a call of a start, "" for nothing.
func onTheWay(c systemCall) string {
	switch {
	case c.name == "flock" && strings.Contains(c.args, "LOCK_EX"), c.name == "fcntl" && strings.Contains(c.args, "F_SETLK"):
		return "a lock that only one start can have"
	case strings.HasPrefix(c.name, "socket"), c.name == "connect", c.name == "bind":
		return "a socket"
	case strings.HasPrefix(c.name, "getdents"):
		return "a walk through a directory"
	case c.name == "memfd_create":
		return "a file, if only in memory"
	case c.writes() && strings.Contains(c.args, "cgroup"):
		return "a control group"
	case c.writes() && c.phase == phaseLauncher && strings.HasPrefix(c.name, "open") && regexp.MustCompile(`"/proc/self/(setgroups|uid_map|gid_map)"`).MatchString(c.args):
		return "" // of the user namespace
	case c.writes() && (c.phase != phaseRoot || !regexp.MustCompile(`^(".*", )?\d+, "[^/]`).MatchString(c.args)) && !regexp.MustCompile(`^(fchmod|fchown)$`).MatchString(c.name):
		return "a file of the host is written" // and not one that PID 1 finds below its own root
	}
	return ""
}

// stamps are when the files below some directories have changed.
func stamps(dirs []string) map[string]string {
	out := map[string]string{}
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			var st syscall.Stat_t
			if err == nil && syscall.Lstat(path, &st) == nil {
				out[path] = fmt.Sprint(st.Ino, st.Size, st.Mode, st.Mtim, st.Ctim)
			}
			return nil
		})
	}
	return out
}
