package nsexec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Environment by which the test binary becomes what a test needs as a child.
const (
	exitWith = "FLAKE_TEST_EXIT"   // end by Exit: "code" or "-signal"
	execSelf = "FLAKE_TEST_EXEC"   // ExecEngine on ourselves
	asEngine = "FLAKE_TEST_ENGINE" // print what an engine gets
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asEngine) != "":
		plan := make([]byte, 64)
		n, _ := os.NewFile(PlanFD, "plan").Read(plan)
		fmt.Printf("%q %q %q", os.Args[1:], plan[:n], os.Getenv("_LIBCONTAINER_INITPIPE")+os.Getenv("KEPT"))
		os.Exit(0)
	case os.Getenv(execSelf) != "":
		os.Setenv(asEngine, "1")
		plan, err := os.Open(os.Getenv(execSelf))
		if err != nil {
			panic(err)
		}
		panic(ExecEngine("/proc/self/exe", plan, []string{"--", "init", ""}))
	case os.Getenv(exitWith) != "":
		n, _ := strconv.Atoi(os.Getenv(exitWith))
		if n < 0 {
			Exit(Status{Signal: syscall.Signal(-n)})
		}
		Exit(Status{Code: n})
	}
	os.Exit(m.Run())
}

func child(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), env...)
	cmd.Dir = t.TempDir() // a core file would show up here
	return cmd
}

func TestExitIsSeenAsTheAppsOwn(t *testing.T) {
	for _, want := range []Status{
		{}, {Code: 1}, {Code: 125}, {Code: 255},
		{Signal: syscall.SIGTERM}, {Signal: syscall.SIGKILL}, {Signal: syscall.SIGINT}, {Signal: syscall.SIGHUP},
		{Signal: syscall.SIGPIPE}, {Signal: syscall.SIGQUIT}, {Signal: syscall.SIGSEGV}, {Signal: syscall.SIGABRT},
		{Signal: syscall.SIGPROF}, {Signal: 34}, {Signal: 64},
	} {
		t.Run(want.String(), func(t *testing.T) {
			n := want.Code
			if want.Signal != 0 {
				n = -int(want.Signal)
			}
			cmd := child(t, exitWith+"="+strconv.Itoa(n))
			var stderr strings.Builder
			cmd.Stderr = &stderr
			_ = cmd.Run()
			ws := cmd.ProcessState.Sys().(syscall.WaitStatus)
			if n == 0 && !cmd.ProcessState.Success() || StatusOf(ws) != want || ws.CoreDump() || stderr.String() != "" {
				t.Errorf("%v, core %v, stderr %q", StatusOf(ws), ws.CoreDump(), stderr.String())
			}
			if left, _ := os.ReadDir(cmd.Dir); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

func TestExecEngine(t *testing.T) {
	plan := t.TempDir() + "/plan"
	if err := os.WriteFile(plan, []byte("the plan"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A caller must not be able to make an engine believe that libcontainer re-executed it.
	cmd := child(t, execSelf+"="+plan, "_LIBCONTAINER_INITPIPE=5", "KEPT=yes")
	out, err := cmd.CombinedOutput()
	if want := `["run" "--" "init" ""] "the plan" "yes"`; err != nil || string(out) != want {
		t.Errorf("%s, %v; want %s", out, err, want)
	}
}

func TestEngineThatIsNotThere(t *testing.T) {
	err := error(&EngineError{Path: "/x", Err: syscall.ENOENT})
	if !errors.Is(err, fs.ErrNotExist) || ExitCode(err) != CodeLauncher {
		t.Errorf("%v: %d", err, ExitCode(err))
	}
}

func TestExitCodes(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want int
	}{
		"none":                  {nil, 0},
		"anything":              {errors.New("x"), 125},
		"missing":               {&ExecError{Target: "x", Errno: syscall.ENOENT}, 127},
		"missing, wrapped":      {fmt.Errorf("start: %w", &ExecError{Target: "x", Errno: syscall.ENOTDIR}), 127},
		"no interpreter":        {&ExecError{Target: "x", Errno: syscall.ENOENT, Exists: true}, 127},
		"not executable":        {&ExecError{Target: "x", Errno: syscall.EACCES}, 126},
		"not a program":         {&ExecError{Target: "x", Errno: syscall.ENOEXEC}, 126},
		"too many arguments":    {&ExecError{Target: "x", Errno: syscall.E2BIG}, 126},
		"a file of our own":     {&fs.PathError{Op: "open", Path: "x", Err: syscall.ENOENT}, 125},
		"an engine's absence":   {&EngineError{Path: "x", Err: syscall.ENOENT}, 125},
		"an engine's lack of x": {&EngineError{Path: "x", Err: syscall.EACCES}, 125},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ExitCode(tc.err); got != tc.want {
				t.Errorf("%d, want %d", got, tc.want)
			}
		})
	}
}

func TestExecErrorsAreOneLineAndHaveARemedy(t *testing.T) {
	var seen []string
	for _, e := range []*ExecError{
		{Target: "a\nb", Errno: syscall.ENOENT}, {Target: "x", Errno: syscall.ENOENT, Exists: true},
		{Target: "x", Errno: syscall.EACCES}, {Target: "x", Errno: syscall.ENOEXEC}, {Target: "x", Errno: syscall.E2BIG},
	} {
		for _, s := range []string{e.Error(), e.Remedy()} {
			if s == "" || strings.Contains(s, "\n") {
				t.Errorf("%q", s)
			}
		}
		seen = append(seen, e.Remedy())
	}
	if diff := cmp.Diff(len(seen), 5); diff != "" {
		t.Error(diff)
	}
}
