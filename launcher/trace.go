package launcher

import (
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/nsexec"
)

// envTrace asks for the phases of a start: 1 for lines on stderr, else the name of a file for Chrome's trace format. The
// launcher's early part answers it as well.
const envTrace = "FLAKE_TRACE"

// newTrace is what was asked for, nil for nothing.
func newTrace(asked string) *nsexec.Trace {
	switch asked {
	case "", "0":
		return nil
	case "1":
	default:
		if abs, err := filepath.Abs(asked); err == nil {
			asked = abs
		}
	}
	return &nsexec.Trace{Where: asked, Began: monotonic()}
}

// mark notes that something begins. Without a trace it does nothing.
func mark(t *nsexec.Trace, name string) {
	if t != nil {
		t.Marks = append(t.Marks, nsexec.Mark{At: monotonic(), Name: name})
	}
}

func monotonic() uint64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0
	}
	return uint64(t.Nano())
}
