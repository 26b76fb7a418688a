package integration

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// started is a sandbox in which the base `probe` is loaded and registered as the command `probe`.
func started(t *testing.T, by fixture.Caller) *fixture.Sandbox {
	t.Helper()
	s := fixture.NewSandbox(t, by)
	s.Load(fixture.ProbeBase(t))
	s.Register("probe", "probe", "--target", "/bin/probe")
	// The first start may write plans.
	if maps := words(s.MustApp("probe", "cat", "/proc/self/uid_map")); by.Range != (len(maps) > 1) {
		t.Fatalf("a range of ids, as the settings say: %v, got %q", by.Range, maps)
	}
	s.NoLeaks()
	return s
}

func TestExitStatus(t *testing.T) { fixture.Each(t, testExitStatus) }

func testExitStatus(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	for _, want := range []int{0, 1, 2, 42, 124, 125, 126, 127, 255} {
		if res := s.App("probe", "exit", strconv.Itoa(want)); res.Code != want {
			t.Errorf("want status %d, got %v", want, res)
		}
	}
	for _, want := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGPIPE, syscall.SIGHUP} {
		if res := s.App("probe", "raise", strconv.Itoa(int(want))); res.Signal != want {
			t.Errorf("want death by %v, got %v", want, res)
		}
	}
}

func TestStatusOfWhatCannotStart(t *testing.T) { fixture.Each(t, testStatusOfWhatCannotStart) }

func testStatusOfWhatCannotStart(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Load(fixture.Delta(t, "odd", `file usr/bin/plain data="no program\n"`, `file usr/bin/noexec mode=0755 data="no program\n"`))
	for behaviour, test := range map[string]struct {
		command string
		want    int
	}{
		"not found by path":      {"/usr/bin/nothing", 127},
		"not found by name":      {"nothing", 127},
		"not executable":         {"/usr/bin/plain", 126},
		"executable, no program": {"/usr/bin/noexec", 126},
		"a directory":            {"/usr/bin", 126},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := s.In(t)
			res := s.Run("--base", "probe", "odd", test.command)
			if res.Code != test.want {
				t.Errorf("want status %d, got %v", test.want, res)
			}
			s.Refused(res, filepath.Base(test.command))
		})
	}
}

func TestArgumentsPassUntouched(t *testing.T) { fixture.Each(t, testArgumentsPassUntouched) }

func testArgumentsPassUntouched(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	args := []string{
		"init", "--help", "-h", "--", "@scope/x", "@f", "%s", "", " ", "a b", "-e", "A=1,2", "--base", "x",
		"ünïcode", "new\nline", "*", "$HOME", "`id`",
	}
	got := s.MustApp("probe", append([]string{"args"}, args...)...).JSON(t)
	if diff := cmp.Diff(args, got); diff != "" {
		t.Errorf("by link (-want +got):\n%s", diff)
	}
	got = s.MustRun(append([]string{"probe", "/bin/probe", "args"}, args...)...).JSON(t)
	if diff := cmp.Diff(args, got); diff != "" {
		t.Errorf("ad hoc (-want +got):\n%s", diff)
	}
	got = s.MustRun("probe", "--", "/bin/probe", "args", "--", "x").JSON(t)
	if diff := cmp.Diff([]string{"--", "x"}, got); diff != "" {
		t.Errorf("only a leading -- is dropped (-want +got):\n%s", diff)
	}
	// The engine is told by its environment what it is, never by an app's argument.
	if res := s.MustApp("probe", "init"); !strings.Contains(res.Stdout, `["init"]`) && !strings.Contains(res.Stdout, "without a command") {
		t.Errorf("argument init: %v", res)
	}
}

func TestStreams(t *testing.T) { fixture.Each(t, testStreams) }

func testStreams(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	const size = 256 << 20
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out strings.Builder
	cmd := s.Command(ctx, s.Link("probe"), "sum")
	cmd.Stdout = &out
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(in, zeros{}, size); err != nil {
		t.Error(err)
	}
	// The stream must be handed over, not held. Not by wait4: its figure has our own memory in it.
	if peak := highWater(t, cmd.Process.Pid); peak > 128<<10 {
		t.Errorf("peak of %d KiB for a stream", peak)
	}
	in.Close()
	if err := cmd.Wait(); err != nil || !strings.HasPrefix(out.String(), strconv.Itoa(size)+" ") {
		t.Errorf("want %d bytes through, got %s, %v", size, out.String(), err)
	}
	for name, script := range map[string]string{
		"reader ends first":  s.Link("probe") + " yes | head -1",
		"between two others": "yes | " + s.Link("probe") + " cat | head -1",
	} {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			if res := s.Exec("/bin/sh", "-c", script); res.Stdout != "y\n" || res.Took > 20*time.Second {
				t.Errorf("%v", res)
			}
		})
	}
	res := s.Exec("/bin/sh", "-c", s.Link("probe")+" cat /etc/origin 2>&1 <&-")
	if res.Stdout != "base\n" {
		t.Errorf("standard input closed: %v", res)
	}
}

