package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

const (
	ourTraced      = "flake (its link), traced"
	ourTracedUser  = "flake as an ordinary user, traced"
	ourTracedStack = ourStack + ", traced"
	tracedStarts   = 21
)

// lanes are the processes of a start, as the trace calls them.
var lanes = []string{"outside", "PID 1", "app"}

// phase is one of a start's; the figures are medians, in microseconds from the launcher's first own instruction on.
type phase struct {
	Lane  string  `json:"lane"`
	Name  string  `json:"name"`
	Count int     `json:"count"` // of the operations
	Begin float64 `json:"begin_us"`
	Took  float64 `json:"took_us"`

	AllBegin []float64 `json:"all_begin_us"`
	AllTook  []float64 `json:"all_took_us"`
}

// timeline is the phases of one kind of start, over all its rounds.
type timeline struct {
	Subject string  `json:"subject"`
	Starts  int     `json:"starts"`
	Whole   float64 `json:"whole_us"` // the median of what the trace covers
	Phases  []phase `json:"phases"`   // in the order of their beginnings
}

// recorder collects what starts of one subject write as their trace.
type recorder struct {
	subject string
	runs    [][]phase
}

// phases shows where the time of a start goes, from the traces that starts write themselves.
func phases(rounds int) scenario {
	s := scenario{
		name: "phases", title: "Start of /bin/true in the Debian base, and the same traced", rounds: min(rounds, tracedStarts), reference: ourLink,
		subjects: []subject{
			{name: ourLink, prepare: prepareFlake, command: func(e *env) *exec.Cmd { return e.ours(e.link("true")) }},
			{name: ourTraced, prepare: prepareFlake, command: func(e *env) *exec.Cmd { return e.ours(e.link("true")) }},
			plainUser.subject(ourTracedUser, nothing, func(e *env) []string { return []string{plainUser.link(e, "true")} }),
			stacked(),
		},
	}
	s.subjects[3].name = ourTracedStack
	var recorders []*recorder
	for i := range s.subjects[1:] {
		sub := &s.subjects[i+1]
		r := &recorder{subject: sub.name}
		recorders = append(recorders, r)
		sub.measure = r.traced
	}
	s.timelines = func() (all []timeline) {
		for _, r := range recorders {
			if len(r.runs) > 1 {
				all = append(all, summary(r.subject, r.runs[1:])) // the first one is to warm up
			}
		}
		return all
	}
	return s
}

// traced is a start that writes its trace, in a directory that whoever it is may write to.
func (r *recorder) traced(e *env, sub subject) (sample, error) {
	dir := e.scratch("traces")
	err := e.once(dir, func() error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o777|os.ModeSticky)) })
	if err != nil {
		return sample{}, err
	}
	file := filepath.Join(dir, fmt.Sprintf("%d.json", e.serial.Add(1)))
	cmd := sub.command(e)
	cmd.Env = append(cmd.Env, "FLAKE_TRACE="+file)
	got, err := timed(cmd)
	if err != nil {
		return got, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return got, err
	}
	run, err := parseTrace(text)
	r.runs = append(r.runs, run)
	return got, err
}

// parseTrace reads a trace in Chrome's format.
func parseTrace(text []byte) ([]phase, error) {
	var trace struct {
		Events []struct {
			Name, Ph string
			Tid      int
			Ts, Dur  float64
			Args     struct {
				Name  string
				Count int
			}
		} `json:"traceEvents"`
	}
	if err := json.Unmarshal(text, &trace); err != nil {
		return nil, fmt.Errorf("read trace: %w", err)
	}
	lane := map[int]string{}
	var run []phase
	for _, event := range trace.Events {
		switch event.Ph {
		case "M":
			lane[event.Tid] = event.Args.Name
		case "X":
			run = append(run, phase{Lane: lane[event.Tid], Name: event.Name, Count: event.Args.Count, Begin: event.Ts, Took: event.Dur})
		}
	}
	if len(run) == 0 {
		return nil, fmt.Errorf("read trace: nothing in it")
	}
	return run, nil
}

// summary is the medians of runs; what less than half of them have is left out.
func summary(subject string, runs [][]phase) timeline {
	type key struct {
		lane, name string
		nth        int
	}
	t := timeline{Subject: subject, Starts: len(runs)}
	found := map[key]*phase{}
	var wholes []float64
	for _, run := range runs {
		seen, whole := map[key]int{}, 0.0
		for _, p := range run {
			k := key{lane: p.Lane, name: p.Name}
			seen[k]++
			k.nth = seen[k]
			if found[k] == nil {
				found[k] = &phase{Lane: p.Lane, Name: p.Name, Count: p.Count}
			}
			found[k].AllBegin, found[k].AllTook = append(found[k].AllBegin, p.Begin), append(found[k].AllTook, p.Took)
			whole = max(whole, p.Begin+p.Took)
		}
		wholes = append(wholes, whole)
	}
	t.Whole = median(wholes)
	for _, p := range found {
		if 2*len(p.AllTook) >= len(runs) {
			p.Begin, p.Took = median(p.AllBegin), median(p.AllTook)
			t.Phases = append(t.Phases, *p)
		}
	}
	slices.SortFunc(t.Phases, func(a, b phase) int {
		return cmp.Or(cmp.Compare(slices.Index(lanes, a.Lane), slices.Index(lanes, b.Lane)), cmp.Compare(a.Begin, b.Begin))
	})
	return t
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return sorted[len(sorted)/2]
}

// print writes the phases as markdown.
func (t *timeline) print(w io.Writer) {
	fmt.Fprintf(w, "\n#### Phases: %s (medians of %d starts)\n\n", t.Subject, t.Starts)
	fmt.Fprintf(w, "The trace covers %s. The processes run side by side; each phase lasts until the same process begins the next.\n\n", micro(t.Whole))
	fmt.Fprintln(w, "| process | phase | operations | begins at | takes |\n|---|---|---:|---:|---:|")
	for _, p := range t.Phases {
		fmt.Fprintf(w, "| %s | %s | %d | %s | %s |\n", p.Lane, p.Name, p.Count, micro(p.Begin), micro(p.Took))
	}
}

// micro is a time in microseconds with its unit.
func micro(us float64) string {
	if us >= 10_000 {
		return fmt.Sprintf("%.1f ms", us/1000)
	}
	return fmt.Sprintf("%.0f µs", us)
}
