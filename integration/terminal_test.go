package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// prompt is that of the shell; it is written so that it does not appear where it is set.
const prompt = "@1@ "

// shell is an interactive shell with job control, in which `probe` is the flake.
func shell(t *testing.T, s *fixture.Sandbox) *screen {
	t.Helper()
	cmd := s.Command(t.Context(), "/bin/bash", "--noprofile", "--norc", "--noediting", "-i")
	cmd.Env = append(cmd.Env, "PS1=@$((0+1))@ ", "HISTFILE=", "PATH="+s.Links+":/usr/bin:/bin")
	v := onTerminal(t, s, cmd)
	v.expect(prompt)
	v.runs("ulimit -c 0; stty -echo")
	return v
}

// runs has the shell run something to its end, and returns what it shows meanwhile.
func (v *screen) runs(line string) string {
	v.t.Helper()
	v.typed(line + "\n")
	return v.expect(prompt)
}

// settled waits until a job of the shell is in front, and its leader waits: nobody types ^Z within microseconds of fg.
func (v *screen) settled() {
	v.t.Helper()
	for range 1000 {
		front := v.front()
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(front) + "/stat")
		if err == nil && front != v.cmd.Process.Pid && strings.Contains(string(stat), ") S ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	v.t.Fatal("what is in front does not come to rest")
}

// status is that of the shell's last command.
func (v *screen) status() string {
	v.t.Helper()
	out := v.runs(`echo "<$?>"`)
	if m := regexp.MustCompile(`<(\d+)>`).FindStringSubmatch(out); m != nil {
		return m[1]
	}
	v.t.Fatalf("no status in %q", out)
	return ""
}

func TestKeysOfTheTerminal(t *testing.T) { fixture.Each(t, testKeysOfTheTerminal) }

func testKeysOfTheTerminal(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	v := shell(t, s)
	for _, key := range []struct {
		typed string
		sig   syscall.Signal
	}{{"\x03", syscall.SIGINT}, {"\x1c", syscall.SIGQUIT}} {
		n := int(key.sig)
		v.typed("probe plain " + strconv.Itoa(n) + "\n")
		v.expect("ready")
		v.typed(key.typed)
		v.expect(prompt)
		if got := v.status(); got != strconv.Itoa(128+n) {
			t.Errorf("%v: status %s", key.sig, got)
		}
		// One that handles it gets it once, and not once from each process around it.
		v.typed("probe count " + strconv.Itoa(n) + "\n")
		v.expect("ready")
		v.typed(key.typed)
		if got := v.expect(prompt); !strings.Contains(got, "times 1\r") {
			t.Errorf("%v: %q", key.sig, got)
		}
		if got := v.status(); got != "7" {
			t.Errorf("%v, handled: status %s", key.sig, got)
		}
	}
	// In a pipeline all of them get it.
	v.typed("probe wait | cat\n")
	v.expect("ready")
	v.typed("\x03")
	v.expect(prompt)
	if got := v.runs(`echo "${PIPESTATUS[*]}"`); !strings.Contains(got, "130 130") {
		t.Errorf("pipeline: %q", got)
	}
	if got := v.runs("probe exit 3; echo after"); !strings.Contains(got, "after") {
		t.Errorf("the shell does not go on: %q", got)
	}
	v.typed("probe lines\n")
	v.expect("ready")
	v.typed("some words\n")
	v.expect("read <some words>")
	v.typed("\x04") // the end of the input
	v.expect(prompt)
	if got := v.status(); got != "0" {
		t.Errorf("end of input: status %s", got)
	}
}

func TestJobControl(t *testing.T) { fixture.Each(t, testJobControl) }

func testJobControl(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	v := shell(t, s)
	v.typed("probe lines\n")
	v.expect("ready")
	for _, words := range []string{"one", "two"} {
		v.typed("\x1a")
		v.expect("Stopped")
		v.expect(prompt)
		if got := v.runs("jobs -l"); !strings.Contains(got, "Stopped") {
			t.Errorf("jobs: %q", got)
		}
		if got := v.runs("echo still $((40+2))"); !strings.Contains(got, "still 42") {
			t.Errorf("the shell has no terminal: %q", got)
		}
		v.typed("fg\n")
		v.typed(words + "\n")
		v.expect("read <" + words + ">")
		v.settled()
	}
	v.typed("quit\n")
	v.expect(prompt)
	if got := v.status(); got != "0" {
		t.Errorf("status %s", got)
	}

	v.typed("probe wait\n")
	v.expect("ready")
	v.typed("\x1a")
	v.expect("Stopped")
	v.expect(prompt)
	v.runs("bg")
	if got := v.runs("jobs"); !strings.Contains(got, "Running") {
		t.Errorf("in the background: %q", got)
	}
	v.runs("kill -TERM %1; wait %1")
	if got := v.status(); got != "143" {
		t.Errorf("killed in the background: status %s", got)
	}

	// One that reads in the background is stopped for it, and goes on in the foreground.
	v.runs("probe lines &")
	if got := v.runs("until jobs | grep Stopped; do sleep 0.1; done"); !strings.Contains(got, "Stopped") {
		t.Errorf("reading in the background: %q", got)
	}
	v.typed("fg\n")
	v.typed("three\n")
	v.expect("read <three>")
	v.typed("\x03")
	v.expect(prompt)
	// Stopped and continued by kill.
	v.runs("probe wait & p=$!; sleep 0.2")
	if got := v.runs("kill -TSTP $p; until jobs | grep Stopped; do sleep 0.1; done; kill -CONT $p; until jobs | grep Running; do sleep 0.1; done"); !strings.Contains(got, "Running") {
		t.Errorf("stopped by kill: %q", got)
	}
	// Stopped by ^Z, continued by kill: of the launcher alone, not of the job.
	v.typed("fg\n")
	v.settled()
	v.typed("\x1a")
	v.expect("Stopped")
	v.expect(prompt)
	if got := v.runs("kill -CONT $p; until jobs | grep Running; do sleep 0.1; done"); !strings.Contains(got, "Running") {
		t.Errorf("continued by kill: %q", got)
	}
	v.runs("kill -HUP $p; wait $p")
	if got := v.status(); got != "129" {
		t.Errorf("SIGHUP by kill: status %s", got)
	}
}

func TestWindowSize(t *testing.T) { fixture.Each(t, testWindowSize) }

func testWindowSize(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	v := shell(t, s)
	v.typed("probe resized\n")
	v.expect("size 80x24.")
	v.resize(101, 33)
	v.expect("size 101x33.")
	v.resize(60, 20)
	v.expect("size 60x20.")
	v.typed("\n")
	v.expect("changes 2.")
	v.expect(prompt)
}

func TestPasswordPrompt(t *testing.T) { fixture.Each(t, testPasswordPrompt) }

func testPasswordPrompt(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	v := shell(t, s)
	v.runs("stty echo")
	before := v.modes()
	v.typed("probe password\n")
	v.expect("Password: ")
	v.typed("secret words\n")
	v.expect("length 12")
	v.expect(prompt)
	if strings.Contains(v.all.String(), "secret") {
		t.Errorf("the terminal shows it: %q", v.all.String())
	}
	if v.modes() != before {
		t.Error("the terminal's modes are not back")
	}
	v.typed("echo seen-$((1+1))\n")
	if got := v.expect("seen-2"); !strings.Contains(got, "echo seen") {
		t.Errorf("no echo: %q", got)
	}
}

// killApp kills the app, not the processes around it.
func killApp(t *testing.T, outer int) {
	t.Helper()
	if err := syscall.Kill(childOf(t, childOf(t, outer)), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// An app that is killed can't put the terminal in order; it is in order all the same.
func TestTerminalOfAKilledApp(t *testing.T) { fixture.Each(t, testTerminalOfAKilledApp) }

func testTerminalOfAKilledApp(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	t.Run("modes", func(t *testing.T) {
		s := s.In(t)
		v := onTerminal(t, s, s.Command(t.Context(), s.Link("probe"), "raw"))
		before := v.modes()
		v.expect("ready")
		if v.modes() == before {
			t.Error("the app did not change the modes")
		}
		killApp(t, v.cmd.Process.Pid)
		if got := v.end(); got != "signal: killed" {
			t.Errorf("end: %s", got)
		}
		if v.modes() != before {
			t.Error("the terminal's modes are not back")
		}
	})
	t.Run("in front", func(t *testing.T) {
		s := s.In(t)
		// No job control here: nobody but the launcher takes the terminal back from a group that is gone.
		v := onTerminal(t, s, s.Command(t.Context(), "/bin/sh", "-c", s.Link("probe")+" front; echo status $?; read x; echo \"read <$x>\""))
		v.expect("in front")
		v.expect("status 137")
		v.typed("hello\n")
		v.expect("read <hello>")
		if got := v.end(); got != "exit status 0" {
			t.Errorf("end: %s", got)
		}
	})
	t.Run("the shell goes on", func(t *testing.T) {
		s := s.In(t)
		v := shell(t, s)
		before := v.modes()
		v.typed("probe raw & fg >/dev/null\n")
		v.expect("ready")
		killApp(t, v.front()) // the job's group is that of the launcher
		v.expect(prompt)
		if got := v.status(); got != "137" {
			t.Errorf("status %s", got)
		}
		if v.modes() != before {
			t.Error("the terminal's modes are not back")
		}
	})
}

// edits writes a file with a full-screen editor, as a person does.
func edits(t *testing.T, s *fixture.Sandbox, editor string) {
	t.Helper()
	s = s.With("TERM=xterm")
	v := shell(t, s)
	before := v.modes()
	v.typed(editor + " letter.txt\n")
	v.expect("letter.txt") // its status line
	v.typed("dear reader,")
	v.expect("reader")
	v.typed("\rthe end\r")
	v.typed("\x0bx") // ^K X saves and leaves
	v.expect(prompt)
	if got := v.status(); got != "0" {
		t.Errorf("%s ends with status %s", editor, got)
	}
	text, err := os.ReadFile(filepath.Join(s.Home, "letter.txt"))
	if err != nil || string(text) != "dear reader,\nthe end\n" {
		t.Errorf("the file: %q, %v", text, err)
	}
	if v.modes() != before {
		t.Error("the terminal's modes are not back")
	}
}

// Signals that somebody sends to the launcher are the app's.
func TestSignalsByKill(t *testing.T) { fixture.Each(t, testSignalsByKill) }

func testSignalsByKill(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGUSR1, unix.SIGINT, unix.SIGWINCH} {
		v := onTerminal(t, s, s.Command(t.Context(), s.Link("probe"), "count", strconv.Itoa(int(sig))))
		v.expect("ready")
		if err := v.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		v.expect("times 1\r")
		if got := v.end(); got != "exit status 7" {
			t.Errorf("%v: %s", sig, got)
		}
	}
	// However many are sent at once, the app gets at least one.
	v := onTerminal(t, s, s.Command(t.Context(), s.Link("probe"), "count", "10"))
	v.expect("ready")
	for range 20 {
		if err := v.cmd.Process.Signal(unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	v.expect("times ")
	if got := v.end(); got != "exit status 7" {
		t.Errorf("many: %s", got)
	}
}
