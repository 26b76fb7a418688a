package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// kept is a sandbox in which the base `probe` is registered as the command `probe` with kept instances.
func kept(t *testing.T, by fixture.Caller, options ...string) *fixture.Sandbox {
	t.Helper()
	s := fixture.NewSandbox(t, by)
	s.Load(fixture.ProbeBase(t))
	s.Register("probe", "probe", append([]string{"--target", "/bin/probe", "--resume", "--profile", "isolated"}, options...)...)
	s.NoLeaks()
	t.Cleanup(func() {
		for _, i := range instances(s) {
			s.MustCtl("reset", i.name())
		}
	})
	return s
}

// keptRow is what `flake-ctl show` says of an instance.
type keptRow struct {
	Name, Instance, User, Status string
	PID                          *int
	Image, Config                *string
}

func (r keptRow) name() string {
	if r.Instance == "" {
		return r.Name
	}
	return r.Name + "@" + r.Instance
}

func instances(s *fixture.Sandbox) (rows []keptRow) {
	res := s.MustCtl("show", "--format", "json")
	if err := json.Unmarshal([]byte(res.Stdout), &rows); err != nil {
		panic(err)
	}
	return rows
}

// only is the one instance that there is, running.
func only(t *testing.T, s *fixture.Sandbox) keptRow {
	t.Helper()
	rows := instances(s)
	if len(rows) != 1 || rows[0].Status != "running" || rows[0].PID == nil {
		t.Fatalf("want one running instance, got %+v", rows)
	}
	return rows[0]
}

// parent is the parent of a process.
func parent(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')'):]))
	n, _ := strconv.Atoi(fields[2])
	return n
}

// eventually waits for something that takes its moment.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not happen that %s", what)
		}
	}
}

func TestKeptState(t *testing.T) { fixture.Each(t, testKeptState) }

func testKeptState(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	s.MustApp("probe", "write", "/tmp/x", "one")
	if got := s.MustApp("probe", "cat", "/tmp/x").Stdout; got != "one" {
		t.Errorf("the second call reads %q", got)
	}
	pid := strings.TrimSpace(s.MustApp("probe", "orphan").Stdout)
	if got := s.MustApp("probe", "cat", "/proc/"+pid+"/cmdline").Stdout; got != "/proc/self/exe\x00wait\x00" {
		t.Errorf("the first call's child is %q", got)
	}
	// Who enters is neither PID 1 nor anybody's child in there, and has the rights of any app.
	res := s.MustApp("probe", "status", "NoNewPrivs", "Seccomp_filters", "CapBnd", "PPid")
	for _, want := range []string{"ppid 0\n", "NoNewPrivs:\t1", "Seccomp_filters:\t1", "CapBnd:\t00000000800405fb"} {
		if !strings.Contains(res.Stdout, want) {
			t.Errorf("no %q in %v", want, res)
		}
	}
	if res := s.App("probe", "cat", "/proc/1/environ"); res.Code == 0 {
		t.Errorf("the app looks into PID 1: %v", res)
	}
	if got := s.MustApp("probe", "id").Stdout; !strings.HasPrefix(got, by.Owner()) {
		t.Errorf("the app is %q", got)
	}
	row := only(t, s)
	if row.Name != "probe" || row.Instance != "" || *row.Image != "probe" || *row.Config != filepath.Join(s.Registrations, "probe.yaml") {
		t.Errorf("%+v", row)
	}
}

func TestKeptEntrypoint(t *testing.T) { fixture.Each(t, testKeptEntrypoint) }

func testKeptEntrypoint(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	s.Register("own", "probe", "--target", "/", "--resume", "--profile", "isolated", "--writable", "tmpfs")
	if got := s.MustApp("own").Stdout; !strings.HasPrefix(got, "probe without a command") {
		t.Errorf("the entrypoint says %q", got)
	}
	s.MustApp("own", "/bin/probe", "write", "/tmp/x", "memory")
	if got := s.MustApp("own", "/bin/probe", "cat", "/tmp/x").Stdout; got != "memory" {
		t.Errorf("a tmpfs keeps %q", got)
	}
	row := only(t, s)
	mustKill(t, *row.PID)
	eventually(t, "the instance is stopped", func() bool { return instances(s)[0].Status == "stopped" })
	if res := s.App("own", "/bin/probe", "cat", "/tmp/x"); res.Code != 1 {
		t.Errorf("what was in memory: %v", res)
	}
}

