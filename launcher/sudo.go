package launcher

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// SudoError says that a flake that asks for root can't have it.
type SudoError struct{ Link, Reason, Fix string }

func (e *SudoError) Error() string { return fmt.Sprintf("start %s as root: %s", e.Link, e.Reason) }

// Remedy implements the CLI's second line.
func (e *SudoError) Remedy() string { return e.Fix }

// execSudo replaces the process by sudo, which starts the flake's link as root. Nothing of ours is setuid.
//
// We don't wait as sudo's parent: it takes no signal from a process of its own group, so none could be handed on. But
// then a 1 by which it refuses can't be told from the app's. So it is asked first whether it would; a refusal that is
// known by that is ours to report. On a terminal sudo may have to ask for a password before it knows, and from there on
// all is between sudo and the user, its words and its status. variables are handed over where sudo's policy permits that.
func execSudo(p *plan.Plan, v plan.Invocation, variables []string) error {
	link := p.Entrypoint[0]
	sudo, err := findSudo()
	if err != nil {
		return &SudoError{link, err.Error(), "install sudo and allow it for this command, start it as root, or take runas out of the flake"}
	}
	env := p.Environ(plan.Invocation{}, os.Environ(), "")
	command := append([]string{"--", link}, v.Args...)
	reason, err := sudoRefuses(sudo, env, append(slices.Clone(asRoot), command...))
	if err != nil {
		return fmt.Errorf("ask sudo about %s: %w", link, err)
	}
	argv, asks := []string{"sudo"}, canAsk()
	if reason != "" && (!asks || reason == notAllowed) {
		return &SudoError{link, "sudo refuses: " + reason, sudoRemedy(link, reason)}
	}
	if !asks {
		argv = append(argv, "-n")
	}
	if err := unix.Exec(sudo, slices.Concat(argv, asRoot, variables, command), env); err != nil {
		return fmt.Errorf("execute %s: %w", sudo, err)
	}
	return nil
}

// asRoot names root: sudoers may have another default.
var asRoot = []string{"-u", "root"}

// findSudo looks where the caller looks, and where sudo lies.
func findSudo() (string, error) {
	for _, name := range []string{"sudo", "/usr/bin/sudo"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("sudo is not installed, or not for you to execute")
}

// notAllowed are our words for a refusal that sudo has none for.
const notAllowed = "you are not allowed to run this command as root"

// sudoRefuses asks sudo whether it would run the command, without a password, and returns why not, or "".
//
// With sudo's defaults the answer is what a run without a password would get. It is a refusal too many where sudoers
// says `listpw=always`, and where a script without a terminal has given its password to a sudo before; they get on by
// calling sudo themselves.
func sudoRefuses(sudo string, env, command []string) (string, error) {
	cmd := exec.Command(sudo, append([]string{"-n", "-l"}, command...)...)
	cmd.Env = append(env[:len(env):len(env)], "LC_ALL=C")
	var says bytes.Buffer
	cmd.Stderr = &says
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err == nil || !errors.As(err, &exit) {
		return "", err
	}
	return sudoCause(says.String()), nil
}

// sudoCause is the first line of what sudo said: what follows explains it. A host whose name nobody knows keeps sudo from
// nothing, and it complains each time.
func sudoCause(says string) string {
	for line := range strings.Lines(says) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "sudo: ")
		if line != "" && !strings.HasPrefix(line, "unable to resolve host") {
			return line
		}
	}
	return notAllowed
}

func sudoRemedy(link, reason string) string {
	switch {
	case reason == notAllowed:
		return fmt.Sprintf("allow it in sudoers (`NOPASSWD: %s`), or take runas out of the flake", link)
	case strings.Contains(reason, "password"):
		return fmt.Sprintf("call it on a terminal, allow it in sudoers without a password (`NOPASSWD: %s`), or call it by `sudo %s`", link, link)
	}
	return fmt.Sprintf("see to it that `sudo %s` works here, or take runas out of the flake", link)
}

// canAsk says whether sudo could ask for a password: on the terminal, whatever standard input is, or by a program that
// it is told of.
func canAsk() bool {
	if os.Getenv("SUDO_ASKPASS") != "" {
		return true
	}
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	unix.Close(fd)
	return true
}
