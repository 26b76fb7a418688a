package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"text/template"
	"time"
)

const aTrace = `{"displayTimeUnit":"ms","traceEvents":[
{"name":"thread_name","ph":"M","pid":7,"tid":0,"args":{"name":"outside"}},
{"name":"thread_name","ph":"M","pid":7,"tid":1,"args":{"name":"PID 1"}},
{"name":"plan","ph":"X","pid":7,"tid":0,"ts":1.500,"dur":10.250,"args":{"count":1}},
{"name":"rights","ph":"X","pid":7,"tid":1,"ts":20,"dur":5,"args":{"count":1}},
{"name":"mounts","ph":"X","pid":7,"tid":1,"ts":25,"dur":30,"args":{"count":3}},
{"name":"rights","ph":"X","pid":7,"tid":1,"ts":55,"dur":45,"args":{"count":2}}
]}`

func TestParseTrace(t *testing.T) {
	run, err := parseTrace([]byte(aTrace))
	if err != nil || len(run) != 4 {
		t.Fatalf("%v, %v", run, err)
	}
	if p := run[0]; p.Lane != "outside" || p.Name != "plan" || p.Begin != 1.5 || p.Took != 10.25 {
		t.Errorf("%+v", p)
	}
	if p := run[3]; p.Lane != "PID 1" || p.Count != 2 {
		t.Errorf("%+v", p)
	}
	for _, bad := range []string{"", "{", `{"traceEvents":[]}`} {
		if _, err := parseTrace([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a trace", bad)
		}
	}
}

func TestSummary(t *testing.T) {
	at := func(began, took float64) []phase {
		return []phase{
			{Lane: "PID 1", Name: "mounts", Begin: 50, Took: 1}, {Lane: "PID 1", Name: "rights", Begin: 60, Took: 2},
			{Lane: "outside", Name: "plan", Begin: began, Took: took},
			{Lane: "PID 1", Name: "rights", Begin: 70, Took: 30},
		}
	}
	runs := [][]phase{at(1, 10), at(3, 300), append(at(2, 20), phase{Lane: "app", Name: "seldom", Begin: 9, Took: 9})}
	got := summary("x", runs)
	var words []string
	for _, p := range got.Phases {
		words = append(words, p.Lane+" "+p.Name)
	}
	if s := strings.Join(words, ", "); s != "outside plan, PID 1 mounts, PID 1 rights, PID 1 rights" {
		t.Fatal(s)
	}
	if p := got.Phases[0]; p.Begin != 2 || p.Took != 20 || len(p.AllTook) != 3 || got.Whole != 100 || got.Starts != 3 {
		t.Errorf("%+v", got)
	}
	if p := got.Phases[3]; p.Begin != 70 || p.Took != 30 {
		t.Errorf("the second phase of that name: %+v", p)
	}
}

func TestPhasesAreLaidOut(t *testing.T) {
	got := laidOut([]phase{
		{Lane: "outside", Name: "plan", Begin: 0, Took: 10}, {Lane: "outside", Name: "namespaces", Begin: 14, Took: 20},
		{Lane: "outside", Name: "waiting", Begin: 40, Took: 7}, {Lane: "outside", Name: "end of PID 1", Begin: 300, Took: 5},
		{Lane: "outside", Name: "clearing up", Begin: 310, Took: 1},
		{Lane: "PID 1", Name: "mounts", Begin: 19, Took: 30}, {Lane: "PID 1", Name: "fork of the app", Begin: 60, Took: 8},
		{Lane: "PID 1", Name: "waiting", Begin: 80, Took: 1}, {Lane: "PID 1", Name: "end of the app", Begin: 90, Took: 9},
		{Lane: "app", Name: "execve", Begin: 64, Took: 5}, {Lane: "app", Name: "running", Begin: 70, Took: 100},
	})
	want := map[string][2]float64{
		"outside plan": {0, 10}, "outside namespaces": {10, 20}, "outside waiting": {30, 128}, "outside end of PID 1": {158, 5},
		"outside clearing up": {163, 1}, "PID 1 mounts": {15, 30}, "PID 1 fork of the app": {45, 8}, "PID 1 waiting": {53, 101},
		"PID 1 end of the app": {154, 9}, "app execve": {49, 5}, "app running": {54, 100},
	}
	for _, p := range got {
		if w := want[p.Lane+" "+p.Name]; w != [2]float64{p.Begin, p.Took} {
			t.Errorf("want %v for %+v", w, p)
		}
	}
}

func TestPhasePicture(t *testing.T) {
	run, err := parseTrace([]byte(aTrace))
	if err != nil {
		t.Fatal(err)
	}
	p := drawPhases([]timeline{summary("a <b>", [][]phase{run})}, []string{"a & b"})
	c := p.Charts[0]
	if len(c.Lanes) != len(lanes) || len(c.Blocks) != 4 || len(c.Key) != 4 {
		t.Fatalf("%+v", c)
	}
	last := c.Blocks[3]
	if last.X != laneX(55, 100) || last.X+last.Width != laneLabel+laneAxis {
		t.Errorf("the last block is to end where the axis does: %+v", last)
	}
	if n := len(c.Ticks); n < 2 || n > 11 {
		t.Errorf("%d ticks", n)
	}
	wellFormed(t, phaseTemplate, p)
}

func TestBarsThatAreCut(t *testing.T) {
	r := &result{Reference: "ours", pictured: true, Series: []series{
		timesOf("ours", time.Millisecond), timesOf("slow", 99*time.Millisecond), timesOf("fair", 4*time.Millisecond),
	}}
	p := draw([]*result{r}, nil)
	bars := p.Charts[0].Bars
	if bars[0].Cut || !bars[1].Cut || bars[2].Cut || bars[0].Width != svgBar/svgScale || bars[1].Width != svgBar || bars[2].Width != svgBar*4/svgScale {
		t.Errorf("%+v", bars)
	}
	wellFormed(t, svgTemplate, p)
}

func wellFormed(t *testing.T, template *template.Template, picture any) {
	t.Helper()
	var text bytes.Buffer
	if err := template.Execute(&text, picture); err != nil {
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
