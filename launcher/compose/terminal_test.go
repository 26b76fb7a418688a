package compose

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/nsexec/config"
)

func TestInterruptKeyReachesTheWholeJob(t *testing.T) {
	eachEngine(t, testInterruptKeyReachesTheWholeJob)
}

func testInterruptKeyReachesTheWholeJob(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	cmd := b.command("probe", "grouptrap", "2")
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	r := bufio.NewReader(tty)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready") {
		t.Fatalf("app says %q: %v", line, err)
	}
	if _, err := tty.WriteString("\x03"); err != nil {
		t.Fatal(err)
	}
	line, _ := r.ReadString('\n')
	if !strings.Contains(line, "got 2") {
		t.Errorf("app says %q", line)
	}
	if status := finish(t, cmd, cmd.Wait()); status.Code != 40 {
		t.Errorf("%v", status)
	}
}

func TestStopAndContinue(t *testing.T) { eachEngine(t, testStopAndContinue) }

func testStopAndContinue(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	cmd := b.command("probe", "sleep", "stop-me")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a job, not an orphaned group
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	apps := processes(t, "probe\x00sleep\x00stop-me")
	if len(apps) != 1 {
		t.Fatalf("apps: %q", apps)
	}
	states := func() string { return state(t, strconv.Itoa(cmd.Process.Pid)) + state(t, apps[0]) }
	for _, step := range []struct {
		sig  os.Signal
		want string
	}{{unix.SIGTSTP, "TT"}, {unix.SIGCONT, "SS"}, {unix.SIGTSTP, "TT"}, {unix.SIGCONT, "SS"}} {
		if err := cmd.Process.Signal(step.sig); err != nil {
			t.Fatal(err)
		}
		var got string
		for range 200 {
			if got = states(); got == step.want {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if got != step.want {
			t.Errorf("after %v: engine and app are %q, want %q", step.sig, got, step.want)
		}
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := finish(t, cmd, cmd.Wait()); status.Signal != unix.SIGTERM {
		t.Errorf("%v", status)
	}
}

// state is the letter by which the kernel tells what a process is doing.
func state(t *testing.T, pid string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return rest[:1]
}
