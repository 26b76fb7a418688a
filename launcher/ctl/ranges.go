package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// rangesCmd is what this program calls itself by, as a child, to work on layers whose files have other owners than the
// caller: it makes a user namespace with his range of ids, and runs once more inside (decisions/0005 of rootfs).
type rangesCmd struct {
	Store  string   `required:""`
	Range  string   // JSON of a plan.Range
	Inside bool     // this is the one in the namespace
	Verb   string   `arg:"" enum:"make,sweep,temp"`
	Layers []string `arg:"" optional:""`
}

// Run enters the namespace, or does the work there. Without a range it looks for the caller's: so a launcher calls it.
func (c rangesCmd) Run(ctx context.Context, s *session) error {
	if !c.Inside && c.Range != "" {
		return c.enter()
	}
	store, err := rootfs.Open(c.Store)
	if err != nil {
		return err
	}
	if !c.Inside {
		cat, err := s.catalog(store)
		if err != nil {
			return err
		}
		r, err := cat.Compiler.Range()
		if err != nil {
			return err
		}
		return s.ranges(ctx, store.Root(), r, c.Verb, c.Layers...)
	}
	switch c.Verb {
	case "sweep":
		return s.sweepInside(ctx, store)
	case "temp":
		_, err := store.SweepRangeTemp()
		return err
	}
	for _, id := range c.Layers {
		if err := store.MakeRange(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// sweepInside removes all that nothing needs, and tells it.
func (s *session) sweepInside(ctx context.Context, store *rootfs.Store) error {
	removed, err := store.SweepRanges(ctx)
	for _, id := range removed {
		fmt.Fprintf(s.Out, "deleted layer %s with its owners\n", id[:12])
	}
	if err != nil {
		return beyond(err)
	}
	used, err := store.StrayRanges()
	if err != nil {
		return err
	}
	for _, id := range used {
		fmt.Fprintf(s.Out, "kept layer %s with its owners: a running flake uses it\n", id[:12])
	}
	stale, err := store.StaleRangeTemp()
	if err != nil {
		return err
	}
	if _, err := store.SweepRangeTemp(); err != nil {
		return beyond(err)
	}
	for _, path := range stale {
		fmt.Fprintf(s.Out, "deleted unfinished work %s\n", filepath.Base(path))
	}
	return nil
}

// BeyondRangeError says that files have owners whom the caller's range of ids does not have, any more.
type BeyondRangeError struct{ Err error }

func (e *BeyondRangeError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *BeyondRangeError) Unwrap() error { return e.Err }

// Remedy implements the CLI's second line.
func (e *BeyondRangeError) Remedy() string {
	return "have the lines in /etc/subuid and /etc/subgid back with which it was made, or have root remove it"
}

func beyond(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &BeyondRangeError{err}
	}
	return err
}

func (c rangesCmd) enter() error {
	var in plan.Range
	if err := json.Unmarshal([]byte(c.Range), &in); err != nil {
		return usageError{err}
	}
	self, err := launcher.Self()
	if err != nil {
		return err
	}
	args := append([]string{self, "ranges", "--store", c.Store, "--inside", c.Verb}, c.Layers...)
	return in.Engine().Exec("flake-ctl", self, args, os.Environ())
}

// ranges runs the command above as a child.
func (s *session) ranges(ctx context.Context, root string, r *plan.Range, verb string, layers ...string) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	self, err := launcher.Self()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{"ranges", "--store", root, "--range", string(text), verb}, layers...)...)
	cmd.Stdout, cmd.Stderr = s.Out, s.Err
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return &launcher.ChildError{Program: "flake-ctl", Status: exit.ExitCode()}
	}
	if err != nil {
		return fmt.Errorf("work on layers with owners: %w", err)
	}
	return nil
}

// own gives layers of the store the owners that their images name.
func (s *session) own(store *rootfs.Store) func(context.Context, *plan.Range, []string) error {
	if store == nil {
		return nil
	}
	return func(ctx context.Context, r *plan.Range, layers []string) error {
		if tell := s.progress(); tell != nil {
			tell(fmt.Sprintf("giving %d layers the owners that their images name", len(layers)))
		}
		return s.ranges(ctx, store.Root(), r, "make", layers...)
	}
}

// sweepRanges removes the layers with owners that nothing needs any more, and what crashed work left beside them.
func (s *session) sweepRanges(ctx context.Context, store *rootfs.Store, c *compile.Compiler, dry bool) error {
	if !store.HasRanges() {
		return nil
	}
	stray, err := store.StrayRanges()
	if err != nil {
		return err
	}
	stale, err := store.StaleRangeTemp()
	if err != nil {
		return err
	}
	if dry {
		for _, id := range stray {
			fmt.Fprintf(s.Out, "would delete layer %s with its owners\n", id[:12])
		}
		for _, path := range stale {
			fmt.Fprintf(s.Out, "would delete unfinished work %s\n", filepath.Base(path))
		}
		return nil
	}
	if len(stray)+len(stale) == 0 {
		return nil
	}
	r, err := c.Range()
	if err != nil {
		fmt.Fprintf(s.Err, "flake-ctl: warning: %d layers with owners and %d pieces of unfinished work stay: %s\n",
			len(stray), len(stale), strings.TrimPrefix(err.Error(), `flake "gc": `))
		return nil
	}
	return s.ranges(ctx, store.Root(), r, "sweep")
}