func TestKeptStatus(t *testing.T) { fixture.Each(t, testKeptStatus) }

func testKeptStatus(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	for _, want := range []int{0, 1, 125, 126, 127, 255} {
		if res := s.App("probe", "exit", strconv.Itoa(want)); res.Code != want {
			t.Errorf("want status %d, got %v", want, res)
		}
	}
	for _, want := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGSEGV, syscall.SIGPIPE} {
		if res := s.App("probe", "raise", strconv.Itoa(int(want))); res.Signal != want {
			t.Errorf("want death by %v, got %v", want, res)
		}
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, 40} {
		cmd, out := waiting(t, s, strconv.Itoa(int(sig)))
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		got, _ := out.ReadString('\n')
		if err := cmd.Wait(); got != fmt.Sprintf("%d\n", sig) || cmd.ProcessState.ExitCode() != 7 {
			t.Errorf("signal %v: %q, %v", sig, got, err)
		}
	}
	for name, script := range map[string]string{
		"reader ends first":  s.Link("probe") + " yes | head -1",
		"between two others": "yes | " + s.Link("probe") + " cat | head -1",
	} {
		if res := s.Exec("/bin/sh", "-c", script); res.Stdout != "y\n" || res.Took > 20*time.Second {
			t.Errorf("%s: %v", name, res)
		}
	}
	// Neither the processes that stay nor a first call keep a pipe open.
	s.MustCtl("reset", "probe")
	if res := s.Exec("/bin/sh", "-c", s.Link("probe")+" exit 0 2>&1 | cat"); res.Stdout != "" || res.Took > 20*time.Second {
		t.Errorf("first call in a pipe: %v", res)
	}
	if res := s.App("probe", "nothing-of-the-kind"); res.Code != 0 {
		t.Errorf("%v", res)
	}
	only(t, s)
}

func TestKeptStops(t *testing.T) { fixture.Each(t, testKeptStops) }

func testKeptStops(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	s.MustApp("probe", "exit", "0")
	// A job of its own, whose parent is in the same session: not an orphaned group.
	cmd, out := waitingIn(t, s, func(cmd *exec.Cmd) {
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.Setpgid = true
	}, "15")
	for _, step := range []struct {
		sig  syscall.Signal
		want string
	}{{syscall.SIGTSTP, "T"}, {syscall.SIGCONT, "S"}, {syscall.SIGSTOP, "T"}, {syscall.SIGCONT, "S"}} {
		if err := syscall.Kill(-cmd.Process.Pid, step.sig); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("%v has its effect", step.sig), func() bool { return processState(cmd.Process.Pid) == step.want })
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(out); string(rest) != "15\n" {
		t.Errorf("the app says %q", rest)
	}
	_ = cmd.Wait()
}

// What stays of the first call has nothing of the caller's open: a lock, a pipe that somebody reads to its end.
func TestKeptHoldsNoDescriptors(t *testing.T) { fixture.Each(t, testKeptHoldsNoDescriptors) }

func testKeptHoldsNoDescriptors(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := s.Command(ctx, s.Link("probe"), "exit", "0")
	cmd.ExtraFiles = []*os.File{w}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.Close()
	if err := r.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the pipe is still open somewhere: %v", err)
	}
}

func processState(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return rest[:1]
}

// waitingIn is waiting with a last word on the command.
func waitingIn(t *testing.T, s *fixture.Sandbox, adjust func(*exec.Cmd), args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := s.Command(ctx, s.Link("probe"), append([]string{"wait"}, args...)...)
	adjust(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("app does not run: %q, %v", line, err)
	}
	return cmd, r
}

func TestKeptFirstCalls(t *testing.T) { fixture.Each(t, testKeptFirstCalls) }

func testKeptFirstCalls(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	for _, n := range []int{2, 20} {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				res := s.Exec(s.Link("probe"), "touch", fmt.Sprintf("/var/tmp/%d", i))
				if res.Code != 0 || res.Stdout != "ok\n" || res.Stderr != "" {
					t.Errorf("%v", res)
				}
			})
		}
		wg.Wait()
		// Had there been two, one would have other files.
		if got := s.MustApp("probe", "ls", "/var/tmp").Stdout; len(strings.Fields(got)) != n {
			t.Errorf("%d calls left %q", n, got)
		}
		only(t, s)
		s.MustCtl("reset", "probe")
	}
}

