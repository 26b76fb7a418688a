package compose

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
)

func TestStatusIsTheAppsOwn(t *testing.T) { eachEngine(t, testStatusIsTheAppsOwn) }

func testStatusIsTheAppsOwn(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	tests := map[string]struct {
		args []string
		want nsexec.Status
	}{
		"success":                  {[]string{"probe", "exit", "0"}, nsexec.Status{}},
		"failure":                  {[]string{"probe", "exit", "1"}, nsexec.Status{Code: 1}},
		"a code that is ours too":  {[]string{"probe", "exit", "125"}, nsexec.Status{Code: 125}},
		"largest":                  {[]string{"probe", "exit", "255"}, nsexec.Status{Code: 255}},
		"absolute path":            {[]string{"/bin/probe", "exit", "3"}, nsexec.Status{Code: 3}},
		"SIGKILL":                  {[]string{"probe", "raise", "9"}, nsexec.Status{Signal: unix.SIGKILL}},
		"SIGTERM":                  {[]string{"probe", "raise", "15"}, nsexec.Status{Signal: unix.SIGTERM}},
		"SIGINT":                   {[]string{"probe", "raise", "2"}, nsexec.Status{Signal: unix.SIGINT}},
		"SIGPIPE":                  {[]string{"probe", "raise", "13"}, nsexec.Status{Signal: unix.SIGPIPE}},
		"SIGQUIT, which dumps":     {[]string{"probe", "raise", "3"}, nsexec.Status{Signal: unix.SIGQUIT}},
		"SIGSEGV, which Go traces": {[]string{"probe", "raise", "11"}, nsexec.Status{Signal: unix.SIGSEGV}},
		"SIGABRT":                  {[]string{"probe", "raise", "6"}, nsexec.Status{Signal: unix.SIGABRT}},
		"real-time signal":         {[]string{"probe", "raise", "40"}, nsexec.Status{Signal: 40}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := b.run(tc.args...)
			if r.status != tc.want || r.err != "" {
				t.Errorf("%v, want %v; stderr %q", r.status, tc.want, r.err)
			}
		})
	}
	if left := b.left(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestAppThatCanNotBeExecuted(t *testing.T) { eachEngine(t, testAppThatCanNotBeExecuted) }

func testAppThatCanNotBeExecuted(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	writeFile(t, filepath.Join(b.layer, "bin/plain"), "data", 0o644)
	writeFile(t, filepath.Join(b.layer, "bin/garbage"), "\x7fNOT", 0o755)
	writeFile(t, filepath.Join(b.layer, "bin/orphaned"), "#!/no/such/interpreter\n", 0o755)
	tests := map[string]struct {
		command string
		code    int
		cause   string
	}{
		"no such name in PATH":   {"nothing", 127, "not found"},
		"no such path":           {"/bin/nothing", 127, "not found"},
		"file as a directory":    {"/bin/probe/x", 127, "not found"},
		"empty name":             {"", 127, "not found"},
		"interpreter is missing": {"orphaned", 127, "interpreter"},
		"not executable, named":  {"/bin/plain", 126, "permission denied"},
		"not executable, PATH":   {"plain", 126, "permission denied"},
		"a directory":            {"/bin", 126, "permission denied"},
		"not a program":          {"garbage", 126, "neither a program"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			r := b.run(tc.command)
			if r.status.Code != tc.code || !strings.Contains(r.err, tc.cause) {
				t.Errorf("%v, want %d; stderr %q, want %q in it", r.status, tc.code, r.err, tc.cause)
			}
			if lines := strings.Count(r.err, "\n"); lines != 2 {
				t.Errorf("%d lines on stderr, want a cause and a remedy: %q", lines, r.err)
			}
		})
	}
}

func TestLauncherFailures(t *testing.T) { eachEngine(t, testLauncherFailures) }

