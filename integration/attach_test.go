package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// call is one call of a flake from a terminal.
type call struct {
	t    *testing.T
	cmd  *exec.Cmd
	tty  *os.File
	mu   sync.Mutex
	said bytes.Buffer
	gone chan bool // closed to have the terminal go away
	over chan bool
}

// from calls the flake `term` from a terminal of 24 lines and 80 columns.
func from(t *testing.T, s *fixture.Sandbox, args ...string) *call {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	c := &call{t: t, cmd: s.Command(ctx, s.Link("term"), args...)}
	if c.cmd.SysProcAttr == nil {
		c.cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	var err error
	if c.tty, err = pty.StartWithSize(c.cmd, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	c.gone, c.over = make(chan bool), make(chan bool)
	go c.read()
	t.Cleanup(c.hangUp)
	return c
}

// read takes what is written to the terminal. It never waits in a read, which would keep the terminal from going away.
func (c *call) read() {
	defer close(c.over)
	b := make([]byte, 4096)
	fd := int(c.tty.Fd())
	for {
		select {
		case <-c.gone:
			return
		default:
		}
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, _ := unix.Poll(p, 20); n <= 0 {
			continue
		}
		n, err := unix.Read(fd, b)
		if err != nil || n <= 0 {
			return
		}
		c.mu.Lock()
		c.said.Write(b[:n])
		c.mu.Unlock()
	}
}

// hangUp has the terminal go away.
func (c *call) hangUp() {
	select {
	case <-c.gone:
		return
	default:
	}
	close(c.gone)
	<-c.over
	c.tty.Close()
}

func (c *call) shows(what string) {
	c.t.Helper()
	eventually(c.t, "the terminal shows "+what, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return strings.Contains(c.said.String(), what)
	})
}

func (c *call) types(what string) {
	c.t.Helper()
	if _, err := c.tty.WriteString(what); err != nil {
		c.t.Fatal(err)
	}
}

// ends waits for the end of the call.
func (c *call) ends() syscall.WaitStatus {
	_ = c.cmd.Wait()
	return c.cmd.ProcessState.Sys().(syscall.WaitStatus)
}

func attached(t *testing.T, by fixture.Caller) *fixture.Sandbox {
	t.Helper()
	s := kept(t, by)
	s.Register("term", "probe", "--target", "/bin/probe", "--attach", "--profile", "isolated")
	return s
}

// The app stays when its terminal goes away, and the next call comes back to it.
func TestAttach(t *testing.T) { fixture.Each(t, testAttach) }

func testAttach(t *testing.T, by fixture.Caller) {
	s := attached(t, by)
	one := from(t, s, "cat")
	one.types("one\r")
	one.shows("one\r\none\r\n")
	one.hangUp()
	if st := one.ends(); st.Signal() != syscall.SIGHUP {
		t.Errorf("the call ended by %v", st)
	}
	two := from(t, s)
	two.types("two\r")
	two.shows("two\r\ntwo\r\n")
	if res := s.App("term", "cat"); res.Code != 125 || !strings.Contains(res.Stderr, "can't be given arguments") {
		t.Errorf("with arguments: %v", res)
	}
	two.types("still\r")
	two.shows("still\r\nstill\r\n")
	// Who calls later takes over, and the app's end is his.
	three := from(t, s)
	two.shows("another call has taken it over")
	if st := two.ends(); st.ExitStatus() != 125 {
		t.Errorf("who lost the terminal ended by %v", st)
	}
	three.types("three\r")
	three.shows("three\r\nthree\r\n")
	three.types("\x04") // not before it has its terminal in hand, which would take this for itself
	if st := three.ends(); st != 0 {
		t.Errorf("the app's end: %v", st)
	}
	// And then it starts again, in the same instance.
	four := from(t, s, "wait")
	four.shows("ready")
	four.types("\x03")
	if st := four.ends(); st.Signal() != syscall.SIGINT {
		t.Errorf("interrupted: %v", st)
	}
}

func TestAttachWindowSize(t *testing.T) { fixture.Each(t, testAttachWindowSize) }

func testAttachWindowSize(t *testing.T, by fixture.Caller) {
	s := attached(t, by)
	one := from(t, s, "size")
	one.shows("24x80")
	if err := pty.Setsize(one.tty, &pty.Winsize{Rows: 33, Cols: 111}); err != nil {
		t.Fatal(err)
	}
	one.shows("33x111")
	one.hangUp()
	_ = one.ends()
	two := from(t, s)
	two.shows("24x80")
	two.types("\r")
	if st := two.ends(); st.ExitStatus() != 5 {
		t.Errorf("%v", st)
	}
}

// Without a terminal on the caller's side nothing is lost, either.
func TestAttachInPipes(t *testing.T) { fixture.Each(t, testAttachInPipes) }

func testAttachInPipes(t *testing.T, by fixture.Caller) {
	s := attached(t, by)
	for n := range 20 {
		want := fmt.Sprintf("[\"%d\"]\r\n", n)
		if res := s.App("term", "args", fmt.Sprint(n)); res.Stdout != want || res.Code != 0 {
			t.Fatalf("%v", res)
		}
	}
	if res := s.App("term", "exit", "3"); res.Code != 3 {
		t.Errorf("%v", res)
	}
	if res := s.App("term", "raise", "9"); res.Signal != syscall.SIGKILL {
		t.Errorf("%v", res)
	}
	long := strings.Repeat(strings.Repeat("x", 70)+"\n", 20000)
	// Its echo may lack lines, as that of any terminal which is written to faster than it is read.
	res := s.ExecWith(func(cmd *exec.Cmd) { cmd.Stdin = strings.NewReader(long) }, s.Link("term"), "sum")
	if !strings.Contains(res.Stdout, fmt.Sprintf("%d ", len(long))) || res.Code != 0 {
		t.Errorf("%v", res)
	}
	if res := s.Exec("/bin/sh", "-c", s.Link("term")+" yes | head -1"); res.Stdout != "y\r\n" || res.Took > 20*time.Second {
		t.Errorf("%v", res)
	}
}

func TestAttachEndsWithItsInstance(t *testing.T) { fixture.Each(t, testAttachEndsWithItsInstance) }

func testAttachEndsWithItsInstance(t *testing.T, by fixture.Caller) {
	s := attached(t, by)
	one := from(t, s, "wait")
	one.shows("ready")
	s.MustCtl("reset", "term")
	if st := one.ends(); st.Signal() != syscall.SIGKILL {
		t.Errorf("%v", st)
	}
	two := from(t, s, "wait")
	two.shows("ready")
	two.hangUp()
	_ = two.ends()
	s.MustCtl("reset", "term")
	// Removed when the app has ended, and not when the caller goes away.
	once := s.With("FLAKE_OPTIONS=remove")
	three := from(t, once, "cat")
	three.types("x\r")
	three.shows("x\r\nx\r\n")
	three.hangUp()
	_ = three.ends()
	only(t, s)
	four := from(t, once)
	four.types("y\r") // not before the terminal is the app's
	four.shows("y\r\ny\r\n")
	four.types("\x04")
	if st := four.ends(); st != 0 {
		t.Errorf("%v", st)
	}
	if rows := instances(s); len(rows) != 0 {
		t.Errorf("%+v", rows)
	}
}
