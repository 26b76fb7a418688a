package compose

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/nsexec/engine"
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
	status, err := Run(job)
	if err != nil {
		return fail(os.Stderr, err)
	}
	nsexec.Exit(status)
	return 97
}

// testJob keeps the bytes of words that are no UTF-8, which JSON's strings do not.
type testJob struct {
	Job             Job
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

var probeBinary string

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "compose-probe-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	probeBinary = filepath.Join(dir, "probe")
	for _, cc := range []string{"musl-gcc", "gcc", "cc"} {
		if _, err := exec.LookPath(cc); err != nil {
			continue
		}
		if out, err := exec.Command(cc, "-static", "-Os", "-o", probeBinary, "testdata/probe.c").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", cc, err, out)
			return 1
		}
		return m.Run()
	}
	probeBinary = ""
	return m.Run()
}