func testLauncherFailures(t *testing.T, newBed bedMaker) {
	tests := map[string]struct {
		spoil func(*bed)
		cause string
	}{
		"missing layer":        {func(b *bed) { b.job.Lower = []string{"/no/such/layer"} }, "layer is gone"},
		"layer named twice":    {func(b *bed) { b.job.Lower = []string{b.layer, b.layer} }, "named twice"},
		"unknown writable":     {func(b *bed) { b.job.Writable = "ramdisk" }, "ramdisk"},
		"config is no JSON":    {func(b *bed) { b.job.Config = []byte("{") }, "container description"},
		"filter is garbage":    {func(b *bed) { b.job.Filters = [][]byte{{1, 2, 3}} }, "seccomp filter"},
		"state dir is a file":  {func(b *bed) { writeFile(b.t, b.state, "", 0o600) }, "state directory"},
		"state dir is open":    {func(b *bed) { mkdir(b.t, b.state); os.Chmod(b.state, 0o777) }, "lets others write"},
		"state dir is a link":  {func(b *bed) { os.Symlink("/tmp", b.state) }, "state directory"},
		"no command":           {func(b *bed) {}, "no command"},
		"NUL in the arguments": {func(b *bed) { b.job.Env = []string{"A=\x00"} }, "NUL"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, config.Spec{})
			if b.engine == byDirect && strings.HasPrefix(name, "state dir") {
				t.Skip("needs the other engine: this one keeps no state")
			}
			if b.engine == byDirect && name == "layer named twice" {
				tc.cause = "too many levels of symbolic links"
			}
			tc.spoil(b)
			args := []string{"probe", "exit", "0"}
			if name == "no command" {
				args = nil
			}
			r := b.run(args...)
			if r.status.Code != nsexec.CodeLauncher || !strings.Contains(r.err, tc.cause) {
				t.Errorf("%v, stderr %q; want 125 and %q", r.status, r.err, tc.cause)
			}
			if left := b.left(); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

func TestSignalsReachTheApp(t *testing.T) { eachEngine(t, testSignalsReachTheApp) }

func testSignalsReachTheApp(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGQUIT, unix.SIGALRM, unix.SIGWINCH, unix.SIGCONT, 36, 64} {
		t.Run(fmt.Sprint("handled ", int(sig)), func(t *testing.T) {
			out, status := b.interrupt(t, sig, "probe", "trap", fmt.Sprint(int(sig)))
			if want := fmt.Sprintf("got %d\n", sig); out != want || status.Code != 40 {
				t.Errorf("output %q, %v", out, status)
			}
		})
	}
	for _, sig := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR1, unix.SIGQUIT} {
		t.Run(fmt.Sprint("not handled ", int(sig)), func(t *testing.T) {
			if _, status := b.interrupt(t, sig, "probe", "sleep"); status.Signal != sig {
				t.Errorf("%v, want killed by %v", status, sig)
			}
		})
	}
	t.Run("to the whole job", func(t *testing.T) {
		if b.engine == byDirect {
			t.Skip("needs the other engine: the app is in the group that a terminal sends to")
		}
		// SIGWINCH comes from a terminal only, so the app's children get it too.
		out, status := b.interrupt(t, unix.SIGWINCH, "probe", "grouptrap", fmt.Sprint(int(unix.SIGWINCH)))
		if out != "got 28\n" || status.Code != 40 {
			t.Errorf("output %q, %v", out, status)
		}
	})
}

// interrupt sends a signal to the engine once the app is ready, and gives what the app says then.
func (b *bed) interrupt(t *testing.T, sig syscall.Signal, args ...string) (string, nsexec.Status) {
	t.Helper()
	cmd := b.command(args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready") {
		t.Fatalf("app says %q: %v", line, err)
	}
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer timer.Stop()
	rest, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(rest), finish(t, cmd, cmd.Wait())
}

func TestIgnoredSignalsStayIgnored(t *testing.T) { eachEngine(t, testIgnoredSignalsStayIgnored) }

func testIgnoredSignalsStayIgnored(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	cmd := b.command("probe", "ignored", fmt.Sprint(int(unix.SIGHUP)))
	// nohup's way: the shell ignores it and executes.
	sh := append([]string{"-c", `trap "" HUP; exec "$@"`, "sh"}, cmd.Args...)
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh"}, sh...)
	out, err := cmd.Output()
	if err != nil || string(out) != "ignored\n" {
		t.Errorf("%q, %v", out, err)
	}
}
