package compose

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
)

func TestOrphansAreReaped(t *testing.T) { eachEngine(t, testOrphansAreReaped) }

func testOrphansAreReaped(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	if got := b.probe("orphans", "50"); got != "2" {
		t.Errorf("%s processes after all orphans died, want init and the app", got)
	}
}

func TestWhatStaysBehindIsKilled(t *testing.T) { eachEngine(t, testWhatStaysBehindIsKilled) }

func testWhatStaysBehindIsKilled(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	if r := b.run("probe", "leave", "7"); r.status.Code != 7 {
		t.Fatalf("%v, stderr %q", r.status, r.err)
	}
	if pids := processes(t, "probe\x00leave"); len(pids) > 0 {
		t.Errorf("left behind: %q", pids)
	}
}

func TestKilledEngineTakesTheAppAlong(t *testing.T) { eachEngine(t, testKilledEngineTakesTheAppAlong) }

func testKilledEngineTakesTheAppAlong(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	cmd := b.command("probe", "sleep", "killed-engine")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The pipe ends only when nobody of the container holds it any more.
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	gone(t, "killed-engine")
	if b.engine == byLibcontainer && len(b.left()) != 1 {
		t.Errorf("state: %q", b.left())
	}
	b.probe("exit", "0")
	if left := b.left(); len(left) > 0 {
		t.Errorf("the next start did not sweep %q", left)
	}
}

// At whatever moment the engine is killed, nothing but a directory is left, and that only until the next start.
func TestKilledAtAnyMoment(t *testing.T) { eachEngine(t, testKilledAtAnyMoment) }

func testKilledAtAnyMoment(t *testing.T, newBed bedMaker) {
	if testing.Short() {
		t.Skip("needs a while: kills an engine at many moments")
	}
	b := newBed(t, config.Spec{})
	for after := time.Duration(0); after < 60*time.Millisecond; after += 1500 * time.Microsecond {
		cmd := b.command("probe", "sleep", "any-moment")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	b.probe("exit", "0")
	gone(t, "any-moment")
	gone(t, b.state)
	if left := b.left(); len(left) > 0 {
		t.Errorf("not swept: %q", left)
	}
}

// gone waits until no process has word in its command line.
func gone(t *testing.T, word string) {
	t.Helper()
	var pids []string
	for range 200 {
		if pids = processes(t, word); len(pids) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("still there: %q", pids)
}

func TestReaderThatLeavesEndsTheApp(t *testing.T) { eachEngine(t, testReaderThatLeavesEndsTheApp) }

func testReaderThatLeavesEndsTheApp(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	yes := exec.Command("yes", strings.Repeat("y", 100))
	app := b.command("probe", "cat")
	head := exec.Command("head", "-n1")
	pipe(t, yes, app)
	pipe(t, app, head)
	var out strings.Builder
	head.Stdout = &out
	for _, c := range []*exec.Cmd{yes, app, head} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		closeParent(c)
	}
	if err := head.Wait(); err != nil {
		t.Error(err)
	}
	timer := time.AfterFunc(20*time.Second, func() { app.Process.Kill() })
	defer timer.Stop()
	status := finish(t, app, app.Wait())
	_ = yes.Wait()
	// A probe that sees EPIPE exits with 1; one that does not handle the signal is killed by it.
	if status.Signal != unix.SIGPIPE {
		t.Errorf("app %v", status)
	}
	if len(out.String()) != 101 {
		t.Errorf("head got %d bytes", out.Len())
	}
}

// pipe connects two commands by a pipe that the test itself does not hold on to.
func pipe(t *testing.T, from, to *exec.Cmd) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from.Stdout, to.Stdin = w, r
}

func closeParent(c *exec.Cmd) {
	for _, f := range []any{c.Stdin, c.Stdout} {
		if file, ok := f.(*os.File); ok {
			file.Close()
		}
	}
}

func TestDescriptorsOfTheCallerArePassedAsTheyAre(t *testing.T) {
	eachEngine(t, testDescriptorsOfTheCallerArePassedAsTheyAre)
}

func testDescriptorsOfTheCallerArePassedAsTheyAre(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{UID: 1234})
	name := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Chown(name, 4321, 4321); err != nil {
		t.Fatal(err)
	}
	cmd := b.command("probe", "args", "x")
	cmd.Stdout = f
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(name)
	if st.Uid != 4321 || string(data) != "<x>\n" {
		t.Errorf("owner %d, content %q: redirected output must stay its owner's", st.Uid, data)
	}
	if got := b.probe("fds"); got != "0\n1\n2\n3" { // 3 is the listing itself
		t.Errorf("the app holds descriptors %q", got)
	}
}

func TestScratchIsRemovedAfterTheEnd(t *testing.T) {
	b := newBed(t, config.Spec{})
	b.job.Writable = "disk"
	b.job.Scratch = t.TempDir()
	if got := b.probe("write", "/etc/kept"); got != "ok" {
		t.Fatal(got)
	}
	if got := b.probe("read", "/etc/kept"); got != "x" {
		t.Errorf("a kept writable part holds %q", got)
	}
	b.job.RemoveScratch = true
	if got := b.probe("read", "/etc/kept"); got != "x" {
		t.Errorf("a kept writable part holds %q", got)
	}
	if _, err := os.Stat(b.job.Scratch); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("scratch directory: %v", err)
	}
	if r := b.run("probe"); r.status.Code != nsexec.CodeLauncher {
		t.Errorf("without its scratch directory: %v", r.status)
	}
}
