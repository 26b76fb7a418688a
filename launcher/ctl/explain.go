package ctl

import (
	"context"
	"encoding/json"
	"os"

	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/explain"
)

type explainCmd struct {
	App    string `arg:"" help:"The flake, by name or by the path of its link."`
	Path   string `arg:"" optional:"" help:"A path in the app's root: its whole story."`
	Format string `enum:"tree,json" default:"tree" help:"tree or json."`
	All    bool   `help:"Each file by itself, instead of directories and examples."`
}

func (explainCmd) Help() string {
	return `It starts nothing and leaves the flake's plan alone. Examples:

  flake-ctl explain aws
  flake-ctl explain aws /usr/bin/openssl
  flake-ctl explain aws --all --format json`
}

// Run prints where the files of an app's root come from.
func (c explainCmd) Run(ctx context.Context, s *session) error {
	store, err := s.startStore()
	if err != nil {
		return err
	}
	cat, err := s.catalog(store)
	if err != nil {
		return err
	}
	cat.Compiler.Needs = true
	subject, err := s.subject(ctx, cat, c.App)
	if err != nil {
		return err
	}
	if c.Path != "" {
		story, err := explain.Path(subject, c.Path)
		if err != nil {
			return err
		}
		if c.Format == "json" {
			return printJSON(s, story)
		}
		return story.Write(s.Out)
	}
	whole, err := explain.Of(subject, c.All)
	if err != nil {
		return err
	}
	if c.Format == "json" {
		return printJSON(s, whole)
	}
	return whole.Write(s.Out, c.All)
}

// subject compiles a flake to look at it.
func (s *session) subject(ctx context.Context, cat *catalog.Catalog, app string) (explain.Subject, error) {
	item, err := cat.Named(app)
	if err != nil {
		return explain.Subject{}, err
	}
	if item.Err != nil {
		return explain.Subject{}, item.Err
	}
	comp := cat.Compiler
	out := explain.Subject{
		Name: item.Name, File: item.File, Flake: item.Flake, Caller: comp.Caller, PlanFile: comp.PlanFile(item.Name), Getenv: os.LookupEnv,
	}
	out.State, _ = explain.StateOf(out.PlanFile) // before anything is compiled
	res, req, err := comp.Look(ctx, item.Name)
	if err != nil {
		return out, err
	}
	out.Compiled, out.Flake = res, req.Flake // with the defaults of the settings
	return out, nil
}

func printJSON(s *session, v any) error {
	enc := json.NewEncoder(s.Out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
