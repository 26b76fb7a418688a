package engine

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

func TestStateDirThatSomebodyElseCouldUse(t *testing.T) {
	for name, make := range map[string]func(dir string) error{
		"a file":          func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
		"a symlink":       func(dir string) error { return os.Symlink(os.TempDir(), dir) },
		"dangling link":   func(dir string) error { return os.Symlink("/no/such/dir", dir) },
		"group-writable":  func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o770)) },
		"world-writable":  func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o702)) },
		"somebody else's": func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 1234, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			if err := make(dir); errors.Is(err, syscall.EPERM) {
				t.Skip("needs root: gives a directory away")
			} else if err != nil {
				t.Fatal(err)
			}
			var want *StateError
			if err := PrepareStateDir(dir); !errors.As(err, &want) || want.Remedy() == "" {
				t.Errorf("%v", err)
			}
		})
	}
	dir := filepath.Join(t.TempDir(), "a/b")
	for range 2 {
		if err := PrepareStateDir(dir); err != nil {
			t.Error(err)
		}
	}
}

func TestSweepTakesOnlyWhatNobodyHolds(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	live, err := newInstance(state)
	if err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(state, instancePrefix+"1-0")
	broken := filepath.Join(dead, containerID, stateFile)
	if err := errors.Join(os.MkdirAll(filepath.Dir(broken), 0o700), os.WriteFile(broken, []byte("{"), 0o600),
		os.Mkdir(filepath.Join(state, instancePrefix+"2-0"), 0o700), os.Mkdir(filepath.Join(state, "root"), 0o700)); err != nil {
		t.Fatal(err)
	}
	sweep(state)
	found, err := os.ReadDir(state)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range found {
		names = append(names, f.Name())
	}
	if want := []string{filepath.Base(live.dir), "root"}; !slices.Equal(names, want) {
		t.Errorf("left %q, want %q", names, want)
	}
	if err := live.close(); err != nil {
		t.Error(err)
	}
}

func TestInstancesAndSweepersAtTheSameTime(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				sweep(state)
				inst, err := newInstance(state)
				if err != nil {
					t.Error(err)
					return
				}
				if !stillThere(inst.lock, inst.dir) {
					t.Error("a sweeper removed a live instance")
				}
				if err := inst.close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestForwardedSignals(t *testing.T) {
	got := forwarded()
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR1, unix.SIGWINCH, unix.SIGCONT, unix.SIGTSTP, 35, 64} {
		if !slices.Contains(got, os.Signal(s)) {
			t.Errorf("%d is not forwarded", s)
		}
	}
	for _, s := range append(slices.Clone(kept), 32, 33) {
		if slices.Contains(got, os.Signal(s)) {
			t.Errorf("%d is forwarded", s)
		}
	}
}

func TestSealedFileCanNotBeChanged(t *testing.T) {
	f, err := initproc.Sealed("x", []byte("content"), true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, change := range map[string]func() error{
		"write":    func() error { _, err := f.WriteAt([]byte("y"), 0); return err },
		"truncate": func() error { return f.Truncate(1) },
		"grow":     func() error { return f.Truncate(100) },
	} {
		if err := change(); !errors.Is(err, unix.EPERM) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
