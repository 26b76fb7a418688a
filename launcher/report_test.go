package launcher

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/flake-launcher/flake-launcher/overlay"
)

func TestReport(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
		code int
	}{
		"nothing":            {nil, "", 0},
		"plain":              {errors.New("read x: no"), "p: read x: no\n", 125},
		"with a remedy":      {fmt.Errorf("run: %w", &LaterError{Option: "--x"}), "p: run: --x is not supported by this version\np: remedy: leave it out, or use a newer flake-launcher\n", 125},
		"control characters": {errors.New("open \x1b[31mx\ny"), "p: open ?[31mx y\n", 125},
		"of the second set":  {errors.New("open \u009b31mx"), "p: open ?31mx\n", 125},
		"a full disk":        {fmt.Errorf("write plan: %w", &os.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}), "p: write plan: write /x: no space left on device\np: remedy: free some space there (flake-ctl gc)\n", 125},
		"no descriptor left": {&overlay.LayerError{Dir: "/x", Err: syscall.EMFILE}, "p: open layer \"/x\": too many open files\np: remedy: raise the limit for open files (ulimit -n)\n", 125},
		"no right to it":     {&os.PathError{Op: "open", Path: "/x", Err: syscall.EACCES}, "p: open /x: permission denied\np: remedy: have its owner give you the right to it, or do it as a user who has that\n", 125},
		"child of ours":      {&ChildError{Program: "flake-ctl", Status: 127}, "", 127},
		"child that failed":  {&ChildError{Program: "flake-ctl", Status: 1}, "", 125},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			Report(&b, "p", tc.err)
			if b.String() != tc.want {
				t.Errorf("got %q, want %q", b.String(), tc.want)
			}
			if Code(tc.err) != tc.code {
				t.Errorf("code %d, want %d", Code(tc.err), tc.code)
			}
		})
	}
}
