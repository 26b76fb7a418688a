package overlay

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// inPrivateMounts marks a test binary that runs in a mount namespace of its own.
const inPrivateMounts = "FLAKE_TEST_PRIVATE_MOUNTS"

// TestMain runs all tests a level down, in a private mount namespace: no mistake of theirs reaches the host.
func TestMain(m *testing.M) {
	if os.Geteuid() != 0 || os.Getenv(inPrivateMounts) != "" {
		os.Exit(m.Run())
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), inPrivateMounts+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		panic(err)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("FLAKE_TEST_ROOT") == "1" {
		t.Fatal("needs root: mounts")
	}
	t.Skip("needs root: mounts")
}
