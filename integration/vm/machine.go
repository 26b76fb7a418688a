package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// An Arch is how machines of one architecture are made.
type Arch struct {
	Name    string // Go's, and Debian's
	qemu    string
	board   []string // arguments; the last ones are the serial lines, the console first
	console string   // the lines by the names that the kernel has for them
	said    string
}

// The first of an ARM board's lines is all that it has itself. Its own signatures of pointers cost qemu most of the time,
// where they are not replaced by simpler ones.
var (
	AMD64 = Arch{"amd64", "qemu-system-x86_64", []string{"-cpu", "max", "-serial", "file:CONSOLE", "-serial", "stdio"}, "ttyS0", "ttyS1"}
	ARM64 = Arch{"arm64", "qemu-system-aarch64", []string{"-M", "virt", "-cpu", "max,pauth-impdef=on", "-serial", "file:CONSOLE",
		"-chardev", "stdio,id=said", "-device", "pci-serial,chardev=said"}, "ttyAMA0", "ttyS0"}
)

// patience is how long a machine may take; without hardware to help it needs about one.
const patience = 10 * time.Minute

// statusUnavailable is what fetch.sh ends with when this machine is at fault.
const statusUnavailable = 3

// UnavailableError says why this machine can't boot another.
type UnavailableError struct{ Reason string }

func (e *UnavailableError) Error() string { return e.Reason }

// A Check is a script that one of a machine's users runs. It fails as a shell does under `set -e`.
type Check struct {
	Name   string
	By     string // root, alice or bob
	Script string
}

// A Verdict is how a check ended and what it said. Without Made it was not made.
type Verdict struct {
	Made   bool
	Status int
	Output string
}

// A Machine is what is to be booted.
type Machine struct {
	Arch   Arch
	Debian string            // directory of a release's kernel and programs, see Fetch
	Files  map[string]string // further files inside, by their paths, and where they lie here
	Checks []Check
}

// Boot starts the machine in dir, has all checks made one after the other, and returns their verdicts in that order. If
// not all were made the error says why, with the last words of the kernel.
func (m *Machine) Boot(ctx context.Context, dir string) ([]Verdict, error) {
	initrd, console := filepath.Join(dir, "initrd"), filepath.Join(dir, "console")
	if err := m.writeInitrd(initrd); err != nil {
		return nil, fmt.Errorf("make initramfs: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, m.Arch.qemu, m.arguments(initrd, console)...)
	var said, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complaints
	err := cmd.Run()
	verdicts, complete := parse(said.String(), len(m.Checks))
	if err == nil && complete {
		return verdicts, nil
	}
	log, _ := os.ReadFile(console)
	return verdicts, fmt.Errorf("boot: not all checks were made (%v)\n%s%s\nconsole:\n%s",
		errors.Join(err, ctx.Err()), complaints.String(), tail(said.String()), tail(string(log)))
}

func (m *Machine) arguments(initrd, console string) []string {
	args := []string{
		"-accel", "tcg", "-smp", "2", "-m", "1024", // a nested KVM may be there and fail
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-kernel", filepath.Join(m.Debian, "vmlinuz"), "-initrd", initrd,
		"-append", fmt.Sprintf("console=%s said=%s loglevel=4 panic=-1 apparmor=1 security=apparmor", m.Arch.console, m.Arch.said),
	}
	for _, arg := range m.Arch.board {
		args = append(args, strings.ReplaceAll(arg, "CONSOLE", console))
	}
	return args
}

func tail(text string) string { return text[max(0, len(text)-3000):] }

// Fetch returns the directory of a Debian release's kernel and programs; here is that of this package. The error is an
// [*UnavailableError] where this machine can't boot one.
func Fetch(ctx context.Context, here, suite string, arch Arch) (string, error) {
	if _, err := exec.LookPath(arch.qemu); err != nil {
		return "", &UnavailableError{"needs the program " + arch.qemu + " (integration/hack/deps.sh vm)"}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(here, "fetch.sh"), suite, arch.Name)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	said := strings.TrimSpace(stderr.String())
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == statusUnavailable {
		return "", &UnavailableError{said[strings.LastIndex(said, "\n")+1:]}
	}
	if err != nil {
		return "", fmt.Errorf("get packages of %s for %s: %w\n%s", suite, arch.Name, err, said)
	}
	return strings.TrimSpace(stdout.String()), nil
}

func (m *Machine) writeInitrd(file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	i := newInitramfs(f)
	for _, dir := range []string{"dev", "proc", "sys", "tmp", "run", "root", "var", "mnt"} {
		i.dir(dir)
	}
	i.copyTree(filepath.Join(m.Debian, "root"))
	for _, module := range []string{"overlay.ko", "loop.ko"} {
		i.copyFile("modules/"+module, 0o644, filepath.Join(m.Debian, "modules", module))
	}
	for name, text := range accounts {
		i.file(name, 0o644, []byte(text))
	}
	i.file("init", 0o755, []byte(initScript))
	i.file("machine", 0o755, []byte(machineScript))
	i.file("words", 0o644, []byte(wordsScript))
	for n, check := range m.Checks { // their names in the order in which the shell lists them
		i.file(fmt.Sprintf("checks/%03d.%s", n, check.By), 0o644, []byte(". /words\n"+check.Script+"\n"))
	}
	for name, from := range m.Files {
		st, err := os.Stat(from)
		if err != nil {
			return err
		}
		i.copyFile(name, st.Mode(), from)
	}
	return i.close()
}
