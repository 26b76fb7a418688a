package initproc

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var initBinary string

// TestMain compiles the very C files of this directory, whatever was built before.
func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "flake-init-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for _, cc := range []string{"musl-gcc", "gcc", "cc"} {
		if _, err := exec.LookPath(cc); err != nil {
			continue
		}
		initBinary = filepath.Join(dir, "init")
		sources, _ := filepath.Glob("*.c")
		args := append([]string{"-std=gnu11", "-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o", initBinary}, sources...)
		out, err := exec.Command(cc, args...).CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", cc, err, out)
			return 1
		}
		break
	}
	return m.Run()
}

// session is one run of init, here as an ordinary child and not as PID 1.
type session struct {
	cmd     *exec.Cmd
	reports *os.File
	out     *bufio.Reader
}

func start(t *testing.T, blob []byte) *session {
	t.Helper()
	if initBinary == "" {
		t.Skip("needs a C compiler")
	}
	name := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(name, blob, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	cmd := exec.Command(initBinary, "3", "4")
	cmd.ExtraFiles = []*os.File{f, w}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		timer.Stop()
		cmd.Process.Kill()
		cmd.Wait()
		r.Close()
	})
	return &session{cmd, r, bufio.NewReader(out)}
}

// fate is the report that counts.
func (s *session) fate(t *testing.T) Report {
	t.Helper()
	for {
		r, err := ReadReport(s.reports)
		if err != nil {
			t.Fatalf("no report: %v", err)
		}
		if r.Kind != Started {
			return r
		}
	}
}

