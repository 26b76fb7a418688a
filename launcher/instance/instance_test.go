package instance

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

func TestNames(t *testing.T) {
	for n, file := range map[Name]string{
		{"aws", ""}:                      "aws",
		{"aws", "x"}:                     "aws@x",
		{"a@b", ""}:                      "a%40b", // not instance b of a
		{"a@b", "c@d"}:                   "a%40b@c@d",
		{".hidden", "1"}:                 "%2Ehidden@1",
		{"python3.11", "-"}:              "",
		{"a/b", ""}:                      "a%2Fb",
		{"ü%", ""}:                       "%C3%BC%25",
		{"", ""}:                         "",
		{"..", ""}:                       "%2E.",
		{"aws", "../x"}:                  "",
		{"aws", "x y"}:                   "",
		{"aws", "=x"}:                    "",
		{"a", "A_b-c=d.e@f"}:             "a@A_b-c=d.e@f",
		{strings.Repeat("x", 256), ""}:   "",
		{strings.Repeat("@", 80), "xx"}:  strings.Repeat("%40", 80) + "@xx",
		{"aws", strings.Repeat("x", 65)}: "",
	} {
		got, err := n.file()
		if got != file || (err != nil) != (file == "") {
			t.Errorf("%+v: %q, %v; want %q", n, got, err, file)
		}
		if file == "" {
			continue
		}
		if back, ok := parseFile(file); !ok || back != n {
			t.Errorf("%q: %+v, %v; want %+v", file, back, ok, n)
		}
	}
	for _, file := range []string{"a%", "a%4", "a%zz", "a%61", "a@", "a@/", "%2e", "a b"} {
		if n, ok := parseFile(file); ok {
			t.Errorf("%q is %+v", file, n)
		}
	}
}

func sample() *Config {
	return &Config{
		Name: Name{"aws", "x"}, Kept: plan.KeptResume, Created: 1234, Stack: []string{"b", "a"}, Digests: []string{"sha256:1"}, Searched: []string{"/etc/flakes", "/x\ny"},
		Rights: nsexec.Rights{Namespaces: 7, Ops: []byte("a\x00\nend 0\n"), Identity: nsexec.Identity{UID: 1, GID: 1<<32 - 1, Groups: []uint32{3, 4}}, Filters: [][]byte{{1}, {}}},
	}
}

