package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"text/template"
)

// Sizes of the phases' picture, in pixels.
const (
	laneLabel  = 80 // room for the processes' names
	laneAxis   = 780
	laneHeight = 30
	keyColumn  = 280 // of the list below the lanes
	keyLine    = 17

	phaseCharts = 2 // at most
)

// phasePicture is what the template draws.
type phasePicture struct {
	Width, Height int
	Charts        []laneChart
	Facts         []string
}

// laneChart is one start: a lane for each process, and below them what the blocks' numbers stand for.
type laneChart struct {
	Y      int // of the title
	Title  string
	Bottom int // of the axis
	Top    int
	Ticks  []tick
	Lanes  []laneLine
	Blocks []block
	Key    []keyWord
}

type tick struct {
	X    int
	Text string
}

type laneLine struct {
	Y    int
	Name string
}

type block struct {
	X, Y, Width, Middle  int
	Color, Number, Title string
}

type keyWord struct {
	X, Y              int
	Color, Name, Took string
}

var phaseColors = []string{"#2a7f62", "#d98e04", "#3b6fb6", "#a3486e", "#6b8e23", "#7c5cbf", "#c2573a", "#2f8fa3"}

// waitColor is that of a process that waits for another.
const waitColor = "#e3e5e8"

var phaseTemplate = template.Must(template.New("phases").Funcs(svgFuncs).Parse(svgHead +
	`{{range .Charts}}{{$c := .}}<text x="10" y="{{.Y}}" font-weight="bold">{{xml .Title}}</text>
{{range .Ticks}}<path d="M{{.X}} {{$c.Top}} V{{$c.Bottom}}" stroke="#ccc"/><text x="{{.X}}" y="{{$c.Bottom}}" dy="13" font-size="11" text-anchor="middle">{{xml .Text}}</text>
{{end}}{{range .Lanes}}<text x="10" y="{{.Y}}" dy="16">{{xml .Name}}</text>
{{end}}{{range .Blocks}}<rect x="{{.X}}" y="{{.Y}}" width="{{.Width}}" height="22" fill="{{.Color}}"><title>{{xml .Title}}</title></rect>
{{if .Number}}<text x="{{.Middle}}" y="{{.Y}}" dy="15" font-size="11" text-anchor="middle" fill="{{if eq .Color "` + waitColor + `"}}#555{{else}}#fff{{end}}">{{.Number}}</text>
{{end}}{{end}}{{range .Key}}<rect x="{{.X}}" y="{{.Y}}" width="11" height="11" fill="{{.Color}}"/>
<text x="{{.X}}" y="{{.Y}}" dx="17" dy="10" font-size="12">{{xml .Name}}</text><text x="{{.X}}" y="{{.Y}}" dx="255" dy="10" font-size="12" text-anchor="end">{{xml .Took}}</text>
{{end}}{{end}}` + svgFoot))

// drawPhases is the picture of the first such starts, all to the same scale.
func drawPhases(all []timeline, facts []string) phasePicture {
	p := phasePicture{Width: svgWidth, Facts: facts}
	longest, y := 0.0, 0
	all = slices.Clone(all[:min(len(all), phaseCharts)])
	for i := range all {
		all[i].Phases = laidOut(all[i].Phases)
		for _, p := range all[i].Phases {
			longest = max(longest, p.Begin+p.Took)
		}
	}
	for _, t := range all {
		c := laneChart{Y: y + 28, Top: y + 40, Title: fmt.Sprintf("%s: %s, medians of %d starts", t.Subject, micro(t.Whole), t.Starts)}
		c.Bottom = c.Top + laneHeight*len(lanes)
		step := stepOf(longest)
		for us := 0.0; us <= longest; us += step {
			c.Ticks = append(c.Ticks, tick{laneX(us, longest), fmt.Sprintf("%g ms", us/1000)})
		}
		y = c.fill(t, longest)
		p.Charts = append(p.Charts, c)
	}
	p.Height = y + 20 + svgFootLine*len(facts)
	return p
}

func laneX(us, longest float64) int { return laneLabel + int(math.Round(laneAxis*us/longest)) }

// stepOf is a round distance of ticks, of which there are at most ten.
func stepOf(longest float64) float64 {
	for step := 100.0; ; step *= 10 {
		for _, times := range []float64{1, 2, 5} {
			if longest <= 10*times*step {
				return times * step
			}
		}
	}
}

// fill adds the blocks and the list below them, and returns where that ends.
func (c *laneChart) fill(t timeline, longest float64) (end int) {
	for lane, name := range lanes {
		c.Lanes = append(c.Lanes, laneLine{c.Top + lane*laneHeight + 4, name})
		n := 0
		for _, p := range t.Phases {
			if p.Lane != name {
				continue
			}
			n++
			color := phaseColors[(n-1)%len(phaseColors)]
			if p.Name == waiting {
				color = waitColor
			}
			from, to := laneX(p.Begin, longest), laneX(p.Begin+p.Took, longest)
			b := block{X: from, Y: c.Top + lane*laneHeight + 4, Width: max(1, to-from), Middle: (from + to) / 2, Color: color, Title: p.Name + ", " + micro(p.Took)}
			number := fmt.Sprint(n)
			if b.Width >= 8*len(number)+2 {
				b.Number = number
			}
			c.Blocks = append(c.Blocks, b)
			k := keyWord{X: 10 + lane*(keyColumn+15), Y: c.Bottom + 12 + n*keyLine, Color: color, Name: number + "  " + p.Name, Took: micro(p.Took)}
			c.Key = append(c.Key, k)
			end = max(end, k.Y+keyLine)
		}
	}
	return end
}

// pictureFacts are the machine's facts for below a picture.
func pictureFacts(facts map[string]string) []string {
	line := func(keys ...string) string {
		var words []string
		for _, key := range keys {
			words = append(words, facts[key])
		}
		return strings.Join(words, ", ")
	}
	return []string{
		line("system", "kernel") + ", " + facts["cpus"] + " × " + facts["cpu"] + ", " + facts["date"], line("peers"),
	}
}
