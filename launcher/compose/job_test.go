package compose

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/flake-launcher/flake-launcher/nsexec/config"
)

// A shell with job control, on a terminal, sees a start by the direct engine as it sees any other command.
func TestShellSeesAnOrdinaryJob(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash: a shell with job control")
	}
	b := newDirectBed(t, config.Spec{})
	dir := t.TempDir()
	for name, args := range map[string][]string{"app": {"probe", "sleep", "job"}, "trap": {"probe", "trap", "2"}, "cat": {"probe", "cat"}} {
		cmd := b.command(args...)
		job, err := os.ReadFile(cmd.ExtraFiles[0].Name())
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir+"/job-"+name, string(job), 0o600)
		writeFile(t, dir+"/"+name, "#!/bin/sh\n"+asEngine+"=1 exec "+cmd.Path+" run 3<"+dir+"/job-"+name+"\n", 0o755)
	}
	sh := exec.Command(bash, "--norc", "--noprofile", "-i")
	sh.Env = append(os.Environ(), "PS1=", "PATH="+dir+":"+os.Getenv("PATH"), "TERM=dumb")
	tty, err := pty.Start(sh)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	timer := time.AfterFunc(40*time.Second, func() { sh.Process.Kill() })
	defer timer.Stop()
	s := &conversation{t, tty, bufio.NewReader(tty)}
	s.say("app\n", "ready")
	s.say("\x1a", "Stopped")
	s.say("jobs; echo listed\n", "Stopped", "listed")
	s.say("fg\n", "app")
	time.Sleep(time.Second)
	s.say("\x03", "")
	s.say("echo code $?\n", "code 130")
	s.say("trap\n", "") // the shell's own word: our command by its path
	s.say(dir+"/trap\n", "ready")
	s.say("\x03", "got 2")
	s.say("echo code $?\n", "code 40")
	s.say("cat &\n", "")
	time.Sleep(time.Second)
	s.say("jobs\n", "Stopped") // it reads from the terminal in the background
	s.say("fg\n", "cat")
	s.say("hello\n", "hello")
	s.say("\x04", "")
	s.say("echo code $?\n", "code 0")
	s.say("app & sleep 1; kill %1; wait %1; echo code $?\n", "code 143")
	s.say("exit\n", "exit")
	_ = sh.Wait()
	gone(t, "probe\x00sleep\x00job")
}

type conversation struct {
	t   *testing.T
	tty *os.File
	r   *bufio.Reader
}

// say types words and waits for answers, one after the other, on lines of their own or within.
func (c *conversation) say(words string, answers ...string) {
	c.t.Helper()
	if _, err := c.tty.WriteString(words); err != nil {
		c.t.Fatal(err)
	}
	var seen strings.Builder
	for _, a := range answers {
		for a != "" {
			line, err := c.r.ReadString('\n')
			seen.WriteString(line)
			if strings.Contains(line, a) && !strings.Contains(line, "echo") {
				break
			}
			if err != nil {
				c.t.Fatalf("after %q: no %q in %q: %v", words, a, seen.String(), err)
			}
		}
	}
	time.Sleep(50 * time.Millisecond)
}
