package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// account is an ordinary user of the benchmarks, whose id nobody has on this machine.
type account struct {
	name string // and of the home in the scratch directory
	id   uint32
	on   thread // that his commands run on
}

// plainUser has no range of subordinate ids.
var plainUser = account{name: "user", id: 54321}

// command is his command, with a home and nothing of our environment.
func (a account) command(e *env, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=" + a.home(e), "PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: a.id, Gid: a.id}}
	return cmd
}

func (a account) home(e *env) string                { return e.scratch(a.name) }
func (a account) binary(e *env, name string) string { return filepath.Join(a.home(e), "bin", name) }
func (a account) link(e *env, name string) string   { return filepath.Join(a.home(e), "links", name) }
func (a account) archive(e *env) string             { return filepath.Join(a.home(e), "base.tar") }
func (a account) quiet(e *env, cmd *exec.Cmd) error { return e.quietIn(a.on, cmd) }
func (a account) ctl(e *env, args ...string) *exec.Cmd {
	return a.command(e, a.binary(e, "flake-ctl"), args...)
}

// prepare gives him a copy of the programs that he can reach, a store of his own with the base in it, and a flake.
func (a account) prepare(e *env) error {
	return e.once(a.name, func() error {
		base, err := e.real("bookworm")
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(a.home(e), "links"), 0o755); err != nil {
			return err
		}
		if err := os.CopyFS(filepath.Join(a.home(e), "bin"), os.DirFS(e.bin)); err != nil {
			return err
		}
		for _, cmd := range []*exec.Cmd{
			// By a program: a child's peak of memory is not below our own, so that has to stay small.
			exec.Command("cp", base.Archive, a.archive(e)),
			exec.Command("chmod", "0644", a.archive(e)),
			exec.Command("chown", "-R", fmt.Sprintf("%d:%d", a.id, a.id), a.home(e)),
			a.ctl(e, "load", a.archive(e)),
		} {
			if err := a.quiet(e, cmd); err != nil {
				return err
			}
		}
		return a.register(e, "true", "--target", "/bin/true")
	})
}

// register makes a flake of his.
func (a account) register(e *env, name string, options ...string) error {
	args := append([]string{"register", "--container", "bookworm", "--app", a.link(e, name)}, options...)
	return a.quiet(e, a.ctl(e, args...))
}

// subject is a line of his.
func (a account) subject(name string, prepare func(*env) error, program func(*env) []string) subject {
	return subject{name: name, prepare: both(prepare, a.prepare), thread: a.on, command: func(e *env) *exec.Cmd {
		words := program(e)
		return a.command(e, words[0], words[1:]...)
	}}
}

// subjects are what is compared for whoever is no root.
func (a account) subjects() []subject {
	return []subject{
		a.subject("native", nothing, func(*env) []string { return []string{"/bin/true"} }),
		a.subject(ourLink, nothing, func(e *env) []string { return []string{a.link(e, "true")} }),
		a.subject(ourRun, nothing, func(e *env) []string {
			return []string{a.binary(e, "flake-run"), "bookworm", "/bin/true"}
		}),
		a.subject(bwrapAll, needs("bwrap"), func(e *env) []string {
			return append([]string{"bwrap"}, bwrapOver(a.layer(e), "/bin/true")...)
		}),
		a.subject(bwrapNet, needs("bwrap"), func(e *env) []string {
			return append([]string{"bwrap"}, sharingNet(bwrapOver(a.layer(e), "/bin/true"))...)
		}),
	}
}

// layer is the very directory that his flake uses: the plain tree lies where he can't go.
func (a account) layer(e *env) string {
	layers, _ := filepath.Glob(filepath.Join(a.home(e), ".local/share/flakes/layers/sha256/*"))
	if len(layers) != 1 {
		return "/nonexistent"
	}
	return layers[0]
}

func userStart(rounds int) scenario {
	return scenario{
		name: "user", title: "Start of /bin/true in the Debian base, as an ordinary user without a range of ids", rounds: rounds, reference: ourLink, pictured: true,
		subjects: plainUser.subjects(),
		goals:    []goal{ratio(ourLink, bwrapAll, 1.1), ratio(ourLink, bwrapNet, 1.1)},
	}
}
