package selftest

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// The directory holds more than its .gitignore only after `make`.
//
//go:embed all:built
var built embed.FS

// NotBuiltError says that this program was compiled without its probe.
type NotBuiltError struct{}

func (*NotBuiltError) Error() string { return "this flake-ctl was built without its probe" }

// Remedy implements the CLI's second line.
func (*NotBuiltError) Remedy() string { return "build it with `make build` instead of `go build`" }

// WriteProbe puts the probe into a directory and returns its path.
func WriteProbe(dir string) (string, error) {
	data, err := built.ReadFile("built/probe-" + runtime.GOARCH)
	if errors.Is(err, fs.ErrNotExist) {
		return "", &NotBuiltError{}
	}
	if err != nil {
		return "", fmt.Errorf("read probe: %w", err)
	}
	path := filepath.Join(dir, "probe")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		return "", fmt.Errorf("write probe: %w", err)
	}
	return path, nil
}

// inside is where the probe is in the flake's root.
const inside = "/.flake-selftest"

// Derive is the plan of a flake with the probe, a file of the host, in the place of its app: a start of its own even
// where the flake keeps an instance, and with its arguments untouched.
func Derive(p *plan.Plan, name, probe string) *plan.Plan {
	d := *p
	d.Name, d.Entrypoint, d.Cmd, d.Kept, d.PilotArguments = name, []string{inside}, nil, "", false
	d.Binds = append(append([]plan.Bind(nil), p.Binds...), plan.Bind{Source: probe, Target: inside, ReadOnly: true})
	d.Early = nil // the app's own
	return &d
}
