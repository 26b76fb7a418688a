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
	svgLabel   = 330 // room for the subjects' names
	svgBar     = 440 // the longest bar of a scenario
	svgLine    = 22
	svgHeading = 44
)

// picture is what the template draws.
type picture struct {
	Width, Height int
	Charts        []chart
}

type chart struct {
	Y     int
	Title string
	Bars  []bar
}

type bar struct {
	Y, X, Width, TextX int
	Name, Figure       string
	Ours               bool
}

var svgTemplate = template.Must(template.New("svg").Funcs(template.FuncMap{"xml": template.HTMLEscapeString}).Parse(
	`<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="{{.Height}}" font-family="sans-serif" font-size="13">
<rect width="100%" height="100%" fill="#fff"/>
{{range .Charts}}<text x="10" y="{{.Y}}" font-weight="bold">{{xml .Title}}</text>
{{range .Bars}}<text x="{{.X}}" dx="-8" y="{{.Y}}" dy="13" text-anchor="end">{{xml .Name}}</text>
<rect x="{{.X}}" y="{{.Y}}" width="{{.Width}}" height="16" fill="{{if .Ours}}#2a7f62{{else}}#b5b9bd{{end}}"/>
<text x="{{.TextX}}" y="{{.Y}}" dy="13">{{xml .Figure}}</text>
{{end}}{{end}}</svg>
`))

// draw is the picture of all medians; the bars of a scenario begin at 0 and are to the same scale.
func draw(results []*result) picture {
	p := picture{Width: svgWidth}
	y := 0
	for _, r := range results {
		c := chart{Y: y + 28, Title: r.Title}
		y += svgHeading
		longest := 0.0
		for i := range r.Series {
			if s := &r.Series[i]; len(s.Samples) > 0 {
				longest = max(longest, s.at(0.5))
			}
		}
		for i := range r.Series {
			s := &r.Series[i]
			if len(s.Samples) == 0 {
				continue
			}
			width := max(1, int(svgBar*s.at(0.5)/longest))
			c.Bars = append(c.Bars, bar{
				Y: y, X: svgLabel, Width: width, TextX: svgLabel + width + 6,
				Name: s.Subject, Figure: r.pretty(s.at(0.5)), Ours: strings.HasPrefix(s.Subject, "flake"),
			})
			y += svgLine
		}
		p.Charts = append(p.Charts, c)
	}
	p.Height = y + 20
	return p
}

func writeSVG(path string, results []*result) error {
	var text bytes.Buffer
	if err := svgTemplate.Execute(&text, draw(results)); err != nil {
		return fmt.Errorf("draw %s: %w", path, err)
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}
