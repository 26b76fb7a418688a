package ctl

import (
	"errors"
	"io"

	"github.com/alecthomas/kong"

	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/completion"
	"github.com/flake-launcher/flake-launcher/launcher/manual"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/run"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (completionCmd) Help() string {
	return `Examples:

  source <(flake-ctl completion bash)
  flake-ctl completion fish > ~/.config/fish/completions/flake-ctl.fish

It completes flake-run, too. What make install puts in place is the same.`
}

// Run prints the script.
func (c completionCmd) Run(s *session) error {
	_, err := io.WriteString(s.Out, completion.Script(c.Shell))
	return err
}

// completeCmd is what the scripts ask: the program's name and its words up to the cursor.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run prints what can come next. It has no messages: a shell is about to draw a prompt.
func (c completeCmd) Run(s *session) error {
	if len(c.Words) == 0 {
		return usageError{errors.New("a program's name is wanted")}
	}
	parser, err := programs(c.Words[0])
	if err != nil {
		return err
	}
	src := completion.Sources{Images: s.imageNames, Flakes: s.flakeNames}
	return completion.Complete(parser.Model, c.Words[1:], src).Write(s.Out)
}

// programs is the command line of one of our programs.
func programs(name string) (*kong.Kong, error) {
	silent := Streams{Out: io.Discard, Err: io.Discard}
	switch name {
	case "flake-ctl":
		return newParser(&grammar{}, silent)
	case "flake-run":
		return run.NewParser(silent.Out, silent.Err)
	}
	return nil, usageError{errors.New("no program of ours: " + name)}
}

// imageNames are the names of all stored images that the caller can use; what can't be read is left out.
func (s *session) imageNames() []string {
	store, err := s.ownStore()
	if err != nil {
		return nil
	}
	set, err := s.stores(store)
	if err != nil {
		return nil
	}
	var names []string
	for _, store := range set.Stores() {
		refs, err := store.Refs()
		if err != nil {
			continue
		}
		for _, r := range refs {
			names = append(names, r.Name)
		}
	}
	return names
}

// flakeNames are the names of all registered flakes.
func (s *session) flakeNames() []string {
	items, err := (&catalog.Catalog{Searched: plan.SearchDirs(s.getenv)}).List()
	if err != nil {
		return nil
	}
	var names []string
	for _, i := range items {
		if !i.Shadowed {
			names = append(names, i.Name)
		}
	}
	return names
}

// manCmd is what make install asks for man pages.
type manCmd struct {
	Program string `arg:"" enum:"flake-ctl,flake-run"`
}

// Run prints the page.
func (c manCmd) Run(s *session) error {
	parser, err := programs(c.Program)
	if err != nil {
		return err
	}
	other := map[string]string{"flake-ctl": "flake-run(1)", "flake-run": "flake-ctl(1)"}[c.Program]
	return manual.Write(s.Out, parser.Model, Version, other, "podman(1)", "containers-registries.conf(5)")
}
