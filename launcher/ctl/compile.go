package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher"
	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/option"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
)

// compileCmd is what the launchers call when a plan is missing or stale. Its output goes to the caller's
// stderr, its exit codes are those of a start.
type compileCmd struct {
	AdHoc bool     `name:"ad-hoc"`
	Base  string   `name:"base"`
	Layer []string `sep:"none"`
	// Progress shows what is done where there is no terminal: "yes", or "pilot" if the flake takes pilot arguments.
	Progress string `enum:",yes,pilot" default:""`
	// Resume keeps the container.
	Resume bool
	Name   string `arg:""`

	option.Common
}

// Run compiles the plan of a registered flake, or of an ad-hoc stack.
func (c *compileCmd) Run(ctx context.Context, s *session) error {
	err := c.run(ctx, s)
	if err == nil {
		return nil
	}
	return &startError{err}
}

func (c *compileCmd) run(ctx context.Context, s *session) error {
	store, err := s.startStore()
	if err != nil {
		return err
	}
	cat, err := s.catalog(store)
	if err != nil {
		return err
	}
	asked := c.progress(cat)
	s.quiet = !asked && !isTerminal(s.Err)
	if !s.memory {
		cat.Compiler.Fetch = s.fetch(store)
	}
	if asked {
		fmt.Fprintf(s.Err, "flake-ctl: compiling the launch plan of %s\n", c.Name)
	}
	if !c.AdHoc {
		_, err = cat.Compiler.Flake(ctx, c.Name)
		return err
	}
	f := &flake.Flake{Container: flake.Container{Name: c.Name, BaseContainer: c.Base, Layers: c.Layer}}
	f.Container.Runtime.Resume = c.Resume
	describe(c.Common, f)
	req, err := compile.FromFlake(c.Name, f)
	if err != nil {
		return err
	}
	req.AdHoc = true
	a := launcher.AdHoc{Base: c.Base, Layers: c.Layer, Image: c.Name, Flags: c.Words()}
	if c.Resume {
		a.Instance = "any" // all instances of a stack share a plan
	}
	_, err = cat.Compiler.AdHoc(ctx, req, a.Words())
	return err
}

// progress reports whether the caller asked to be shown what is done. A flake that can't be read is for the compiler to
// complain about.
func (c *compileCmd) progress(cat *catalog.Catalog) bool {
	if c.Progress != "pilot" || c.AdHoc {
		return c.Progress == "yes"
	}
	file, err := flake.Find(cat.Searched, c.Name)
	if err != nil {
		return false
	}
	f, _, err := flake.Parse(file)
	return err == nil && f.PilotArguments
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// startError gives a failure the exit code of a start.
type startError struct{ err error }

func (e *startError) Error() string { return e.err.Error() }
func (e *startError) Unwrap() error { return e.err }

// ExitCode tells a missing or unusable target from every other failure.
func (e *startError) ExitCode() int {
	var target *compile.TargetError
	if errors.As(e.err, &target) {
		if target.Missing {
			return launcher.ExitNotFound
		}
		return launcher.ExitNotExec
	}
	return launcher.ExitFailure
}
