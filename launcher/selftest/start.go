package selftest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The size of the terminals that are made.
const columns, lines = 97, 31

// streams are the three descriptors of a start: pipes, or a terminal.
type streams struct {
	terminal [3]bool
	stdin    []byte
}

// result is how a start ended.
type result struct {
	stdout, stderr []byte
	status         int
	signal         syscall.Signal
	err            error
}

func (r result) String() string {
	if r.signal != 0 {
		return fmt.Sprintf("signal %d", int(r.signal))
	}
	return fmt.Sprintf("status %d", r.status)
}

// start runs the probe one way, under the conditions.
func (t *Test) start(ctx context.Context, s side, at streams, args ...string) result {
	argv := append(append([]string{"under"}, conditions...), "--", s.file, s.argv0)
	cmd := exec.CommandContext(ctx, t.Probe, append(argv, args...)...)
	cmd.Env = environ()
	cmd.WaitDelay = 10 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(at.stdin), &out, &errs
	var screen *terminal
	if at.terminal != [3]bool{} {
		var err error
		if screen, err = newTerminal(); err != nil {
			return result{err: err}
		}
		defer screen.close()
		if at.terminal[0] {
			cmd.Stdin = screen.user
		}
		if at.terminal[1] {
			cmd.Stdout = screen.user
		}
		if at.terminal[2] {
			cmd.Stderr = screen.user
		}
	}
	r := ended(cmd, cmd.Run())
	r.stdout, r.stderr = out.Bytes(), errs.Bytes()
	if screen != nil && at.terminal[1] {
		r.stdout = screen.rest()
	}
	if ctx.Err() != nil {
		r.err = ctx.Err()
	}
	return r
}

// ended tells how a command did.
func ended(cmd *exec.Cmd, err error) (r result) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.err = err
	}
	if cmd.ProcessState == nil {
		return r
	}
	ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		r.signal = ws.Signal()
	} else {
		r.status = ws.ExitStatus()
	}
	return r
}

// terminal is a pseudo terminal without any conversion of what goes through.
type terminal struct {
	ours, user *os.File
	done       chan []byte
}

func newTerminal() (_ *terminal, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	t := &terminal{ours: os.NewFile(uintptr(fd), "/dev/ptmx"), done: make(chan []byte, 1)}
	defer func() {
		if err != nil {
			t.ours.Close()
		}
	}()
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	path := fmt.Sprintf("/dev/pts/%d", n)
	user, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	t.user = os.NewFile(uintptr(user), path)
	modes, err := unix.IoctlGetTermios(user, unix.TCGETS)
	if err == nil {
		modes.Oflag &^= unix.OPOST
		modes.Lflag &^= unix.ECHO | unix.ICANON
		err = errors.Join(unix.IoctlSetTermios(user, unix.TCSETS, modes),
			unix.IoctlSetWinsize(user, unix.TIOCSWINSZ, &unix.Winsize{Row: lines, Col: columns}))
	}
	if err != nil {
		t.user.Close()
		return nil, fmt.Errorf("set modes of a terminal: %w", err)
	}
	go func() {
		b, _ := io.ReadAll(t.ours) // ends with EIO when nobody has the other end any more
		t.done <- b
	}()
	return t, nil
}

// rest is all that was written, once its writers are gone.
func (t *terminal) rest() []byte {
	t.user.Close()
	_ = t.ours.SetReadDeadline(time.Now().Add(10 * time.Second))
	return <-t.done
}

func (t *terminal) close() {
	t.user.Close()
	t.ours.Close()
}

// observation are the probe's words, by their keys, in its order.
type observation struct {
	keys   []string
	values map[string]string
	env    map[string]string
}

func (o *observation) add(key, value string) {
	o.keys = append(o.keys, key)
	o.values[key] = value
}

func parse(report []byte) observation {
	o := observation{values: map[string]string{}, env: map[string]string{}}
	for entry := range strings.SplitSeq(string(report), "\x00") {
		if kv, ok := strings.CutPrefix(entry, "env "); ok {
			name, value, _ := strings.Cut(kv, "=")
			if _, twice := o.env[name]; !twice {
				o.env[name] = value
			}
			continue
		}
		if key, value, ok := strings.Cut(entry, "="); ok {
			o.add(key, strings.TrimSpace(value))
		}
	}
	return o
}
