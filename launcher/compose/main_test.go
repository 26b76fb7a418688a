package compose

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/opencontainers/runc/libcontainer/configs"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/integration/facts"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/nsexec/engine"
	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
	"github.com/flake-launcher/flake-launcher/nsexec/lower"
	"github.com/flake-launcher/flake-launcher/overlay"
)

// asEngine makes the test binary behave as flake-engine, with the JSON of a Job on descriptor PlanFD.
const asEngine = "FLAKE_TEST_AS_ENGINE"

func init() {
	engine.Hook()
	runtime.LockOSThread()
	if os.Getenv(asEngine) != "" {
		os.Exit(testOnlyRunJSONJob())
	}
	runtime.UnlockOSThread()
}

// testOnlyRunJSONJob does what RunPlan does, from the only format that is of no use to anybody else.
func testOnlyRunJSONJob() int {
	var in testJob
	if err := json.NewDecoder(os.NewFile(nsexec.PlanFD, "job")).Decode(&in); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	job := in.Job
	job.Args, job.Env, job.Stdio = texts(in.RawArgs), texts(in.RawEnv), nil
	if in.Kept != nil {
		return fail(os.Stderr, startKept(job, in.Kept))
	}
	if in.Engine == byDirect {
		return fail(os.Stderr, startDirect(job))
	}
	status, err := Run(job)
	if err != nil {
		return fail(os.Stderr, err)
	}
	nsexec.Exit(status)
	return 97
}

// startDirect is what launcher does with a plan for the direct engine.
func startDirect(job Job) error {
	d, err := newDirect(job)
	if err != nil {
		return err
	}
	return d.Exec()
}

func newDirect(job Job) (*nsexec.Direct, error) {
	var c configs.Config
	if err := json.Unmarshal(job.Config, &c); err != nil {
		return nil, fmt.Errorf("read container description: %w", err)
	}
	user := os.Geteuid() != 0
	ops, err := lower.Lower(&c, lower.Options{User: user})
	if err != nil {
		return nil, err
	}
	layers, err := overlay.OpenLayers(job.Lower)
	if err != nil {
		return nil, err
	}
	writable, err := overlay.ParseWritable(job.Writable)
	if err != nil {
		return nil, err
	}
	d := &nsexec.Direct{
		Speaker: "flake-launcher", Ops: ops, User: user, Layers: nsexec.Opened(layers...), Upper: uint32(writable),
		Size: uint64(job.TmpfsSize), UID: uint32(job.UID), GID: uint32(job.GID), Cwd: nsexec.Cwd{Path: job.Cwd, Make: true}, Filters: job.Filters,
		Args: job.Args, Env: job.Env,
	}
	for _, g := range job.Groups {
		d.Groups = append(d.Groups, uint32(g))
	}
	// A plan has them in the flake's own layer.
	for _, s := range append(missingPoints([]string{"/proc", "/sys", "/dev"}, job.Lower), job.Seed...) {
		d.Seed = append(d.Seed, nsexec.Node{Path: s.Path, Mode: s.Mode, UID: uint32(s.UID), GID: uint32(s.GID)})
	}
	for _, l := range job.Links {
		kind := map[hostlink.Kind]uint32{hostlink.KindDir: initproc.LinkDir, hostlink.KindSocket: initproc.LinkSocket}[l.Kind]
		d.Links = append(d.Links, nsexec.Link{Source: l.Source, Target: l.Target, Kind: kind})
	}
	for _, b := range job.Binds {
		d.Binds = append(d.Binds, nsexec.Bind(b))
	}
	if job.Scratch != "" {
		if d.Scratch, err = os.Open(job.Scratch); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// testJob keeps the bytes of words that are no UTF-8, which JSON's strings do not.
type testJob struct {
	Job             Job
	Engine          string
	Kept            *keptJob
	RawArgs, RawEnv [][]byte
}

func raws(words []string) (out [][]byte) {
	for _, w := range words {
		out = append(out, []byte(w))
	}
	return out
}

func texts(raw [][]byte) (out []string) {
	for _, w := range raw {
		out = append(out, string(w))
	}
	return out
}

var (
	probeBinary string
	factsBinary string // of package facts
	openDir     string // readable by everybody, for a copy of this binary
)

// testBinary is this program where other users can execute it.
func testBinary(t *testing.T) string {
	t.Helper()
	name := filepath.Join(openDir, "engine")
	if _, err := os.Stat(name); err == nil {
		return name
	}
	data, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(name, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "compose-probe-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	openDir = dir
	probeBinary = filepath.Join(dir, "probe")
	for _, cc := range []string{"musl-gcc", "gcc", "cc"} {
		if _, err := exec.LookPath(cc); err != nil {
			continue
		}
		if out, err := exec.Command(cc, "-static", "-Os", "-o", probeBinary, "testdata/probe.c").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", cc, err, out)
			return 1
		}
		if factsBinary, err = facts.Build(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}
	probeBinary = ""
	return m.Run()
}
