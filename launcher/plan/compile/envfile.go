package compile

import (
	"fmt"
	"os"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// maxEnvFile bounds a file of variables.
const maxEnvFile = 1 << 20

// envFiles adds the variables of the flake's files to those of the images, over which they win. A name alone takes the
// caller's. The plan is made again when a file changes.
func envFiles(p *plan.Plan, f *flake.Flake) error {
	for _, file := range f.Env.Files {
		p.Checks = append(p.Checks, plan.NewCheck(file))
		st, err := os.Stat(file)
		if err == nil && (!st.Mode().IsRegular() || st.Size() > maxEnvFile) {
			err = fmt.Errorf("no regular file of at most %d bytes", maxEnvFile)
		}
		var text []byte
		if err == nil {
			text, err = os.ReadFile(file)
		}
		if err != nil {
			return &flake.KeyError{Key: "env.files", Reason: fmt.Sprintf("read %s: %v", file, err), Fix: "make the file, or leave it out"}
		}
		for n, line := range strings.Split(string(text), "\n") {
			line = strings.TrimLeft(strings.TrimSuffix(line, "\r"), " \t")
			if line == "" || line[0] == '#' {
				continue
			}
			name, _, ok := strings.Cut(line, "=")
			if name == "" || strings.ContainsAny(name, " \t") || strings.Contains(line, "\x00") {
				return &flake.KeyError{Key: "env.files", Reason: fmt.Sprintf("%s:%d: no NAME=VALUE", file, n+1), Fix: "correct the line"}
			}
			if ok {
				p.Env = setEnv(p.Env, line)
			} else {
				p.Pass = append(p.Pass, name)
			}
		}
	}
	return nil
}
