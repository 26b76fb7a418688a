package main

import (
	"os/exec"
	"path/filepath"
)

// ourEnter is a start inside of a kept instance.
const ourEnter = "flake, kept instance"

// keptScenario compares entering an instance that runs with starting a sandbox from nothing, by the quickest there is.
func keptScenario(rounds int) scenario {
	return scenario{
		name: "kept", title: "/bin/true in a kept instance that runs", rounds: rounds, reference: ourEnter,
		subjects: []subject{
			{name: "native", prepare: nothing, command: func(*env) *exec.Cmd { return exec.Command("/bin/true") }},
			{name: ourEnter, prepare: prepareKept, command: func(e *env) *exec.Cmd { return e.ours(filepath.Join(e.links, "kept")) }},
			{name: ourLink, prepare: prepareFlake, command: func(e *env) *exec.Cmd { return e.ours(filepath.Join(e.links, "true")) }},
			{name: bwrapAll, prepare: needs("bwrap"), command: func(e *env) *exec.Cmd {
				return exec.Command("bwrap", bwrapOver(e.rootfs(), "/bin/true")...)
			}},
		},
		goals: []goal{ratio(ourEnter, bwrapAll, 1.5)},
	}
}

func prepareKept(e *env) error {
	if err := prepareFlake(e); err != nil {
		return err
	}
	return e.once("kept", func() error {
		err := e.quiet(e.ours(e.binary("flake-ctl"), "register", "--container", "bookworm",
			"--app", filepath.Join(e.links, "kept"), "--target", "/bin/true", "--resume"))
		if err == nil {
			e.stops = append(e.stops, func() { _ = e.quiet(e.ours(e.binary("flake-ctl"), "reset", "kept")) })
		}
		return err
	})
}
