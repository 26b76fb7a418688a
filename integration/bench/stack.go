package main

import (
	"fmt"
	"os/exec"
)

const (
	ourStack   = "flake of base, 3 layers, delta, 8000 host files"
	stackHosts = 8000
	stackName  = "stacked"
)

// stacked is the start that the first row is to be held against: with all that a flake can be made of.
func stacked() subject {
	return subject{name: ourStack, prepare: prepareStack, after: settle, command: func(e *env) *exec.Cmd { return e.ours(e.link(stackName)) }}
}

func prepareStack(e *env) error { return e.once(stackName, func() error { return makeStack(e) }) }

func makeStack(e *env) error {
	if err := prepareFlake(e); err != nil {
		return err
	}
	list, err := manifest(stackHosts)
	if err != nil {
		return err
	}
	below := []string{"--base", "bookworm"}
	for i := range 3 {
		name := fmt.Sprintf("layer-%d", i+1)
		if err := e.load(name, "dir opt", "dir opt/"+name, "file opt/"+name+"/tool mode=0755 size=100000"); err != nil {
			return err
		}
		below = append(below, "--layer", name)
	}
	if err := e.load(stackName, "dir opt", "dir opt/app", "file opt/app/main mode=0755 size=100000", removed(list)); err != nil {
		return err
	}
	if err := e.register(stackName, "/bin/true", append(below, "--container", stackName)...); err != nil {
		return err
	}
	return e.seesHost(list, append(below, stackName)...)
}

// load composes an image of one layer and loads it into the store of root's.
func (e *env) load(name string, lines ...string) error {
	archive, err := e.delta(name, lines...)
	if err != nil {
		return err
	}
	return e.quiet(e.ours(e.binary("flake-ctl"), "load", archive))
}
