package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func timesOf(name string, times ...time.Duration) series {
	s := series{Subject: name}
	for _, took := range times {
		s.Samples = append(s.Samples, sample{Time: took, Peak: 2048})
	}
	return s
}

func TestGoals(t *testing.T) {
	r := &result{Series: []series{
		timesOf("fast", 1, 2, 30), timesOf("slow", 10, 10, 10),
		{Subject: "large", Samples: []sample{{MiB: 3}}},
		{Subject: "shaky", Samples: []sample{{Time: 1}, {Time: 1, Failed: 2, Why: "it fell"}}},
		{Subject: "absent", Missing: "not installed"},
	}}
	for behaviour, test := range map[string]struct {
		goal goal
		want string
	}{
		"ratio of medians":      {ratio("fast", "slow", 0.2), "reached"},
		"ratio too large":       {ratio("slow", "fast", 4.9), "missed"},
		"peer that is missing":  {ratio("fast", "absent", 9), "not known"},
		"missing itself":        {noneFails("absent"), "not known"},
		"peak of memory":        {peakOf("fast", 2), "reached"},
		"too high a peak":       {peakOf("fast", 1.9), "missed"},
		"amount":                {medianOf("large", 3), "reached"},
		"too large":             {medianOf("large", 2.9), "missed"},
		"soon enough":           {within("slow", 10), "reached"},
		"too late":              {within("slow", 9), "missed"},
		"all starts succeed":    {noneFails("fast"), "reached"},
		"a start fails":         {noneFails("shaky"), "missed"},
		"nobody of such a name": {ratio("who", "fast", 1), "not known"},
	} {
		r.Goals = nil
		r.judge([]goal{test.goal})
		if got := r.Goals[0]; got.Word != test.want {
			t.Errorf("%s: want %s, got %+v", behaviour, test.want, got)
		}
	}
	var text bytes.Buffer
	r.print(&text)
	for _, want := range []string{"not compared: absent: not installed", "failed: shaky: 2 starts, the first by it fell"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:\n%s", want, text.String())
		}
	}
	text.Reset()
	r.Scenario, r.Goals = "some", nil
	r.judge([]goal{ratio("fast", "slow", 0.1), ratio("fast", "absent", 1), noneFails("fast")})
	printGoals(&text, []*result{r})
	for _, want := range []string{
		"| some | fast : slow | 0.100 × | 0.200 × | missed |", "| some | fast : absent | 1.000 × | - | not known |",
		"| some | fast, starts that fail | 0 | 0 | reached |",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in:\n%s", want, text.String())
		}
	}
}

func TestPicture(t *testing.T) {
	r := &result{Title: `a <b> & "c"`, pictured: true, Series: []series{
		timesOf("flake < pipe", time.Millisecond), timesOf("native", 4*time.Millisecond), timesOf("absent"),
	}}
	p := draw([]*result{r, {Title: "not to be drawn"}}, []string{"a & b"})
	bars := p.Charts[0].Bars
	if len(bars) != 2 || bars[1].Width != svgBar || bars[0].Width != svgBar/4 || !bars[0].Ours || bars[1].Ours {
		t.Errorf("%+v", bars)
	}
	wellFormed(t, svgTemplate, p)
}

// The names that goals and tables refer to have to be those of subjects.
func TestScenarios(t *testing.T) {
	for _, s := range scenarios(2, 1) {
		names := map[string]bool{}
		for _, sub := range s.subjects {
			if names[sub.name] {
				t.Errorf("%s: two subjects are called %q", s.name, sub.name)
			}
			names[sub.name] = true
		}
		wanted := []string{s.reference}
		for _, g := range s.goals {
			wanted = append(wanted, g.of)
			if g.kind == ratioOfMedians {
				wanted = append(wanted, g.against)
			}
		}
		for _, name := range wanted {
			if !names[name] {
				t.Errorf("%s: nobody is called %q", s.name, name)
			}
		}
	}
}
