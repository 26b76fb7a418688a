package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
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
		"ratio of medians":      {ratio("fast", "slow", 0.2), "met"},
		"ratio too large":       {ratio("slow", "fast", 4.9), "missed"},
		"peer that is missing":  {ratio("fast", "absent", 9), "unknown"},
		"missing itself":        {noneFails("absent"), "unknown"},
		"peak of memory":        {peakOf("fast", 2), "met"},
		"too high a peak":       {peakOf("fast", 1.9), "missed"},
		"amount":                {medianOf("large", 3), "met"},
		"too large":             {medianOf("large", 2.9), "missed"},
		"soon enough":           {within("slow", 10), "met"},
		"too late":              {within("slow", 9), "missed"},
		"all starts succeed":    {noneFails("fast"), "met"},
		"a start fails":         {noneFails("shaky"), "missed"},
		"nobody of such a name": {ratio("who", "fast", 1), "unknown"},
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
}

func TestPicture(t *testing.T) {
	r := &result{Title: `a <b> & "c"`, Series: []series{
		timesOf("flake < pipe", time.Millisecond), timesOf("native", 4*time.Millisecond), timesOf("absent"),
	}}
	p := draw([]*result{r})
	bars := p.Charts[0].Bars
	if len(bars) != 2 || bars[1].Width != svgBar || bars[0].Width != svgBar/4 || !bars[0].Ours || bars[1].Ours {
		t.Errorf("%+v", bars)
	}
	var text bytes.Buffer
	if err := svgTemplate.Execute(&text, p); err != nil {
		t.Fatal(err)
	}
	decoder := xml.NewDecoder(&text)
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
	}
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
