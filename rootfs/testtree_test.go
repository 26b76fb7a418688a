package rootfs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/rootfs/internal/ordinary"
)

// TestMain lets the test binary play the second process of a test: the
// variable names the part, see children.
func TestMain(m *testing.M) {
	if part := os.Getenv(childEnv); part != "" {
		if err := children[part](os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestAsOrdinaryUser runs all of this as somebody who is not root.
func TestAsOrdinaryUser(t *testing.T) { ordinary.Run(t) }

const childEnv = "ROOTFS_TEST_CHILD"

// children are the parts that the test binary plays when re-executed.
var children = map[string]func(args []string) error{}

func child(t *testing.T, part string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), childEnv+"="+part)
	cmd.Stderr = os.Stderr
	return cmd
}

// needsRoot skips where the caller is no root, and fails instead where the
// run is meant to be root's.
func needsRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("FLAKE_TEST_ROOT") == "1" {
		t.Fatalf("needs root: %s", why)
	}
	t.Skipf("needs root: %s", why)
}

// makeTree makes dir from lines of a small language:
//
//	dir PATH [MODE]   file PATH [CONTENT]   link PATH TARGET   fifo PATH
//	gone PATH         a whiteout: a device as root, else the xattr form
//	xgone PATH        a whiteout in xattr form
//	opaque PATH       an opaque directory
//	xattr PATH NAME=VALUE
//
// Parents are made as needed.
func makeTree(t testing.TB, dir string, lines ...string) string {
	t.Helper()
	for _, line := range append([]string{"dir ."}, lines...) {
		if err := makeEntry(dir, strings.Fields(line)); err != nil {
			t.Fatalf("make %q: %v", line, err)
		}
	}
	return dir
}

func makeEntry(dir string, f []string) error {
	path, arg := filepath.Join(dir, f[1]), strings.Join(f[2:], " ")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	switch f[0] {
	case "dir":
		if err := os.MkdirAll(path, 0o755); err != nil || arg == "" {
			return err
		}
		var mode uint32
		if _, err := fmt.Sscanf(arg, "%o", &mode); err != nil {
			return err
		}
		return unix.Chmod(path, mode)
	case "file":
		return os.WriteFile(path, []byte(arg), 0o644)
	case "link":
		return os.Symlink(arg, path)
	case "fifo":
		return unix.Mkfifo(path, 0o644)
	case "gone":
		if os.Geteuid() == 0 {
			return unix.Mknod(path, unix.S_IFCHR, 0)
		}
		return makeEntry(dir, append([]string{"xgone"}, f[1:]...))
	case "xgone":
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			return err
		}
		return unix.Setxattr(path, xattrWhiteout, []byte("y"), 0)
	case "opaque":
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		return unix.Setxattr(path, xattrOpaque, []byte("y"), 0)
	case "xattr":
		name, value, _ := strings.Cut(arg, "=")
		return unix.Lsetxattr(path, name, []byte(value), 0)
	}
	return fmt.Errorf("unknown word %q", f[0])
}

// view makes layers, bottom first, and views them.
func view(t testing.TB, layers ...[]string) *View {
	t.Helper()
	base := t.TempDir()
	var dirs []string
	for i, lines := range layers {
		dirs = append(dirs, makeTree(t, filepath.Join(base, fmt.Sprint(i)), lines...))
	}
	v, err := NewView(dirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func openFDs(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