func program(t *testing.T, p Program) []byte {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProgramsThatAreBroken(t *testing.T) {
	good := program(t, Program{Args: []string{"/bin/true"}})
	blob := func(records ...[]byte) []byte {
		b := make([]byte, headerSize)
		for _, r := range records {
			b = append(b, r...)
		}
		binary.NativeEndian.PutUint32(b, magic)
		binary.NativeEndian.PutUint32(b[4:], uint32(len(b)))
		return b
	}
	long := record(nil, opEnv, []byte("A=1\x00"))
	binary.NativeEndian.PutUint32(long[4:], 0xfffffff0)
	for name, tc := range map[string]struct {
		blob  []byte
		stage string
		errno syscall.Errno
	}{
		"empty":                      {nil, "read the program", unix.EPROTO},
		"cut in the header":          {good[:7], "read the program", unix.EPROTO},
		"cut at the end":             {good[:len(good)-1], "read the program", unix.EPROTO},
		"longer than it says":        {append(good[:len(good):len(good)], 0), "read the program", unix.EPROTO},
		"wrong magic":                {append([]byte("XXXX"), good[4:]...), "read the program", unix.EPROTO},
		"no app":                     {blob(record(nil, opNoPrivs, nil)), "read the program", unix.EPROTO},
		"unknown operation":          {blob(record(nil, 1000, nil)), "operation 1000", unix.EPROTO},
		"record beyond the end":      {blob(long), "read the environment", unix.EPROTO},
		"environment without an end": {blob(record(nil, opEnv, []byte("A=1"))), "read the environment", unix.EPROTO},
		"no words":                   {blob(record(nil, opRun, nil)), "fork the app", unix.EPROTO},
		"two descriptors":            {blob(record(nil, opStdio, make([]byte, 8))), "place standard input and output", unix.EPROTO},
		"descriptor that is closed":  {program(t, Program{Stdio: [3]int{77, 1, 2}, Args: []string{"x"}}), "place standard input and output", unix.EBADF},
		"half an instruction":        {program(t, Program{NoNewPrivs: true, Filters: [][]byte{{1, 2, 3}}, Args: []string{"x"}}), "load seccomp filter", unix.EPROTO},
		"empty filter":               {program(t, Program{NoNewPrivs: true, Filters: [][]byte{{}}, Args: []string{"x"}}), "load seccomp filter", unix.EPROTO},
		"filter that is none":        {program(t, Program{NoNewPrivs: true, Filters: [][]byte{make([]byte, 8)}, Args: []string{"x"}}), "load seccomp filter", unix.EINVAL},
		"death signal that is none":  {program(t, Program{DeathSignal: 1000, Args: []string{"x"}}), "follow the engine", unix.EINVAL},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, tc.blob)
			r := s.fate(t)
			if r.Kind != Failed || r.Exec || r.Stage != tc.stage || r.Errno != tc.errno {
				t.Errorf("%+v", r)
			}
			var exit *exec.ExitError
			if err := s.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 125 {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSearchOfTheCommand(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	file("first/tool", "#!/bin/sh\nexit 1\n", 0o755)
	file("second/tool", "#!/bin/sh\nexit 2\n", 0o755)
	file("plain/tool", "#!/bin/sh\n", 0o644)
	file("broken/tool", "#!/no/such/shell\n", 0o755)
	file("noshebang/tool", "exit 3\n", 0o755)
	in := func(dirs ...string) []string {
		for i, d := range dirs {
			if d != "" && d[0] != '/' {
				dirs[i] = filepath.Join(dir, d)
			}
		}
		return []string{"PATH=" + strings.Join(dirs, ":")}
	}
	for name, tc := range map[string]struct {
		env    []string
		cmd    string
		code   int
		errno  syscall.Errno
		exists bool
	}{
		"the first that has it":         {in("/none", "first", "second"), "tool", 1, 0, false},
		"one that can't be executed":    {in("plain", "second"), "tool", 2, 0, false},
		"only one that can't":           {in("plain", "/none"), "tool", 0, unix.EACCES, false},
		"none":                          {in("/none", "/"), "tool", 0, unix.ENOENT, false},
		"empty PATH":                    {[]string{"PATH="}, "tool", 0, unix.ENOENT, false},
		"a file in PATH":                {in("first/tool", "second"), "tool", 2, 0, false},
		"interpreter missing":           {in("broken", "second"), "tool", 0, unix.ENOENT, true},
		"script that no kernel runs":    {in("noshebang", "second"), "tool", 0, unix.ENOEXEC, false},
		"PATH is not looked at":         {in("first"), filepath.Join(dir, "second/tool"), 2, 0, false},
		"no PATH: the default":          {nil, "true", 0, 0, false},
		"a directory":                   {nil, dir, 0, unix.EACCES, false},
		"empty name":                    {in("first"), "", 0, unix.ENOENT, false},
		"only the first PATH counts":    {append(in("second"), in("first")...), "tool", 2, 0, false},
		"a variable that looks like it": {append([]string{"XPATH=" + dir + "/first"}, in("second")...), "tool", 2, 0, false},
		"very long name":                {in("first"), strings.Repeat("x", 5000), 0, unix.ENOENT, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, program(t, Program{Env: tc.env, Args: []string{tc.cmd}}))
			r := s.fate(t)
			if tc.errno != 0 {
				if r.Kind != Failed || !r.Exec || r.Errno != tc.errno || r.Exists != tc.exists {
					t.Errorf("%+v", r)
				}
			} else if r.Kind != Ended || r.Wait.ExitStatus() != tc.code {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestSignals(t *testing.T) {
	loop := func(body string) Program {
		return Program{OwnGroup: true, Args: []string{"/bin/sh", "-c", body + `; echo ready; while :; do sleep 0.05; done`}}
	}
	ready := func(t *testing.T, s *session) {
		t.Helper()
		if line, err := s.out.ReadString('\n'); line != "ready\n" {
			t.Fatalf("%q, %v", line, err)
		}
	}
	t.Run("handled by the app", func(t *testing.T) {
		s := start(t, program(t, loop(`trap 'exit 41' USR1`)))
		ready(t, s)
		_ = s.cmd.Process.Signal(unix.SIGUSR1)
		if r := s.fate(t); r.Wait.ExitStatus() != 41 {
			t.Errorf("%+v", r)
		}
	})
	t.Run("deadly for the app", func(t *testing.T) {
		s := start(t, program(t, loop(`:`)))
		ready(t, s)
		_ = s.cmd.Process.Signal(unix.SIGTERM)
		if r := s.fate(t); !r.Wait.Signaled() || r.Wait.Signal() != unix.SIGTERM {
			t.Errorf("%+v", r)
		}
		if err := s.cmd.Wait(); s.cmd.ProcessState.ExitCode() != 128+15 {
			t.Errorf("init itself: %v", err)
		}
	})
	t.Run("not blocked in the app", func(t *testing.T) {
		// What is ignored is the caller's affair: a shell's background job ignores SIGINT.
		s := start(t, program(t, Program{Args: []string{"/bin/sh", "-c", "grep SigBlk /proc/self/status"}}))
		out, _ := io.ReadAll(s.out)
		if strings.Count(string(out), "0000000000000000") != 1 {
			t.Errorf("%s", out)
		}
		s.fate(t)
	})
}

func TestPipeEndsWithTheApp(t *testing.T) {
	// What init itself holds open must not keep a reader waiting.
	s := start(t, program(t, Program{Args: []string{"/bin/sh", "-c", "exec >&-; sleep 60"}}))
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, s.out)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the pipe is still open")
	}
}

func TestEngineThatIsGone(t *testing.T) {
	if initBinary == "" {
		t.Skip("needs a C compiler")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	name := filepath.Join(t.TempDir(), "blob")
	touched := filepath.Join(t.TempDir(), "touched")
	blob := program(t, Program{DeathSignal: unix.SIGKILL, Args: []string{"/bin/touch", touched}})
	if err := os.WriteFile(name, blob, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(initBinary, "3", "4")
	cmd.ExtraFiles = []*os.File{f, w}
	_ = cmd.Run()
	if _, err := os.Stat(touched); err == nil || cmd.ProcessState.ExitCode() != 125 {
		t.Errorf("the app ran although nobody waits for it: %v", cmd.ProcessState)
	}
}

func TestAppInheritsNothingButStdio(t *testing.T) {
	s := start(t, program(t, Program{Args: []string{"/bin/ls", "/proc/self/fd"}}))
	out, _ := io.ReadAll(s.out)
	if string(out) != "0\n1\n2\n3\n" { // 3 is the listing itself
		t.Errorf("%q", out)
	}
	s.fate(t)
}
