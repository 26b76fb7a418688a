package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// rangesCmd is what this program calls itself by, as a child, to work on layers whose files have other owners than the
// caller: it makes a user namespace with his range of ids, and runs once more inside (decisions/0005 of rootfs).
type rangesCmd struct {
	Store  string   `required:""`
	Range  string   // JSON of a plan.Range; without it this is the one inside
	Verb   string   `arg:"" enum:"make,sweep"`
	Layers []string `arg:"" optional:""`
}

// Run enters the namespace, or does the work there.
func (c rangesCmd) Run(ctx context.Context, s *session) error {
	if c.Range != "" {
		return c.enter()
	}
	store, err := rootfs.Open(c.Store)
	if err != nil {
		return err
	}
	if c.Verb == "sweep" {
		removed, err := store.SweepRanges(ctx)
		for _, id := range removed {
			fmt.Fprintf(s.Out, "deleted layer %s with its owners\n", id[:12])
		}
		return err
	}
	for _, id := range c.Layers {
		if err := store.MakeRange(ctx, id); err != nil {
			return err
		}
	}
	return nil
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
	r := &nsexec.Range{NewUIDMap: in.NewUIDMap, NewGIDMap: in.NewGIDMap}
	for _, m := range in.UIDs {
		r.UIDs = append(r.UIDs, nsexec.IDMap(m))
	}
	for _, m := range in.GIDs {
		r.GIDs = append(r.GIDs, nsexec.IDMap(m))
	}
	args := append([]string{self, "ranges", "--store", c.Store, c.Verb}, c.Layers...)
	return r.Exec("flake-ctl", self, args, os.Environ())
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
		fmt.Fprintf(s.Err, "giving %d layers the owners that their images name\n", len(layers))
		return s.ranges(ctx, store.Root(), r, "make", layers...)
	}
}

// sweepRanges removes the layers with owners that nothing needs any more, if there are any.
func (s *session) sweepRanges(ctx context.Context, store *rootfs.Store, c *compile.Compiler, dry bool) error {
	if !store.HasRanges() {
		return nil
	}
	if dry {
		stray, err := store.StrayRanges()
		for _, id := range stray {
			fmt.Fprintf(s.Out, "would delete layer %s with its owners\n", id[:12])
		}
		return err
	}
	r, err := c.Range()
	if err == nil {
		return s.ranges(ctx, store.Root(), r, "sweep")
	}
	stray, strayErr := store.StrayRanges()
	if strayErr != nil || len(stray) == 0 {
		return strayErr
	}
	fmt.Fprintf(s.Err, "flake-ctl: warning: %d layers with owners stay: %s\n", len(stray), strings.TrimPrefix(err.Error(), `flake "gc": `))
	return nil
}
