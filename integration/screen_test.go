package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// screen is the far side of a terminal: what a person in front of it sees and types.
type screen struct {
	t    *testing.T
	cmd  *exec.Cmd
	ours *os.File // the person's
	user *os.File // the program's

	news  chan string
	ended chan bool
	seen  string // since the last expectation that was met
	all   strings.Builder
}

// atLongest bounds an expectation; the machine may be busy with other things.
const atLongest = 45 * time.Second

func (v *screen) watch() {
	defer close(v.news)
	b := make([]byte, 4096)
	for {
		n, err := v.ours.Read(b)
		if n > 0 {
			v.news <- string(b[:n])
		}
		if err != nil {
			return
		}
	}
}

// expect waits until text is shown, behind what was expected before, and returns what came before it.
func (v *screen) expect(text string) string {
	v.t.Helper()
	limit := time.After(atLongest)
	for {
		if before, after, ok := strings.Cut(v.seen, text); ok {
			v.seen = after
			return before
		}
		select {
		case more, ok := <-v.news:
			if !ok {
				v.t.Fatalf("the terminal's end instead of %q; it shows:\n%s", text, v.all.String())
			}
			v.seen += more
			v.all.WriteString(more)
		case <-limit:
			v.t.Fatalf("no %q; the terminal shows:\n%q", text, v.all.String())
		}
	}
}

// typed sends what a person types.
func (v *screen) typed(text string) {
	v.t.Helper()
	if _, err := v.ours.WriteString(text); err != nil {
		v.t.Fatal(err)
	}
}

// modes are those of the terminal.
func (v *screen) modes() unix.Termios {
	v.t.Helper()
	m, err := unix.IoctlGetTermios(int(v.user.Fd()), unix.TCGETS)
	if err != nil {
		v.t.Fatal(err)
	}
	return *m
}

// front is the process group that has the terminal.
func (v *screen) front() (pgid int) {
	v.t.Helper()
	conn, err := v.ours.SyscallConn()
	if err != nil {
		v.t.Fatal(err)
	}
	var failed error
	err = conn.Control(func(fd uintptr) { pgid, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPGRP) })
	if err != nil || failed != nil {
		v.t.Fatal(err, failed)
	}
	return pgid
}

// end waits for the command's, and says what it was.
func (v *screen) end() string {
	v.t.Helper()
	select {
	case <-v.ended:
		return v.cmd.ProcessState.String()
	case <-time.After(atLongest):
		v.t.Fatalf("%v lives on; the terminal shows:\n%q", v.cmd.Args, v.all.String())
		return ""
	}
}

// gone takes the terminal away.
func (v *screen) gone() { v.ours.Close() }

func (v *screen) close() {
	_ = v.cmd.Process.Kill()
	<-v.ended
	v.ours.Close()
	v.user.Close()
}

// onTerminal starts a command with a terminal of its own as everything.
func onTerminal(t *testing.T, s *fixture.Sandbox, cmd *exec.Cmd) *screen {
	t.Helper()
	ours, user := openTerminal(t)
	s.By.Give(t, user.Name())
	attr := &syscall.SysProcAttr{}
	if own := s.By.Attr(); own != nil {
		attr = own
	}
	attr.Setsid, attr.Setctty = true, true
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = user, user, user, attr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v := &screen{t: t, cmd: cmd, ours: ours, user: user, news: make(chan string, 4096), ended: make(chan bool)}
	v.resize(80, 24)
	go v.watch()
	go func() {
		_ = cmd.Wait()
		close(v.ended)
	}()
	t.Cleanup(v.close)
	return v
}

// openTerminal gives both ends of one. The person's does not block, so that it can be closed while somebody reads.
func openTerminal(t *testing.T) (ours, user *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		user, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "/dev/ptmx"), user
}

// resize changes the terminal's size.
func (v *screen) resize(columns, lines uint16) {
	v.t.Helper()
	if err := unix.IoctlSetWinsize(int(v.user.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: lines}); err != nil {
		v.t.Fatal(err)
	}
}