func TestConfigs(t *testing.T) {
	for name, c := range map[string]*Config{"full": sample(), "empty": {}, "no groups": {Rights: nsexec.Rights{Ops: []byte{}, Identity: nsexec.Identity{Groups: []uint32{}}}}} {
		got, err := decodeConfig(c.encode())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if d := cmp.Diff(c, got); d != "" && name != "empty" {
			t.Errorf("%s: %s", name, d)
		}
	}
	good := sample().encode()
	for n := range good {
		if _, err := decodeConfig(good[:n]); err == nil {
			t.Errorf("cut to %d bytes it is taken", n)
		}
	}
	for _, bad := range []string{"flake-instance 2\nend 0\n\n", "flake-instance 1\nfuture 1\nx\nend 0\n\n", "flake-instance 1\nuid 1\nx\nend 0\n\n", "flake-instance 1\nflake -1\n\n"} {
		if _, err := decodeConfig([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestStack(t *testing.T) {
	p := &plan.Plan{Store: "/s", Lower: []string{"/s/hostlayers/x", "/r/private/sha256/b", "/r/layers/sha256/b", "/s/layers/sha256/a"}}
	if got := StackOf(p); !slices.Equal(got, []string{"b", "a"}) {
		t.Errorf("%q", got)
	}
}

func store(t *testing.T) *rootfs.Store {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	s, err := rootfs.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func enter(t *testing.T, s *rootfs.Store, n Name) *Instance {
	t.Helper()
	i, err := Enter(s.Root(), n, Exclusive, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i
}

// What was written over some images is not put over others, neither now nor after a start in memory.
func TestPrepare(t *testing.T) {
	s := store(t)
	i := enter(t, s, Name{"aws", ""})
	c := sample()
	c.Name = i.Name
	for range 2 {
		state, writable, err := i.Prepare(c, true)
		if err != nil {
			t.Fatal(err)
		}
		state.Close()
		writable.Close()
	}
	other := *c
	other.Stack = []string{"c"}
	var stack *StackError
	if _, _, err := i.Prepare(&other, true); !errors.As(err, &stack) || stack.Remedy() == "" {
		t.Errorf("%v", err)
	}
	if got, err := i.Config(); err != nil || !slices.Equal(got.Stack, c.Stack) {
		t.Errorf("refused, and changed: %+v, %v", got, err)
	}
	if _, _, err := i.Prepare(&other, false); !errors.As(err, &stack) {
		t.Errorf("in memory, which would make the part on disk the other images': %v", err)
	}
	if r, err := i.Running(); r != nil || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
}

// keeper holds the lock of a state file as the process of a running instance does, and names a process.
func keeper(t *testing.T, path, content string) *exec.Cmd {
	t.Helper()
	if os.Getenv("INSTANCE_TEST_LOCK") != "" {
		f, err := os.OpenFile(os.Getenv("INSTANCE_TEST_LOCK"), os.O_RDWR, 0)
		if err == nil {
			err = unix.FcntlFlock(f.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
		}
		if err != nil {
			os.Exit(3)
		}
		os.Stdout.WriteString("x")
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "INSTANCE_TEST_LOCK="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if n, err := out.Read(make([]byte, 1)); n != 1 {
		t.Fatal(err)
	}
	return cmd
}

// Only a lock makes a process that is written down one of ours.
func TestRunningIsALock(t *testing.T) {
	if os.Getenv("INSTANCE_TEST_LOCK") != "" {
		keeper(t, "", "")
	}
	s := store(t)
	i := enter(t, s, Name{"aws", ""})
	c := sample()
	c.Name = i.Name
	state, _, err := i.Prepare(c, false)
	if err != nil {
		t.Fatal(err)
	}
	state.Close()
	path := filepath.Join(i.Path(), "state")
	record := "flake-holder 1\npid 1\nbegan 1\n"
	if err := os.WriteFile(path, []byte(record), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := i.Running(); r != nil || err != nil {
		t.Errorf("without a lock: %+v, %v", r, err)
	}
	held := keeper(t, path, record)
	r, err := i.Running()
	if err != nil || r == nil || r.PID != 1 || r.Stack[0] != "b" {
		t.Fatalf("with a lock: %+v, %v", r, err)
	}
	r.PIDFD.Close()
	_ = held.Process.Kill()
	_ = held.Wait()
	for _, content := range []string{"", "flake-holder 1\n", "flake-holder 2\npid 1\nbegan 1\n", "flake-holder 1\npid 0\nbegan 1\n", "flake-holder 1\npid 1\nbegan 1\nx"} {
		held := keeper(t, path, content)
		var busy *BusyError
		if r, err := i.Running(); r != nil || !errors.As(err, &busy) {
			t.Errorf("state %q: %+v, %v", content, r, err)
		}
		// Nobody else can be meant by the remedy.
		if err := i.end(); err != nil {
			t.Errorf("state %q: %v", content, err)
		}
		if err := held.Wait(); err == nil {
			t.Errorf("state %q: its keeper lives", content)
		}
	}
}

func TestResetRemovesWhatIsOdd(t *testing.T) {
	s := store(t)
	i := enter(t, s, Name{"aws", "x"})
	for dir, mode := range map[string]os.FileMode{"writable/upper/closed/deep": 0, "writable/work/work": 0, "writable/upper/ro/a/b/c": 0o500} {
		dir = filepath.Join(i.Path(), dir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(filepath.Join(dir, "f"), nil, 0), os.Symlink("/", filepath.Join(dir, "l")), os.Chmod(dir, mode), os.Chmod(filepath.Dir(dir), mode)); err != nil {
			t.Fatal(err)
		}
	}
	i.Close()
	if err := Reset(s, i.Name); err != nil {
		t.Fatal(err)
	}
	var none *NotFoundError
	if err := Reset(s, i.Name); !errors.As(err, &none) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(s.InstancesDir()); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
	if stale, err := s.StaleTemp(); err != nil || len(stale) > 0 {
		t.Errorf("%q, %v", stale, err)
	}
}

// Who waits for a lock while the instance is removed gets a new one.
func TestEnterAfterRemoval(t *testing.T) {
	s := store(t)
	n := Name{"aws", ""}
	first := enter(t, s, n)
	got := make(chan *Instance)
	go func() {
		i, err := Enter(s.Root(), n, Shared, true)
		if err != nil {
			t.Error(err)
		}
		got <- i
	}()
	time.Sleep(50 * time.Millisecond)
	if err := first.Remove(s); err != nil {
		t.Fatal(err)
	}
	first.Close()
	i := <-got
	if i == nil || !i.still() || !i.Fresh {
		t.Errorf("%+v", i)
	}
	i.Close()
}