// highWater is the most memory a process had at any time, in KiB.
func highWater(t *testing.T, pid int) (peak int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(rest, &peak); err != nil {
		t.Fatalf("no VmHWM of %d: %v", pid, err)
	}
	return peak
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// waiting starts `probe wait` by its link and returns once the app runs.
func waiting(t *testing.T, s *fixture.Sandbox, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	return ready(t, s, s.Link("probe"), append([]string{"wait"}, args...)...)
}

// ready starts a command whose app says `ready`, after any number of `ok`.
func ready(t *testing.T, s *fixture.Sandbox, path string, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := s.Command(ctx, path, args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	for line := "ok\n"; line != "ready\n"; {
		if line, err = r.ReadString('\n'); err != nil || line != "ready\n" && line != "ok\n" {
			t.Fatalf("app does not run: %q, %v", line, err)
		}
	}
	return cmd, r
}

func TestSignalsReachTheApp(t *testing.T) { fixture.Each(t, testSignalsReachTheApp) }

func testSignalsReachTheApp(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	for _, sig := range []syscall.Signal{
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH,
	} {
		cmd, out := waiting(t, s, strconv.Itoa(int(sig)))
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		line, _ := out.ReadString('\n')
		err := cmd.Wait()
		if want := strconv.Itoa(int(sig)) + "\n"; line != want || cmd.ProcessState.ExitCode() != 7 {
			t.Errorf("%v: the app saw %q, end %v", sig, line, err)
		}
	}
	cmd, _ := waiting(t, s)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != syscall.SIGTERM {
		t.Errorf("unhandled SIGTERM: %v", cmd.ProcessState)
	}
}

func TestKillLeavesNothing(t *testing.T) { fixture.Each(t, testKillLeavesNothing) }

func testKillLeavesNothing(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	for range 5 {
		cmd, _ := waiting(t, s)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
	}
	s.MustApp("probe", "exit", "0") // sweeps what a crash may leave on /run
}

func TestOrphansDieWithTheApp(t *testing.T) { fixture.Each(t, testOrphansDieWithTheApp) }

func testOrphansDieWithTheApp(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	if res := s.MustApp("probe", "orphan"); res.Took > 10*time.Second {
		t.Errorf("an orphan held up the end: %v", res)
	}
}

func TestAppIsConfined(t *testing.T) { fixture.Each(t, testAppIsConfined) }

func testAppIsConfined(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	res := s.MustApp("probe", "status", "NoNewPrivs", "Seccomp", "CapBnd")
	if strings.Contains(res.Stdout, "pid 1 ") {
		t.Errorf("the app is PID 1: %v", res)
	}
	for _, want := range []string{"NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(res.Stdout, want) {
			t.Errorf("no %q in %v", want, res)
		}
	}
	if strings.Contains(res.Stdout, "CapBnd:\t000001ff") {
		t.Errorf("full bounding set: %v", res)
	}
	if out := s.MustApp("probe", "ls", "/dev").Stdout; !strings.Contains(out, "null") || !strings.Contains(out, "urandom") ||
		!strings.Contains(out, "pts") || !strings.Contains(out, "shm") {
		t.Errorf("incomplete /dev: %s", out)
	}
	for _, path := range []string{"/proc/sys/kernel/hostname", "/sys/kernel/x"} {
		if res := s.App("probe", "write", path, "x"); res.Code == 0 {
			t.Errorf("could write %s", path)
		}
	}
}

func TestWritableParts(t *testing.T) { fixture.Each(t, testWritableParts) }

func testWritableParts(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	if res := s.MustRun("probe", "/bin/probe", "write", "/etc/new", "x"); res.Code != 0 {
		t.Errorf("default: %v", res)
	}
	if out := s.MustRun("probe", "/bin/probe", "stat", "/etc/new").Stdout; out != "none\n" {
		t.Errorf("a start left something for the next: %s", out)
	}
	for kind, writes := range map[string]bool{"tmpfs": true, "disk": true, "none": false} {
		res := s.Run("--writable", kind, "probe", "/bin/probe", "write", "/etc/new", "x")
		if (res.Code == 0) != writes {
			t.Errorf("--writable %s: %v", kind, res)
		}
	}
}

func TestKilledOnDiskIsSwept(t *testing.T) { fixture.Each(t, testKilledOnDiskIsSwept) }

// testKilledOnDiskIsSwept kills the outer process: what the app wrote stays until the next start of the kind, or gc.
func testKilledOnDiskIsSwept(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Load(fixture.Delta(t, "odd", "dir srv own=33:33 mode=0700", `file srv/theirs own=33:34 data="x"`))
	run := []string{"--writable", "disk", "--base", "probe", "odd", "/bin/probe"}
	write := []string{"each", "/bin/probe", "touch", "/srv/theirs", "/srv/mine", "/tmp/x", "then", "/bin/probe", "wait"}
	left := func() (dirs []string) {
		for _, dir := range []string{"tmp", "ranges/tmp"} {
			found, _ := filepath.Glob(filepath.Join(s.Root, dir, "writable-*"))
			dirs = append(dirs, found...)
		}
		return dirs
	}
	if res := s.MustRun(append(run, "touch", "/srv/theirs")...); res.Stdout != "ok\n" || len(left()) > 0 {
		t.Errorf("left %q by %v", left(), res)
	}
	for by, sweep := range map[string]func(){
		"the next start": func() { s.MustRun(append(run, "exit", "0")...) }, "gc": func() { s.MustCtl("gc") },
	} {
		cmd, out := ready(t, s, s.Binary("flake-run"), append(run, write...)...)
		s.MustCtl("gc")
		s.MustRun(append(run, "exit", "0")...)
		if len(left()) != 1 {
			t.Errorf("want the directory of the running app, got %q", left())
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		if len(left()) != 1 {
			t.Errorf("want something to sweep, got %q", left())
		}
		if sweep(); len(left()) > 0 {
			t.Errorf("not swept by %s: %q", by, left())
		}
	}
}

func TestConcurrentStarts(t *testing.T) { fixture.Each(t, testConcurrentStarts) }

func testConcurrentStarts(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	script := "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do " + s.Link("probe") + " exit 0 || echo bad & done; wait"
	if res := s.Exec("/bin/sh", "-c", script); res.Stdout != "" || res.Stderr != "" {
		t.Errorf("%v", res)
	}
}
