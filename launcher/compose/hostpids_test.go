package compose

import (
	"bufio"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/nsexec/config"
)

// withHostPids runs a test as root and as an ordinary user, in the host's pid namespace.
func withHostPids(t *testing.T, test func(t *testing.T, b *bed)) {
	t.Run("root", func(t *testing.T) { test(t, newDirectBed(t, config.Spec{Share: []string{"pid"}})) })
	t.Run("user", func(t *testing.T) {
		b := newUserBed(t, config.Spec{UID: nobodyKnown, Share: []string{"pid"}}, true)
		b.job.UID = nobodyKnown
		test(t, b)
	})
}

func TestHostPids(t *testing.T) {
	withHostPids(t, func(t *testing.T, b *bed) {
		host, err := os.Readlink("/proc/self/ns/pid")
		if err != nil {
			t.Fatal(err)
		}
		if got := b.probe("link", "/proc/self/ns/pid"); got != host {
			t.Errorf("pid namespace %q, the host's is %q", got, host)
		}
		if got := b.probe("read", "/proc/1/status"); strings.Contains(got, "Name:\tflake-init") {
			t.Errorf("process 1 is ours: %q", got)
		}
		// The masks lie on this /proc as on any, and only on this one. Not every machine has an ACPI.
		if _, err := os.Stat("/proc/acpi"); err == nil {
			if got := b.probe("ls", "/proc/acpi"); got != "" {
				t.Errorf("/proc/acpi: %q", got)
			}
		}
		if got := b.probe("write", "/proc/sys/kernel/hostname"); got != "errno 30" {
			t.Errorf("write to /proc/sys: %q", got)
		}
		for want, args := range map[string][]string{"exit status 3": {"exit", "3"}, "10": {"raise", "10"}} {
			r := b.run(append([]string{"probe"}, args...)...)
			if want == "10" && r.status.Signal != unix.SIGUSR1 || want != "10" && r.status.Code != 3 {
				t.Errorf("%q: %v", args, r.status)
			}
		}
	})
}

// Nobody but our own process ends what the app leaves behind, and what it leaves when it is killed itself.
func TestHostPidsLeaveNothing(t *testing.T) {
	withHostPids(t, func(t *testing.T, b *bed) {
		if r := b.run("probe", "leave", "7"); r.status.Code != 7 {
			t.Fatalf("%v, stderr %q", r.status, r.err)
		}
		if pids := processes(t, "probe\x00leave"); len(pids) > 0 {
			t.Errorf("left behind: %q", pids)
		}
		cmd, out := b.ready(t, "probe", "grouptrap", "15")
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		go func() { // the end of the pipe: nobody has it any more
			_, _ = bufio.NewReader(out).ReadString(0)
		}()
		_ = cmd.Wait()
		gone(t, "probe\x00grouptrap")
	})
}

func TestHostPidsGetSignals(t *testing.T) {
	withHostPids(t, func(t *testing.T, b *bed) {
		cmd, out := b.ready(t, "probe", "trap", "12")
		time.Sleep(20 * time.Millisecond)
		if err := cmd.Process.Signal(syscall.SIGUSR2); err != nil {
			t.Fatal(err)
		}
		line, _ := out.ReadString('\n')
		_ = cmd.Wait()
		if line != "got 12\n" || cmd.ProcessState.ExitCode() != 40 {
			t.Errorf("%q, %v", line, cmd.ProcessState)
		}
	})
}
