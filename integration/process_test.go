package integration

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// bash runs a script in which `probe` is the flake, and `native` the same program without one.
func bash(t *testing.T, s *fixture.Sandbox, script string) *fixture.Result {
	t.Helper()
	return s.Exec("/bin/bash", "-c", "PATH="+s.Links+":$PATH; "+script)
}

// natively puts the probe's program beside the flake's link, as `native`.
func natively(t *testing.T, s *fixture.Sandbox) {
	t.Helper()
	path := filepath.Join(s.Links, "native")
	if err := os.WriteFile(path, fixture.ProbeProgram(t), 0o755); err != nil {
		t.Fatal(err)
	}
}

// A stream of any size goes by, and not through, the processes around the app.
func TestLongStream(t *testing.T) { fixture.Each(t, testLongStream) }

func testLongStream(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	size := int64(1 << 30)
	if fixture.Long() {
		size *= 5
	}
	cmd := s.Command(t.Context(), s.Link("probe"), "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() {
		block := make([]byte, 1<<20)
		var err error
		for left := size; left > 0 && err == nil; left -= int64(len(block)) {
			_, err = in.Write(block)
		}
		written <- err
	}()
	if n, err := io.CopyN(io.Discard, out, size); err != nil {
		t.Fatalf("after %d bytes: %v", n, err)
	}
	// All of it has passed, and they still run, as the app waits for more.
	outer := cmd.Process.Pid
	for name, pid := range map[string]int{"the outer process": outer, "PID 1": childOf(t, outer)} {
		if peak := highWater(t, pid); peak > 20<<10 {
			t.Errorf("%s: peak of %d KiB", name, peak)
		}
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// childOf is the only child of a process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatalf("children of %d: %q", pid, text)
	}
	return child
}

// Pipelines end as those of native programs do.
func TestPipelines(t *testing.T) { fixture.Each(t, testPipelines) }

func testPipelines(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	natively(t, s)
	for name, script := range map[string]string{
		"a reader that leaves":                 "APP yes | head -1; echo ${PIPESTATUS[0]}",
		"between two others":                   "yes | APP cat | head -1; echo ${PIPESTATUS[*]}",
		"with SIGPIPE ignored by the caller":   "trap '' PIPE; (APP yes | head -1) 2>/dev/null; echo ended",
		"a child of the app holds the pipe":    "APP leave | cat; echo ended",
		"standard error apart":                 "APP cat /nothing 2>/dev/null; echo $?; APP cat /nothing 2>&1 >/dev/null",
		"standard output closed":               "APP exit 3 >&-; echo $?",
		"standard error closed":                "APP exit 3 2>&-; echo $?",
		"all closed":                           "APP exit 3 <&- >&- 2>&-; echo $?",
		"a variable with a line break":         "X=$'a\\nb' APP env | grep -o '\"X=[^,]*'",
		"signal of its own":                    "APP raise 15; echo $?",
		"timeout":                              "timeout 0.3 APP wait; echo $?",
		"timeout, signal of another kind":      "timeout -s INT 0.3 APP wait; echo $?",
		"timeout in the foreground":            "timeout --foreground 0.3 APP wait 15; echo $?",
		"nohup":                                "nohup APP exit 4 2>/dev/null; echo $?",
		"in the background, waited for":        "APP exit 5 & wait $!; echo $?",
		"killed in the background":             "APP wait >/dev/null & sleep 0.3; kill $!; wait $!; echo $?",
		"two at once":                          "APP exit 1 & a=$!; APP exit 2 & b=$!; wait $a; echo $?; wait $b; echo $?",
		"umask":                                "umask 027; d=$(mktemp -d -p .); APP write $d/f x; stat -c %a $d/f",
		"a file of the caller's, redirected":   "d=$(mktemp -d -p .); echo in >$d/f; APP cat <$d/f >>$d/g; cat $d/g",
		"reading and writing one after other":  "printf 'a\\nb\\n' | { APP exit 0; cat; }",
		"command substitution":                 "echo $(APP cat /proc/sys/kernel/ostype)",
		"a child in the substitution's pipe":   "x=$(APP leave); echo \"ended $?\"",
		"process substitution as standard fds": "APP cat < <(echo hi) > >(tr h H); wait $!",
	} {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			got := bash(t, s, strings.ReplaceAll(script, "APP", "probe"))
			if name == "a child of the app holds the pipe" || name == "a child in the substitution's pipe" {
				// Natively that child would live on, and a reader wait for it.
				if !strings.HasSuffix(got.Stdout, "ended\n") && !strings.HasSuffix(got.Stdout, "ended 0\n") || got.Took > 20*time.Second {
					t.Errorf("%v", got)
				}
				return
			}
			want := bash(t, s, strings.ReplaceAll(script, "APP", "native"))
			if got.Stdout != want.Stdout || got.Code != want.Code {
				t.Errorf("natively: %v\nthrough the flake: %v", want, got)
			}
		})
	}
}

// Odd circumstances of a caller.
func TestOddCallers(t *testing.T) { fixture.Each(t, testOddCallers) }

