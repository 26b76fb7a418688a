package integration

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata/*.txtar")

// TestScripts runs the command lines of testdata against the built binaries. The condition [root]
// gates what mounts; in $WORK the image probe.tar is ready to be loaded.
func TestScripts(t *testing.T) {
	bin := filepath.Dir(fixture.Binary(t, "flake-ctl"))
	probe := fixture.ProbeBase(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		UpdateScripts:       *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+":/usr/local/bin:/usr/bin:/bin")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("FLAKES_ROOT", filepath.Join(env.WorkDir, "flakes"))
			env.Setenv("LC_ALL", "C.UTF-8")
			if err := os.Chmod(env.WorkDir, 0o755); err != nil {
				return err
			}
			return probe.WriteFile(filepath.Join(env.WorkDir, "probe.tar"))
		},
		Condition: func(cond string) (bool, error) {
			return cond == "root" && os.Geteuid() == 0, nil
		},
	})
}
