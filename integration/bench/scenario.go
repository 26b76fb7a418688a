package main

import (
	"fmt"
	"os/exec"
)

// scenario is one table of the report.
type scenario struct {
	name     string // for -only and the JSON
	title    string
	rounds   int
	subjects []subject
	goals    []goal
}

// subject is one line of a table.
type subject struct {
	name string
	// prepare makes ready what all rounds share. An error names why the subject cannot take part.
	prepare func(*env) error
	// before undoes the last round, untimed; nil if there is nothing to undo.
	before func(*env) error
	// command is what is timed, from fork to the end of the process.
	command func(*env) *exec.Cmd
	// private: needs a mount namespace without the empty cgroup2 of a hybrid machine, see privateThread.
	private bool
}

// goal is what a scenario wants to show. With against, the ratio of the medians of `of` to it is at
// most limit; without, the peak memory of `of` in MiB is.
type goal struct {
	of, against string
	limit       float64
}

func (g goal) String() string {
	if g.against == "" {
		return fmt.Sprintf("peak memory of %s at most %.0f MiB", g.of, g.limit)
	}
	if g.limit < 0.5 {
		return fmt.Sprintf("%s at least %.3g times as fast as %s", g.of, 1/g.limit, g.against)
	}
	return fmt.Sprintf("%s takes at most %.2g times as long as %s", g.of, g.limit, g.against)
}
