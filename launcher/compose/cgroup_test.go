package compose

import (
	"bufio"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// A description with a cgroup gets one, which is gone after the end and after a crash.
func TestLeafOfALimitedStart(t *testing.T) {
	b := newBed(t, config.Spec{})
	var c map[string]any
	if err := json.Unmarshal(b.job.Config, &c); err != nil {
		t.Fatal(err)
	}
	c["cgroups"] = map[string]any{"path": "/flake-launcher-test", "pids_limit": 20}
	var err error
	if b.job.Config, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	before := leaves(t)
	if r := b.run("probe", "exit", "5"); r.status.Code != 5 {
		if strings.Contains(r.err, "cgroup") {
			t.Skipf("needs cgroups that can be written to: %s", r.err)
		}
		t.Fatalf("%v, %q", r.status, r.err)
	}
	if after := leaves(t); after != before {
		t.Errorf("%d cgroups before the start, %d after it", before, after)
	}
	cmd, _ := b.ready(t, "probe", "sleep", "limited")
	if during := leaves(t); during == before {
		t.Error("no cgroup for a start with a limit")
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	gone(t, "probe\x00sleep\x00limited")
	b.run("probe", "exit", "0")
	if after := leaves(t); after != before {
		t.Errorf("%d cgroups before a crash, %d after the next start", before, after)
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