func mustKill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// Whatever ended the container, and whatever was half written, the next call goes on with what had been written.
func TestKeptHeals(t *testing.T) { fixture.Each(t, testKeptHeals) }

func testKeptHeals(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	dir := filepath.Join(s.Root, "instances", "probe")
	s.MustApp("probe", "write", "/tmp/x", "one")
	for what, harm := range map[string]func(row keptRow){
		"PID 1 killed":  func(row keptRow) { mustKill(t, *row.PID) },
		"keeper killed": func(row keptRow) { mustKill(t, parent(t, *row.PID)) },
		"a reboot": func(row keptRow) {
			// No lock, and a process that has the number now.
			mustKill(t, *row.PID)
			eventually(t, "it is gone", func() bool { return instances(s)[0].Status == "stopped" })
			s.WriteFile(filepath.Join(dir, "state"), fmt.Sprintf("flake-holder 1\npid %d\nbegan 1\n", os.Getpid()))
		},
		"a state that is cut": func(row keptRow) {
			mustKill(t, *row.PID)
			eventually(t, "it is gone", func() bool { return instances(s)[0].Status == "stopped" })
			s.WriteFile(filepath.Join(dir, "state"), "flake-holder 1\npid 1")
		},
		"leftovers of a start that was cut short": func(row keptRow) {
			mustKill(t, *row.PID)
			eventually(t, "it is gone", func() bool { return instances(s)[0].Status == "stopped" })
			s.WriteFile(filepath.Join(dir, "config.new"), "flake-inst")
			for _, d := range []string{"upper.new", "work/work", "work/work/#1"} {
				path := filepath.Join(dir, "writable", d)
				if err := os.Mkdir(path, 0o700); err != nil && !os.IsExist(err) {
					t.Fatal(err)
				}
				s.By.Give(t, path)
			}
			if err := os.Remove(filepath.Join(dir, "state")); err != nil {
				t.Fatal(err)
			}
		},
		"a polite end": func(row keptRow) {
			if err := syscall.Kill(parent(t, *row.PID), syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it ends", func() bool { return instances(s)[0].Status == "stopped" })
		},
	} {
		before := only(t, s)
		harm(before)
		// A call may still have come into what was about to end, and have ended with it.
		eventually(t, what+": another container runs", func() bool {
			res := s.App("probe", "cat", "/tmp/x")
			if res.Signal == syscall.SIGKILL {
				return false
			}
			if res.Stdout != "one" || res.Code != 0 || res.Stderr != "" {
				t.Fatalf("%s: %v", what, res)
			}
			rows := instances(s)
			return len(rows) == 1 && rows[0].PID != nil && *rows[0].PID != *before.PID
		})
	}
}

// A start that is killed while it makes an instance leaves one that works, or none.
func TestKeptStartIsKilled(t *testing.T) { fixture.Each(t, testKeptStartIsKilled) }

func testKeptStartIsKilled(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	for after := range 12 {
		ctx, cancel := context.WithCancel(t.Context())
		cmd := s.Command(ctx, s.Link("probe"), "wait")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(after) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		cancel()
		s.MustApp("probe", "write", "/tmp/x", "one")
		if got := s.MustApp("probe", "cat", "/tmp/x").Stdout; got != "one" {
			t.Errorf("killed after %d ms: %q", after, got)
		}
		only(t, s)
		s.MustCtl("reset", "probe")
	}
}

// The app of a launcher that was killed does not stay, and what it has started does, and is reaped when it ends.
func TestKeptLauncherIsKilled(t *testing.T) { fixture.Each(t, testKeptLauncherIsKilled) }

func testKeptLauncherIsKilled(t *testing.T, by fixture.Caller) {
	s := kept(t, by)
	orphan := strings.TrimSpace(s.MustApp("probe", "orphan").Stdout)
	cmd, _ := waiting(t, s)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	processes := func() (n int) {
		for _, name := range strings.Fields(s.MustApp("probe", "ls", "/proc").Stdout) {
			if _, err := strconv.Atoi(name); err == nil {
				n++
			}
		}
		return n
	}
	eventually(t, "only PID 1, the orphan and who asks are left", func() bool { return processes() == 3 })
	row := only(t, s)
	for _, child := range strings.Fields(readFile(t, fmt.Sprintf("/proc/%d/task/%d/children", *row.PID, *row.PID))) {
		n, _ := strconv.Atoi(child)
		mustKill(t, n)
	}
	eventually(t, "PID 1 reaps "+orphan, func() bool { return processes() == 2 })
}
