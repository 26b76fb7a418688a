package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestCreateRefusesDirectoriesOfOthers(t *testing.T) {
	tests := map[string]func(dir string) error{
		"a home directory":    func(dir string) error { return os.WriteFile(filepath.Join(dir, ".profile"), nil, 0o600) },
		"a foreign directory": func(dir string) error { return os.Mkdir(filepath.Join(dir, "etc"), 0o755) },
		"a tmp of others":     func(dir string) error { return errors.Join(os.Mkdir(filepath.Join(dir, "tmp"), 0o755)) },
		"a world-writable tmp": func(dir string) error {
			return errors.Join(os.Mkdir(filepath.Join(dir, "tmp"), 0o755), os.Chmod(filepath.Join(dir, "tmp"), 0o777|os.ModeSticky))
		},
		"a tmp that is a file":  func(dir string) error { return os.WriteFile(filepath.Join(dir, "tmp"), nil, 0o600) },
		"a link in place of it": func(dir string) error { return os.Symlink("/", filepath.Join(dir, "tmp")) },
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := errors.Join(os.Chmod(dir, 0o755), prepare(dir)); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var foreign *ForeignRootError
			if _, err := Create(dir); !errors.As(err, &foreign) || foreign.Remedy() == "" {
				t.Fatalf("got %v", err)
			}
			if after, _ := os.ReadDir(dir); len(after) != len(before) {
				t.Errorf("something was made: %v", after)
			}
		})
	}
	if _, err := Create("/"); err == nil {
		t.Error("/ was made a store")
	}
}

func TestSweepLeavesForeignThingsAlone(t *testing.T) {
	s, err := Create(filepath.Join(t.TempDir(), "root"))
	if err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(s.Root(), "tmp")
	foreign := []string{"notes", "go-build", "work-1/data", "x-7/d/../other", "UPPER"}
	for _, f := range foreign {
		p := filepath.Join(tmp, f)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(tmp, "pull-123", "d", "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	n, err := s.SweepTemp()
	if err != nil || n != 1 {
		t.Errorf("swept %d, %v; want only what a store makes", n, err)
	}
	for _, f := range foreign {
		if _, err := os.Lstat(filepath.Join(tmp, f)); err != nil {
			t.Error(err)
		}
	}
}

// Several processes may make the same store at once: none may take what another has just made for foreign things.
func TestCreateAtOnce(t *testing.T) {
	for range 20 {
		root := filepath.Join(t.TempDir(), "root")
		var at sync.WaitGroup
		for range 8 {
			at.Go(func() {
				if _, err := Create(root); err != nil {
					t.Error(err)
				}
			})
		}
		at.Wait()
		// As one sees it that found no version a moment ago.
		if err := (&Store{root: root}).checkAdoptable(); err != nil {
			t.Fatal(err)
		}
	}
}
