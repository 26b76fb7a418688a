package compose

import (
	"bufio"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/flake-launcher/flake-launcher/nsexec/config"
)

// The machine's own arrangement of cgroups, and the others as far as they can be pretended by mounting over it.
func TestAnyArrangementOfCgroups(t *testing.T) {
	for name, mount := range map[string]string{
		"as it is":          "true",
		"version 2 only":    "mount -t cgroup2 none /sys/fs/cgroup",
		"none mounted":      "mount -t tmpfs none /sys/fs/cgroup",
		"not even a sysfs":  "mount -t tmpfs none /sys",
		"nothing on /run":   "mount -t tmpfs none /run",
		"read-only cgroups": "mount -o remount,bind,ro /sys/fs/cgroup",
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, config.Spec{})
			cmd := b.command("probe", "args", "fine")
			inner := cmd.Args
			script := mount + ` 2>/dev/null || exit 77; exec "$@"`
			cmd.Args = append([]string{"unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"}, inner...)
			var err error
			if cmd.Path, err = exec.LookPath("unshare"); err != nil {
				t.Skipf("needs unshare: %v", err)
			}
			var errs strings.Builder
			cmd.Stderr = &errs
			out, err := cmd.Output()
			if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 77 {
				t.Skip("needs a kernel that lets this be mounted")
			}
			if err != nil || string(out) != "<fine>\n" || errs.String() != "" {
				t.Errorf("%q, %v, stderr %q", out, err, errs.String())
			}
		})
	}
}

func TestStartLeavesCgroupsAlone(t *testing.T) {
	b := newBed(t, config.Spec{})
	before := leaves(t)
	cmd, _ := b.ready(t, "probe", "sleep", "cgroups")
	app := processes(t, "probe\x00sleep\x00cgroups")
	if len(app) != 1 {
		t.Fatalf("apps: %q", app)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(filepath.Join("/proc", app[0], "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	if string(own) != string(theirs) {
		t.Errorf("the app is in %q, its caller in %q", theirs, own)
	}
	if during := leaves(t); during != before {
		t.Errorf("%d cgroups before the start, %d during it", before, during)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// limitedBed is one whose apps have limits, on a machine that can have them.
func limitedBed(t *testing.T, limits config.Limits) *bed {
	t.Helper()
	b := newBed(t, config.Spec{Limits: limits})
	if r := b.run("probe", "exit", "5"); r.status.Code != 5 {
		if strings.Contains(r.err, "limit the app") {
			t.Skipf("needs cgroups that can be written to: %s", r.err)
		}
		t.Fatalf("%v, %q", r.status, r.err)
	}
	return b
}

// A start with limits gets a cgroup, which is gone after the end and after a crash.
func TestLeafOfALimitedStart(t *testing.T) {
	before := ours(t)
	b := limitedBed(t, config.Limits{PIDs: 20})
	if after := ours(t); after != before {
		t.Errorf("%d cgroups before the start, %d after it", before, after)
	}
	cmd, _ := b.ready(t, "probe", "sleep", "limited")
	if during := ours(t); during == before {
		t.Error("no cgroup for a start with a limit")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	gone(t, "probe\x00sleep\x00limited")
	b.run("probe", "exit", "0")
	if after := ours(t); after != before {
		t.Errorf("%d cgroups before a crash, %d after the next start", before, after)
	}
}

func TestLimitsBite(t *testing.T) {
	before := ours(t)
	for name, tc := range map[string]struct {
		limits config.Limits
		args   []string
		want   func(r result) bool
	}{
		"processes below the limit": {config.Limits{PIDs: 20}, []string{"forks", "10"}, func(r result) bool { return r.out == "10\n" }},
		"processes": {config.Limits{PIDs: 20}, []string{"forks", "40"}, func(r result) bool {
			n, err := strconv.Atoi(strings.TrimSpace(r.out))
			return err == nil && n > 10 && n < 20 // PID 1 and the probe itself count
		}},
		"memory below the limit": {config.Limits{Memory: 64 << 20}, []string{"fill", "16"}, func(r result) bool { return r.out == "16\n" }},
		"memory": {config.Limits{Memory: 64 << 20}, []string{"fill", "256"}, func(r result) bool {
			return r.status.Signal == syscall.SIGKILL && r.out == ""
		}},
		"cpu": {config.Limits{MilliCPUs: 100}, []string{"burn", "500"}, func(r result) bool {
			n, err := strconv.Atoi(strings.TrimSpace(r.out)) // milliseconds of processor time
			return err == nil && n < 250
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := limitedBed(t, tc.limits)
			if r := b.run(append([]string{"probe"}, tc.args...)...); !tc.want(r) {
				t.Errorf("%q: %v, %q, %q", tc.args, r.status, r.out, r.err)
			}
		})
	}
	if after := ours(t); after != before {
		t.Errorf("%d cgroups before, %d after", before, after)
	}
}

// ready starts an app and waits for its first line.
func (b *bed) ready(t *testing.T, args ...string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := b.command(args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "ready") {
		t.Fatalf("app says %q: %v", line, err)
	}
	return cmd, r
}

// leaves counts all cgroups.
func leaves(t *testing.T) (n int) {
	t.Helper()
	err := filepath.WalkDir("/sys/fs/cgroup", func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// ours counts the cgroups of limited starts.
func ours(t *testing.T) (n int) {
	t.Helper()
	err := filepath.WalkDir("/sys/fs/cgroup", func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), "flake-launcher-") {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
