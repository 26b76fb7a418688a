package nsexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"
)

// watched is one run of a confined script.
type watched struct {
	limits Confined
	files  []*os.File
	path   string
	env    string

	process *os.Process
	reason  atomic.Pointer[string] // of the first that stopped it
}

// look is how often its processes are counted.
const look = 50 * time.Millisecond

func (w *watched) run(ctx context.Context) ([]byte, error) {
	// The kernel kills it with the thread that started it, should we be killed.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, outWrite, err := os.Pipe()
	if err != nil {
		return nil, &DirectError{"make pipe", err}
	}
	defer out.Close()
	said, saidWrite, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(&DirectError{"make pipe", err}, outWrite.Close())
	}
	defer said.Close()
	cmd := &exec.Cmd{
		Path: w.path, Args: []string{confinedSpeaker}, Env: []string{w.env}, ExtraFiles: w.files, Stdout: outWrite, Stderr: saidWrite,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}
	err = cmd.Start()
	err = errors.Join(err, outWrite.Close(), saidWrite.Close())
	if err != nil {
		return nil, &DirectError{"start it", err}
	}
	w.process = cmd.Process
	stdout, stderr := w.attend(ctx, out, said)
	status := cmd.Wait()
	if reason := w.reason.Load(); reason != nil {
		return nil, &ConfinedError{Reason: *reason}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if status != nil {
		return nil, w.failure(cmd.ProcessState, stdout, stderr)
	}
	return stdout, nil
}

// stop kills all of it: PID 1 dies with the process that we know, and the others with PID 1.
func (w *watched) stop(reason string) {
	if reason != "" {
		w.reason.CompareAndSwap(nil, &reason)
	}
	_ = w.process.Kill() // it may have ended
}

// attend reads what it prints until nobody of it is left to print, and stops it at its limits.
func (w *watched) attend(ctx context.Context, out, said *os.File) (stdout, stderr []byte) {
	ctx, cancel := context.WithTimeoutCause(ctx, w.limits.Patience, errPatience)
	defer cancel()
	over := make(chan struct{})
	var attending, readers sync.WaitGroup
	attending.Go(func() { w.guard(ctx, over) })
	readers.Go(func() {
		var more bool
		if stdout, more = take(out, w.limits.Output); more {
			w.stop(fmt.Sprintf("printed more than %d MB", w.limits.Output>>20))
		}
		_, _ = io.Copy(io.Discard, out)
	})
	readers.Go(func() {
		stderr, _ = take(said, 4096)
		_, _ = io.Copy(io.Discard, said)
	})
	readers.Wait()
	close(over)
	attending.Wait()
	return stdout, stderr
}

var errPatience = errors.New("patience is over")

func take(r io.Reader, limit int64) (b []byte, more bool) {
	b, _ = io.ReadAll(io.LimitReader(r, limit+1)) // what a dead writer leaves is all there is
	if int64(len(b)) > limit {
		return b[:limit], true
	}
	return b, false
}

// guard stops it when its time is over, or its processes are too many or too large.
func (w *watched) guard(ctx context.Context, over <-chan struct{}) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-ctx.Done():
			reason := ""
			if context.Cause(ctx) == errPatience {
				reason = fmt.Sprintf("is still running after %v", w.limits.Patience)
			}
			w.stop(reason)
			<-over
			return
		case <-tick.C:
			n, resident := usage(w.process.Pid)
			switch {
			case n-2 > w.limits.Processes: // without the outer process and PID 1
				w.stop(fmt.Sprintf("started more than %d processes", w.limits.Processes))
			case resident > w.limits.Memory:
				w.stop(fmt.Sprintf("used more than %d MB of memory", w.limits.Memory>>20))
			}
		}
	}
}

// usage counts a process with all below it, and their resident memory. Where the kernel does not tell children, only the
// limits of each process count.
func usage(pid int) (n int, resident int64) {
	n = 1
	dir := "/proc/" + strconv.Itoa(pid)
	if b, err := os.ReadFile(dir + "/statm"); err == nil {
		if fields := strings.Fields(string(b)); len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			resident = pages * int64(os.Getpagesize())
		}
	}
	tasks, err := os.ReadDir(dir + "/task")
	if err != nil {
		return n, resident
	}
	for _, t := range tasks {
		b, err := os.ReadFile(dir + "/task/" + t.Name() + "/children")
		if err != nil {
			continue
		}
		for _, child := range strings.Fields(string(b)) {
			if id, err := strconv.Atoi(child); err == nil {
				more, size := usage(id)
				n, resident = n+more, resident+size
			}
		}
	}
	return n, resident
}

// failure puts into words how it ended, with what it said itself.
func (w *watched) failure(state *os.ProcessState, stdout, stderr []byte) error {
	first, rest, _ := bytes.Cut(stderr, []byte("\n"))
	if own, ok := bytes.CutPrefix(first, []byte(confinedSpeaker+": ")); ok && state.ExitCode() >= CodeLauncher {
		if state.ExitCode() != CodeLauncher { // the words are those of apps in images
			return &ConfinedError{Reason: strings.Replace(string(own), "in the image", "on this host", 1)}
		}
		fix, _ := bytes.CutPrefix(bytes.TrimSpace(rest), []byte(confinedSpeaker+": remedy: "))
		return &ConfinedError{Reason: string(own), Own: true, Fix: string(fix)}
	}
	reason := fmt.Sprintf("ended with status %d", state.ExitCode())
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		reason = fmt.Sprintf("was killed by signal %d (%v)", ws.Signal(), ws.Signal())
	}
	said := lastLine(stderr)
	if said == "" {
		said = lastLine(stdout[max(0, len(stdout)-4096):]) // rpm reports there
	}
	if said != "" {
		reason += ": " + said
	}
	return &ConfinedError{Reason: reason}
}

// lastLine is the last line of a text, fit for a message.
func lastLine(b []byte) string {
	b = bytes.TrimSpace(b)
	b = b[bytes.LastIndexByte(b, '\n')+1:]
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\uFFFD' {
			return '?'
		}
		return r
	}, string(b[:min(len(b), 200)]))
	return text
}
