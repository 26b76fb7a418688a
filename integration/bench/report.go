package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// result is one scenario as the JSON file holds it.
type result struct {
	Scenario  string    `json:"scenario"`
	Title     string    `json:"title"`
	Reference string    `json:"reference"`
	Unit      string    `json:"unit,omitempty"`
	Series    []series  `json:"series"`
	Goals     []verdict `json:"goals"`

	Timelines []timeline `json:"timelines,omitempty"`

	pictured bool
}

// verdict is what became of a goal.
type verdict struct {
	Goal  string  `json:"goal"`
	Limit float64 `json:"at_most"`
	Got   float64 `json:"got"`
	Word  string  `json:"word"` // one of those below

	goal goal
}

// What can become of a goal.
const (
	reached  = "reached"
	missed   = "missed"
	notKnown = "not known"
)

// result runs the scenario.
func (s *scenario) result(e *env) *result {
	r := &result{Scenario: s.name, Reference: s.reference, Unit: s.unit, Series: s.run(e, progress(s.name)), pictured: s.pictured}
	if s.timelines != nil {
		r.Timelines = s.timelines()
	}
	about := s.title
	if s.about != nil {
		about += ": " + s.about(e)
	}
	r.Title = fmt.Sprintf("%s (%s%d rounds)", about, s.atMost(), s.rounds)
	r.judge(s.goals)
	return r
}

func (r *result) find(name string) *series {
	for i := range r.Series {
		if r.Series[i].Subject == name && len(r.Series[i].Samples) > 0 {
			return &r.Series[i]
		}
	}
	return nil
}

// judge holds the figures against the goals.
func (r *result) judge(goals []goal) {
	for _, g := range goals {
		v := verdict{Goal: g.String(), Limit: g.limit, Word: notKnown, goal: g}
		if got, ok := r.figure(g); ok {
			v.Got, v.Word = got, missed
			if got <= g.limit {
				v.Word = reached
			}
		}
		r.Goals = append(r.Goals, v)
	}
}

// figure is what a goal is about, if it could be had.
func (r *result) figure(g goal) (float64, bool) {
	of, against := r.find(g.of), r.find(g.against)
	switch {
	case of == nil:
		return 0, false
	case g.kind == peakMemory:
		return of.peak(), true
	case g.kind == medianAlone:
		return of.at(0.5), true
	case g.kind == medianTime:
		return time.Duration(of.at(0.5)).Seconds(), true
	case g.kind == failures:
		n, _ := of.failed()
		return float64(n), true
	case against == nil:
		return 0, false
	}
	return of.at(0.5) / against.at(0.5), true
}

// print writes the scenario as markdown.
func (r *result) print(w io.Writer) {
	fmt.Fprintf(w, "\n### %s\n\n", r.Title)
	fmt.Fprintln(w, r.header())
	for i := range r.Series {
		if s := &r.Series[i]; len(s.Samples) > 0 {
			fmt.Fprintln(w, r.row(s))
		}
	}
	fmt.Fprintln(w)
	for _, s := range r.Series {
		if n, why := s.failed(); n > 0 {
			fmt.Fprintf(w, "- failed: %s: %d starts, the first by %s\n", s.Subject, n, why)
		}
		if s.Missing != "" {
			fmt.Fprintf(w, "- not compared: %s: %s\n", s.Subject, s.Missing)
		}
	}
	for _, t := range r.Timelines {
		t.print(w)
	}
}

// printGoals writes what became of all goals.
func printGoals(w io.Writer, results []*result) {
	fmt.Fprint(w, "\n## Goals\n\n| scenario | goal | at most | measured | |\n|---|---|---:|---:|---|\n")
	for _, r := range results {
		for _, v := range r.Goals {
			got := "-"
			if v.Word != notKnown {
				got = v.goal.pretty(v.Got)
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", r.Scenario, v.Goal, v.goal.pretty(v.Limit), got, v.Word)
		}
	}
}

func (r *result) header() string {
	if r.Unit == unitMiB {
		return "| | processes | resident (RSS) | shared pages by parts (PSS) | RSS of " + r.Reference + " |\n|---|---:|---:|---:|---:|"
	}
	return "| | median | p90 | peak memory | time of " + r.Reference + " |\n|---|---:|---:|---:|---:|"
}

func (r *result) row(s *series) string {
	ratio := "-"
	if base := r.find(r.Reference); base != nil {
		ratio = fmt.Sprintf("%.3g ×", base.at(0.5)/s.at(0.5))
	}
	if r.Unit == unitMiB {
		pss := s.quantile(0.5, func(one sample) float64 { return one.PSS })
		if pss == 0 { // a file
			return fmt.Sprintf("| %s | - | %s | - | - |", s.Subject, r.pretty(s.at(0.5)))
		}
		processes := s.quantile(0.5, func(one sample) float64 { return float64(one.Processes) })
		return fmt.Sprintf("| %s | %.0f | %s | %s | %s |", s.Subject, processes, r.pretty(s.at(0.5)), r.pretty(pss), ratio)
	}
	return fmt.Sprintf("| %s | %s | %s | %.0f MiB | %s |", s.Subject, r.pretty(s.at(0.5)), r.pretty(s.at(0.9)), s.peak(), ratio)
}

// pretty is a figure with its unit.
func (r *result) pretty(figure float64) string {
	if r.Unit == unitMiB {
		return fmt.Sprintf("%.2f MiB", figure)
	}
	d := time.Duration(figure)
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	}
	return fmt.Sprintf("%.2f ms", float64(d)/1e6)
}

// writeJSON keeps the raw figures.
func writeJSON(path string, facts map[string]string, results []*result) error {
	text, err := json.MarshalIndent(map[string]any{"machine": facts, "results": results}, "", " ")
	if err != nil {
		return fmt.Errorf("encode figures: %w", err)
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
