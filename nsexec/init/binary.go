package initproc

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
)

// The directory holds more than its .gitignore only after `make`.
//
//go:embed all:built
var built embed.FS

// ErrNotBuilt says that this program was compiled without its PID 1.
var ErrNotBuilt error = notBuilt{}

type notBuilt struct{}

func (notBuilt) Error() string {
	return "start container: this flake-launcher was built without its init program"
}

// Remedy tells the user what to do about it.
func (notBuilt) Remedy() string { return "build it with `make build` instead of `go build`" }

// Binary is the static program for this machine, or ErrNotBuilt.
func Binary() ([]byte, error) {
	data, err := built.ReadFile("built/init-" + runtime.GOARCH)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotBuilt
	}
	if err != nil {
		return nil, fmt.Errorf("read init program: %w", err)
	}
	return data, nil
}
