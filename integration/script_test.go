package integration

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata/*.txtar")

func TestScripts(t *testing.T) { fixture.Each(t, testScripts) }

// testScripts runs the command lines of testdata against the built binaries. The command `as` is exec
// as the caller. In $WORK the image probe.tar is ready to be loaded, and the directory links is his;
// $REGISTRATIONS are his, too.
func testScripts(t *testing.T, by fixture.Caller) {
	bin := filepath.Dir(by.Binary(t, "flake-ctl"))
	probe := fixture.ProbeBase(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		UpdateScripts:       *update && by.IsRoot(),
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+":/usr/local/bin:/usr/bin:/bin")
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("LC_ALL", "C.UTF-8")
			env.Setenv("REGISTRATIONS", filepath.Join(env.WorkDir, ".config", "flakes"))
			if by.IsRoot() {
				root := filepath.Join(env.WorkDir, "flakes")
				env.Setenv("FLAKES_ROOT", root)
				env.Setenv("REGISTRATIONS", filepath.Join(root, "registrations"))
			}
			links := filepath.Join(env.WorkDir, "links")
			if err := os.Mkdir(links, 0o755); err != nil {
				return err
			}
			if text := by.Settings(); text != "" {
				own := filepath.Join(env.WorkDir, ".config", "flake-launcher")
				if err := errors.Join(os.MkdirAll(own, 0o755), os.WriteFile(filepath.Join(own, "config.yaml"), []byte(text), 0o644)); err != nil {
					return err
				}
				by.GiveTree(t, filepath.Dir(own))
			}
			fixture.OpenWay(t, env.WorkDir)
			by.Give(t, env.WorkDir, links)
			return probe.WriteFile(filepath.Join(env.WorkDir, "probe.tar"))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"as": func(ts *testscript.TestScript, neg bool, args []string) {
				if by.UID != os.Geteuid() {
					id := strconv.Itoa(by.UID)
					args = append([]string{"setpriv", "--reuid", id, "--regid", strconv.Itoa(by.GID), "--clear-groups"}, args...)
				}
				if err := ts.Exec(args[0], args[1:]...); (err == nil) == neg {
					ts.Fatalf("unexpected end of %q: %v", args, err)
				}
			},
		},
	})
}
