package launcher

import (
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// SudoError says that a flake that asks for root can't have it.
type SudoError struct {
	Link string
	Err  error
}

func (e *SudoError) Error() string { return fmt.Sprintf("start %s as root: %v", e.Link, e.Err) }

// Unwrap gives the cause.
func (e *SudoError) Unwrap() error { return e.Err }

// Remedy implements the CLI's second line.
func (e *SudoError) Remedy() string {
	return "install sudo and allow it for this command, start it as root, or take runas out of the flake"
}

// execSudo replaces the process by sudo, which starts the flake's link as root with an environment of its own making.
// Nothing of ours is setuid. Without a terminal it must not ask for a password, which nobody could answer; what it says
// when it refuses is its own one line.
func execSudo(link string, args []string, k Keeping) error {
	if link == "" {
		return &SudoError{"the flake", fmt.Errorf("it has no host_app_path to call")}
	}
	sudo, err := exec.LookPath("sudo")
	if err != nil {
		return &SudoError{link, err}
	}
	argv := []string{"sudo"}
	if _, err := unix.IoctlGetTermios(0, unix.TCGETS); err != nil {
		argv = append(argv, "-n")
	}
	// Which instance is meant must not get lost. Where sudo passes no variables on, it says so.
	if k.Instance != "" {
		argv = append(argv, "FLAKE_INSTANCE="+k.Instance)
	}
	if k.Remove {
		argv = append(argv, "FLAKE_OPTIONS=remove")
	}
	argv = append(append(argv, "--", link), args...)
	return &SudoError{link, unix.Exec(sudo, argv, os.Environ())}
}
