package completion

import (
	"io"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

type grammar struct {
	Global bool `short:"g"`
	Make   struct {
		Base   string   `placeholder:"IMAGE"`
		Layer  []string `sep:"none" placeholder:"IMAGE"`
		File   string   `short:"f" placeholder:"PATH[:ro]"`
		Mode   string   `enum:",fast,full" default:""`
		Secret bool     `hidden:""`
		Dir    string   `arg:"" optional:""`
	} `cmd:"" help:"Make it."`
	Drop struct {
		Apps []string `arg:"" optional:"" name:"app"`
	} `cmd:"" aliases:"delete"`
	Inner struct {
		Mode string `arg:"" enum:"one,two"`
	} `cmd:"" hidden:""`
}

type passing struct {
	Env   []string `short:"e" sep:"none"`
	Words []string `arg:"" optional:"" passthrough:"" name:"image [command]"`
}

func model(t *testing.T, g any) *kong.Application {
	t.Helper()
	p, err := kong.New(g, kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	return p.Model
}

func TestComplete(t *testing.T) {
	src := Sources{
		Images: func() []string {
			return []string{"docker.io/library/aws:latest", "docker.io/library/aws:1", "localhost/own:latest", "reg.example:5000/x/y:latest"}
		},
		Flakes: func() []string { return []string{"aws", "az"} },
	}
	run := model(t, &passing{})
	ctl := model(t, &grammar{})
	for line, want := range map[string]string{
		"":                       "none make drop",
		"m":                      "none make",
		"inner ":                 "none one two",
		"-":                      "none --help --global",
		"-g -":                   "none --help",
		"make --":                "none --base --layer --file --mode --help --global",
		"make --base a --":       "none --layer --file --mode --help --global",
		"make --layer a --l":     "none --layer",
		"make --mode ":           "none fast full",
		"make --mode=fu":         "none --mode=full",
		"make --mode f":          "none fast full",
		"make --base ":           "none aws aws:1 own reg.example:5000/x/y",
		"make --base docker.io/": "none docker.io/library/aws:latest docker.io/library/aws:1",
		"make --base=o":          "none --base=own",
		"make --file ":           "files",
		"make -f ":               "files",
		"make -gf ":              "files",
		"make -fx ":              "dirs",
		"make ":                  "dirs",
		"make x ":                "none",
		"make -- --":             "dirs",
		"make --unknown ":        "dirs",
		"make --global=":         "none",
		"drop a":                 "none aws az",
		"drop aws a":             "none aws az",
		"delete az":              "none az",
		"drop make --":           "none --help --global",
		"unknown --":             "none --help --global",
		"RUN ":                   "none aws aws:1 own reg.example:5000/x/y",
		"RUN -e X=1 o":           "none own",
		"RUN -e ":                "none",
		"RUN aws -":              "files",
		"RUN aws make --base ":   "files",
		"RUN -- a":               "none aws aws:1",
	} {
		app, words := ctl, strings.Split(line, " ")
		if words[0] == "RUN" {
			app, words = run, words[1:]
		}
		a := Complete(app, words, src)
		got := a.Add
		for _, c := range a.Candidates {
			got += " " + c.Value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", line, diff)
		}
	}
}

func TestWrite(t *testing.T) {
	var b strings.Builder
	a := Answer{Add: AddFiles, Candidates: []Candidate{{"a", "two\n lines\t here"}, {"b", ""}, {"no\nname", ""}}}
	if err := a.Write(&b); err != nil || b.String() != "files\na\ttwo lines here\nb\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if !strings.Contains(Script(shell), "flake-ctl complete") {
			t.Errorf("no script for %s", shell)
		}
	}
	if Script("csh") != "" {
		t.Error("a script for csh")
	}
}