func testOddCallers(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	natively(t, s)
	gone := bash(t, s, `d=$(mktemp -d -p .); cd $d; rmdir ../$d; probe exit 0`)
	if gone.Code != 125 {
		t.Errorf("in a directory that is gone: %v", gone)
	}
	s.Refused(gone, "current directory", "workdir")
	store := "XDG_DATA_HOME=" + filepath.Join(s.Home, ".local", "share")
	if res := s.With("HOME=", store).App("probe", "exit", "9"); res.Code != 9 && by.IsRoot() {
		t.Errorf("without HOME: %v", res)
	} else if !by.IsRoot() { // whose registrations are in it
		s.Refused(res, "HOME", "set")
	}
	large := s.In(t)
	var want []string
	for i := range 10 {
		want = append(want, fmt.Sprintf("LARGE_%d=%s", i, strings.Repeat(strconv.Itoa(i), 105_000)))
	}
	large.Env = append(large.Env, want...)
	got := strings.Join(large.MustApp("probe", "env").JSON(t), "\n")
	for _, kv := range want {
		if !strings.Contains(got, kv) {
			t.Errorf("1 MB of environment: %.20s is not the same", kv)
		}
	}

	many := make([]string, 100_000)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	res := s.MustApp("probe", append([]string{"args"}, many...)...)
	if n := len(res.JSON(t)); n != len(many) {
		t.Errorf("%d of %d arguments", n, len(many))
	}
	// What the caller could pass, but not together with what the flake adds.
	s.Register("more", "probe", "--target", "/bin/probe")
	s.Mkdir(s.Registrations + "/more.d")
	var set strings.Builder
	for i := range 9 {
		fmt.Fprintf(&set, "    MORE_%d: %s\n", i, strings.Repeat("m", 100_000))
	}
	s.WriteFile(s.Registrations+"/more.d/more.yaml", "env:\n  set:\n"+set.String())
	res = s.App("more", append([]string{"args"}, many...)...)
	if res.Code != 126 {
		t.Errorf("too much for the kernel: %v", res)
	}
	s.Refused(res, "argument list too long", "fewer")
}

// The launcher killed by -9 takes the app along, and what the app has started.
func TestKilledLauncherTakesAllAlong(t *testing.T) {
	fixture.Each(t, testKilledLauncherTakesAllAlong)
}

func testKilledLauncherTakesAllAlong(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	res := bash(t, s, `exec 5< <(probe each probe leave then probe wait & echo $!; wait)
		read pid <&5; read ready <&5; read ready <&5; kill -9 $pid
		cat <&5 # ends when nobody holds the pipe any more
		echo "$ready, all gone"`)
	if res.Stdout != "ready, all gone\n" || res.Took > 30*time.Second {
		t.Errorf("%v", res)
	}
}

// When the terminal goes away the app gets SIGHUP, and with the app the launcher ends.
func TestTerminalGone(t *testing.T) { fixture.Each(t, testTerminalGone) }

func testTerminalGone(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	for args, want := range map[string]string{
		"wait": "signal: hangup", "count 1": "exit status 7", "lines": "", // which reads the end, or is told before
	} {
		cmd := s.Command(t.Context(), s.Link("probe"), strings.Fields(args)...)
		tty := onTerminal(t, s, cmd)
		tty.expect("ready")
		tty.gone()
		if got := tty.end(); got != want && want != "" {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

// Descriptors beyond standard error are the app's when the flake says so, and closed otherwise.
func TestFurtherDescriptors(t *testing.T) { fixture.Each(t, testFurtherDescriptors) }

func testFurtherDescriptors(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Register("fds", "probe", "--target", "/bin/probe", "--preserve-fds")
	s.WriteFile(filepath.Join(s.Home, "Makefile"), "all: a b\na b:\n\t+@$(APP) jobserver\n")
	for name, test := range map[string]struct{ script, kept, closed string }{
		"process substitution": {"@ cat <(echo one) <(echo two)", "one\ntwo\n", ""},
		"to a process":         {"@ write >(cat) hello; wait $!", "hello", ""},
		"3 and 9":              {"@ fds 3 9 3<<<three 9<<<nine", "3: three\n9: nine\nmine: false fds: \n", "3: closed\n9: closed\nmine: false fds: \n"},
		"a socket's activation": {"(LISTEN_FDS=1 LISTEN_PID=$BASHPID exec @ fds 3 3<<<x)",
			"3: x\nmine: true fds: 1\n", "3: closed\nmine: false fds: \n"},
		"make's jobserver": {"make -sj4 APP=@ 2>/dev/null", "token taken and given back\ntoken taken and given back\n", "no jobserver\nno jobserver\n"},
		"many":             {"for i in {10..99}; do eval \"exec $i</dev/null\"; done; @ fds 50 99", "50: \n99: \nmine: false fds: \n", "50: closed\n99: closed\nmine: false fds: \n"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			for flake, want := range map[string]string{"fds": test.kept, "probe": test.closed} {
				res := bash(t, s, strings.ReplaceAll(test.script, "@", flake))
				if res.Stdout != want {
					t.Errorf("%s: want %q, got %v", flake, want, res)
				}
			}
		})
	}
}
