package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"text/template"
)

// Sizes in pixels.
const (
	svgWidth   = 900
	svgLabel   = 350 // room for the subjects' names
	svgBar     = 440 // the longest bar of a scenario
	svgLine    = 22
	svgHeading = 44
)

// svgScale is how many times as long as the reference's a bar may be: with those of podman in full nobody could tell the
// others from each other.
const svgScale = 8

// picture is what the template draws.
type picture struct {
	Width, Height int
	Charts        []chart
	Facts         []string
}

type chart struct {
	Y     int
	Title string
	Bars  []bar
}

type bar struct {
	Y, X, Width, TextX int
	Name, Figure       string
	Ours, Cut          bool
}

const svgHead = `<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="{{.Height}}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#fff"/>
`

// svgFoot is the machine's facts below a picture.
const svgFoot = `{{$p := .}}{{range $i, $fact := .Facts}}<text x="10" y="{{$p.Height}}" dy="{{foot (len $p.Facts) $i}}" font-size="11" fill="#555">{{xml $fact}}</text>
{{end}}</svg>
`

const svgFootLine = 15

var svgFuncs = template.FuncMap{
	"xml":  template.HTMLEscapeString,
	"foot": func(n, i int) int { return (i-n)*svgFootLine + 8 },
	"plus": func(a, b int) int { return a + b },
}

var svgTemplate = template.Must(template.New("svg").Funcs(svgFuncs).Parse(svgHead +
	`{{range .Charts}}<text x="10" y="{{.Y}}" font-weight="bold">{{xml .Title}}</text>
{{range .Bars}}<text x="{{.X}}" dx="-8" y="{{.Y}}" dy="13" text-anchor="end">{{xml .Name}}</text>
<rect x="{{.X}}" y="{{.Y}}" width="{{.Width}}" height="16" fill="{{if .Ours}}#2a7f62{{else}}#b5b9bd{{end}}"/>
{{if .Cut}}<path d="M{{plus .TextX -30}} {{plus .Y 18}} l8 -20" stroke="#fff" stroke-width="4"/>
{{end}}<text x="{{.TextX}}" y="{{.Y}}" dy="13">{{xml .Figure}}</text>
{{end}}{{end}}` + svgFoot))

// draw is the picture of the medians of what is to be pictured; the bars of a scenario begin at 0 and are to the same
// scale, less those that are cut.
func draw(results []*result, facts []string) picture {
	p := picture{Width: svgWidth, Facts: facts}
	y := 0
	for _, r := range results {
		if !r.pictured {
			continue
		}
		c := chart{Y: y + 28, Title: r.Title}
		y += svgHeading
		longest := r.longest()
		for i := range r.Series {
			s := &r.Series[i]
			if len(s.Samples) == 0 {
				continue
			}
			cut := s.at(0.5) > longest
			width := max(1, int(svgBar*min(s.at(0.5)/longest, 1)))
			c.Bars = append(c.Bars, bar{
				Y: y, X: svgLabel, Width: width, TextX: svgLabel + width + 6, Cut: cut,
				Name: s.Subject, Figure: r.pretty(s.at(0.5)), Ours: strings.HasPrefix(s.Subject, "flake"),
			})
			y += svgLine
		}
		p.Charts = append(p.Charts, c)
	}
	p.Height = y + 20 + svgFootLine*len(facts)
	return p
}

// longest is what the longest bar stands for.
func (r *result) longest() (longest float64) {
	for i := range r.Series {
		if s := &r.Series[i]; len(s.Samples) > 0 {
			longest = max(longest, s.at(0.5))
		}
	}
	if base := r.find(r.Reference); base != nil {
		longest = min(longest, svgScale*base.at(0.5))
	}
	return longest
}

func writeSVG(path string, t *template.Template, picture any) error {
	var text bytes.Buffer
	if err := t.Execute(&text, picture); err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}
