package pkgdb

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tool skips a test for want of a program.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("FLAKE_TEST_REAL") == "1" {
			t.Fatalf("needs %s, and FLAKE_TEST_REAL=1 forbids to skip", name)
		}
		t.Skipf("needs the program %s (integration/hack/deps.sh test)", name)
	}
	return path
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(tool(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// write makes files below a directory, with those above them, and nothing outside of it.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, content := range files {
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := root.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t *testing.T, root string) Database {
	t.Helper()
	db, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	return db
}
