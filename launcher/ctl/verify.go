package ctl

import (
	"context"
	"fmt"
	"slices"

	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/verify"
)

type verifyCmd struct {
	Apps   []string `arg:"" optional:"" name:"app" help:"Flakes, by name or by the path of their link; all if there are none."`
	Format string   `enum:"text,json" default:"text" help:"text or json."`
	Repair bool     `help:"Compile the launch plans anew."`
}

func (verifyCmd) Help() string {
	return `It looks at registrations, links, images, launch plans and the files of the host that are shown. The exit status
is 0 if all is well, 1 if there are problems, each with its remedy on one line. Examples:

  flake-ctl verify
  flake-ctl verify --repair aws`
}

// ProblemsError ends a verification that found something.
type ProblemsError struct{ Problems, Flakes int }

func (e *ProblemsError) Error() string {
	return fmt.Sprintf("%d problems in %d flakes", e.Problems, e.Flakes)
}

// Remedy implements the CLI's second line.
func (e *ProblemsError) Remedy() string { return "each of the lines above has its own" }

// Run looks at the flakes.
func (c verifyCmd) Run(ctx context.Context, s *session) error {
	store, err := s.startStore()
	if err != nil {
		return err
	}
	cat, err := s.catalog(store)
	if err != nil {
		return err
	}
	v := &verify.Verifier{Catalog: cat}
	items, err := c.items(cat)
	if err != nil {
		return err
	}
	reports := []*verify.Report{}
	for _, item := range items {
		reports = append(reports, v.Flake(ctx, item, c.Repair))
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if len(c.Apps) == 0 {
		if stray := v.Stray(); stray.Problems > 0 {
			reports = append(reports, stray)
		}
	}
	if err := c.print(s, reports); err != nil {
		return err
	}
	bad := ProblemsError{}
	for _, r := range reports {
		if bad.Problems += r.Problems; r.Problems > 0 {
			bad.Flakes++
		}
	}
	if bad.Problems > 0 {
		return &bad
	}
	return nil
}

func (c verifyCmd) items(cat *catalog.Catalog) ([]catalog.Item, error) {
	if len(c.Apps) == 0 {
		items, err := cat.List()
		return slices.DeleteFunc(items, func(i catalog.Item) bool { return i.Shadowed }), err
	}
	var out []catalog.Item
	for _, app := range c.Apps {
		item, err := cat.Named(app)
		if err != nil {
			return nil, err
		}
		out = append(out, item)
	}
	return out, nil
}

func (c verifyCmd) print(s *session, reports []*verify.Report) error {
	if c.Format == "json" {
		return printJSON(s, reports)
	}
	for _, r := range reports {
		name := r.Flake
		if name == "" {
			name = "no flake"
		}
		if r.Problems == 0 {
			fmt.Fprintf(s.Out, "%s: fine\n", name)
		}
		for _, f := range r.Findings {
			line := name + ": "
			if f.Note {
				line += "note: "
			}
			line += f.Check + ": " + f.Cause
			if f.Remedy != "" {
				line += "; remedy: " + f.Remedy
			}
			if _, err := fmt.Fprintln(s.Out, printable(line)); err != nil {
				return err
			}
		}
	}
	return nil
}
