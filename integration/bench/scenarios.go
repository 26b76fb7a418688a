package main

import (
	"fmt"
	"os/exec"
)

const (
	ourLink = "flake (its link)"
	ourRun  = "flake-run"
)

// scenarios is the table that -only chooses from.
func scenarios(rounds, pulls int) []scenario {
	return []scenario{
		start(rounds),
		userStart(rounds),
		rangeStart(rounds),
		hostFiles(rounds),
		compiling(rounds),
		keptScenario(rounds),
		phases(rounds),
		parallel(rounds),
		memory(rounds),
		pipe(rounds),
		pull(pulls),
	}
}

func nothing(*env) error { return nil }

func both(one, two func(*env) error) func(*env) error {
	return func(e *env) error {
		if err := one(e); err != nil {
			return err
		}
		return two(e)
	}
}

// needs is a subject that needs a program and the plain tree of the base.
func needs(program string) func(*env) error {
	return func(e *env) error {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed (integration/hack/deps.sh bench)", program)
		}
		_, err := e.real("bookworm")
		return err
	}
}
