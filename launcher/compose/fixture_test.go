package compose

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
	"github.com/flake-launcher/flake-launcher/nsexec/seccomp"
)

// requireRoot skips, or fails where a run is meant to have it all.
func requireRoot(t *testing.T) {
	t.Helper()
	var lack string
	_, err := initproc.Binary()
	switch {
	case os.Geteuid() != 0:
		lack = "needs root: mounts and namespaces"
	case probeBinary == "":
		lack = "needs a C compiler for the probe"
	case errors.Is(err, initproc.ErrNotBuilt):
		lack = "needs the init program: make build"
	default:
		return
	}
	if os.Getenv("FLAKE_TEST_ROOT") == "1" {
		t.Fatal(lack)
	}
	t.Skip(lack)
}

// The engines that tests run apps by.
const (
	byLibcontainer = "libcontainer"
	byDirect       = "direct"
)

// bedMaker makes a place to start apps in, for one engine.
type bedMaker func(t *testing.T, spec config.Spec) *bed

// eachEngine runs a test by both engines: what it asks for is what both promise.
func eachEngine(t *testing.T, test func(t *testing.T, newBed bedMaker)) {
	t.Run(byLibcontainer, func(t *testing.T) { test(t, newBed) })
	t.Run(byDirect, func(t *testing.T) { test(t, newDirectBed) })
}

func newDirectBed(t *testing.T, spec config.Spec) *bed {
	t.Helper()
	b := newBed(t, spec)
	b.engine = byDirect
	return b
}

// bed is a place to start apps in.
type bed struct {
	t *testing.T
	// engine is byLibcontainer or byDirect; user starts as somebody else than root, which only the latter can.
	engine string
	user   *syscall.Credential
	job    Job
	kept   *keptJob // start in a kept instance
	layer  string
	state  string
}

// newBed makes a root of one layer with nothing but the probe, and at the end checks that nothing is left of what
// was started.
func newBed(t *testing.T, spec config.Spec) *bed {
	t.Helper()
	requireRoot(t)
	b := &bed{t: t, engine: byLibcontainer, layer: t.TempDir(), state: filepath.Join(t.TempDir(), "state")}
	for _, d := range []string{"bin", "tmp", "etc", "root"} {
		mkdir(t, filepath.Join(b.layer, d))
	}
	for name, program := range map[string]string{"bin/probe": probeBinary, "bin/facts": factsBinary} {
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(b.layer, name), string(data), 0o755)
	}
	c, err := config.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var filters [][]byte
	if !spec.NewPrivs { // which libcontainer can't do with a filter
		filter, err := seccomp.Compile(c.Capabilities.Bounding)
		if err != nil {
			t.Fatal(err)
		}
		filters = [][]byte{seccomp.Terminal(), filter}
	}
	b.job = Job{
		Config:   raw,
		Lower:    []string{b.layer},
		Env:      []string{"PATH=/nowhere:/bin"},
		UID:      spec.UID,
		Filters:  filters,
		StateDir: b.state,
	}
	mounts := count(t, "/proc/self/mounts")
	t.Cleanup(func() {
		if n := count(t, "/proc/self/mounts"); n != mounts {
			t.Errorf("%d mounts before, %d after", mounts, n)
		}
	})
	return b
}

// command gives a start of the app, not yet begun.
func (b *bed) command(args ...string) *exec.Cmd {
	b.t.Helper()
	data, err := json.Marshal(testJob{Job: b.job, Engine: b.engine, Kept: b.kept, RawArgs: raws(args), RawEnv: raws(b.job.Env)})
	if err != nil {
		b.t.Fatal(err)
	}
	// A file and not a pipe: its size has no limit.
	name := filepath.Join(b.t.TempDir(), "job")
	writeFile(b.t, name, string(data), 0o600)
	f, err := os.Open(name)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { f.Close() })
	cmd := exec.Command(testBinary(b.t), "run")
	if b.user != nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: b.user}
	}
	cmd.ExtraFiles = []*os.File{f}
	cmd.Env = append(os.Environ(), asEngine+"=1")
	return cmd
}

// result is how a start ended.
type result struct {
	out, err string
	status   nsexec.Status
}

func (b *bed) run(args ...string) result {
	b.t.Helper()
	cmd := b.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	status := finish(b.t, cmd, cmd.Run())
	return result{out.String(), errs.String(), status}
}

// probe runs a verb and gives its output, which must come without complaints.
func (b *bed) probe(args ...string) string {
	b.t.Helper()
	r := b.run(append([]string{"probe"}, args...)...)
	if r.err != "" || r.status != (nsexec.Status{}) {
		b.t.Fatalf("probe %q: %v, stderr %q", args, r.status, r.err)
	}
	return strings.TrimSuffix(r.out, "\n")
}

func finish(t *testing.T, cmd *exec.Cmd, err error) nsexec.Status {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return nsexec.StatusOf(cmd.ProcessState.Sys().(syscall.WaitStatus))
}

// left are the traces that a start should not leave.
func (b *bed) left() []string {
	b.t.Helper()
	found, err := filepath.Glob(filepath.Join(b.state, "c-*"))
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// processes are the pids of programs whose command line holds word, other than the engine's own.
func processes(t *testing.T, word string) (pids []string) {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		data, err := os.ReadFile(f)
		if err == nil && bytes.Contains(data, []byte(word)) {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	return pids
}

func count(t *testing.T, file string) int {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(data, []byte("\n"))
}

func mkdir(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, name, data string, mode os.FileMode) {
	t.Helper()
	mkdir(t, filepath.Dir(name))
	if err := os.WriteFile(name, []byte(data), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}
