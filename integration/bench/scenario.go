package main

import (
	"fmt"
	"os/exec"
	"time"
)

// scenario is one table of the report.
type scenario struct {
	name      string // for -only and the JSON
	title     string
	about     func(*env) string // what only preparing shows, for the title; nil is nothing
	rounds    int
	reference string // the subject whose figure is told as a multiple of each other's
	unit      string // of what is measured; empty is time
	pictured  bool   // in the comparison's picture
	subjects  []subject
	goals     []goal
	// timelines are what became of traced starts; nil for none.
	timelines func() []timeline
}

// atMost is the word for a scenario of which some lines take part in a few rounds only.
func (s *scenario) atMost() string {
	for _, sub := range s.subjects {
		if sub.rounds > 0 && sub.rounds < s.rounds {
			return "at most "
		}
	}
	return ""
}

// subject is one line of a table.
type subject struct {
	name string
	// prepare makes ready what all rounds share. An error names why the subject cannot take part.
	prepare func(*env) error
	// before undoes the last round, untimed; nil if there is nothing to undo.
	before func(*env) error
	// after follows a run, untimed; nil if the run leaves nothing that the next would pay for.
	after func(*env) error
	// command is what is timed, from fork to the end of the process.
	command func(*env) *exec.Cmd
	// measure is one run; nil is that of the command.
	measure func(*env, subject) (sample, error)
	// rounds, if not 0, is in how many rounds at most it takes part.
	rounds int
	// thread is where commands have to be started.
	thread thread
}

// goal is what a scenario wants to show.
type goal struct {
	kind        kind
	of, against string
	limit       float64
	note        string // what is to be said of it
}

type kind int

const (
	ratioOfMedians kind = iota // of `of` to `against`
	medianAlone                // of `of`, in MiB
	medianTime                 // of `of`, in seconds
	peakMemory                 // of `of`, in MiB
	failures                   // of `of`, in all rounds
)

// unitMiB is the unit of scenarios that measure memory or files.
const unitMiB = "MiB"

// ratio wants the median of one to be at most limit times that of another.
func ratio(of, against string, limit float64) goal {
	return goal{kind: ratioOfMedians, of: of, against: against, limit: limit}
}

// noted is the same goal with a word on it.
func (g goal) noted(note string) goal {
	g.note = note
	return g
}

// peakOf wants no run of one to take more memory than that.
func peakOf(of string, mib float64) goal { return goal{kind: peakMemory, of: of, limit: mib} }

// medianOf wants the median of one to be at most that.
func medianOf(of string, mib float64) goal { return goal{kind: medianAlone, of: of, limit: mib} }

// within wants the median of one to be at most that.
func within(of string, limit time.Duration) goal {
	return goal{kind: medianTime, of: of, limit: limit.Seconds()}
}

// noneFails wants no start of one to fail.
func noneFails(of string) goal { return goal{kind: failures, of: of} }

// String says what is compared with what, without the limit.
func (g goal) String() string {
	text := g.of
	switch g.kind {
	case ratioOfMedians:
		text += " : " + g.against
	case peakMemory:
		text += ", peak of memory"
	case failures:
		text += ", starts that fail"
	}
	if g.note != "" {
		text += " (" + g.note + ")"
	}
	return text
}

// pretty is a figure of the goal, or its limit.
func (g goal) pretty(figure float64) string {
	switch g.kind {
	case failures:
		return fmt.Sprintf("%.0f", figure)
	case ratioOfMedians:
		return fmt.Sprintf("%.3f ×", figure)
	case medianTime:
		return fmt.Sprintf("%.3f s", figure)
	}
	return fmt.Sprintf("%.2f MiB", figure)
}
