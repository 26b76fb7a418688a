package compile

import (
	"context"
	"fmt"
	"slices"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/include"
)

// Sources are the files of the host that a flake puts on top of its images, bottom first: archives, then paths, each in
// the order given.
func Sources(f *flake.Flake) []include.Source {
	var out []include.Source
	for _, path := range f.Include.Tar {
		out = append(out, include.Source{Kind: include.Tar, Path: path})
	}
	for _, path := range f.Include.Path {
		out = append(out, include.Source{Kind: include.Path, Path: path})
	}
	return out
}

// included are the layers of a flake's includes, bottom first.
type included struct {
	layers []*include.Layer
	names  []string // "tar PATH" or "path PATH", one by one
	checks []plan.Check
}

// includes makes the layers that are missing.
func (c *Compiler) includes(ctx context.Context, p *plan.Plan, req Request, images []rootfs.Stored) (*included, error) {
	m := &include.Maker{Store: c.Store, Stores: c.Images.Stores(), Progress: c.Progress}
	// A layer of another store has that owner's files: nobody can be root over it, nor give its files other owners.
	own := p.Range != nil || !c.Caller.Root() && req.User != ""
	out, below := &included{}, stackParts(images)
	for _, s := range Sources(req.Flake) {
		l, checks, err := c.include(ctx, m, s, below, own)
		if err != nil {
			return nil, err
		}
		if err := c.reaches(p, req, s, l); err != nil {
			return nil, err
		}
		if at := slices.IndexFunc(out.layers, func(o *include.Layer) bool { return o.Part == l.Part }); at >= 0 {
			out.layers, out.names = slices.Delete(out.layers, at, at+1), slices.Delete(out.names, at, at+1)
		}
		out.layers, out.names = append(out.layers, l), append(out.names, fmt.Sprintf("%s %s", s.Kind, s.Path))
		out.checks = append(out.checks, checks...)
		below = append(slices.DeleteFunc(below, func(o include.Part) bool { return o == l.Part }), l.Part)
	}
	return out, nil
}

// include gets the layer of one source, and what tells that it changed: it is from the very look that says which layer
// that is, or taken before anything is read.
func (c *Compiler) include(ctx context.Context, m *include.Maker, s include.Source, below []include.Part, own bool) (*include.Layer, []plan.Check, error) {
	var checks []plan.Check
	state, err := m.Look(s)
	if err == nil {
		for _, w := range state.Watch {
			checks = append(checks, plan.CheckOf(w.Path, w.Stat))
		}
		l, err := m.Make(ctx, state, below, own)
		return l, checks, err
	}
	if !include.Hidden(err) {
		return nil, nil, err
	}
	// Out of the caller's reach: then what root has made of it serves him, until root makes it anew.
	checks = append(checks, plan.NewCheck(s.Path))
	for _, store := range m.Stores {
		checks = append(checks, plan.NewCheck(include.RecordFile(store, s)))
	}
	if l, ok := m.Have(s, nil, below, own); ok {
		return l, checks, nil
	}
	return nil, nil, err
}

// reaches refuses owners that the caller's range of ids does not have.
func (c *Compiler) reaches(p *plan.Plan, req Request, s include.Source, l *include.Layer) error {
	if p.Range == nil {
		return nil
	}
	highest, err := c.Store.MaxID(l.ID)
	if err != nil {
		return err
	}
	for _, maps := range [][]plan.IDMap{p.Range.UIDs, p.Range.GIDs} {
		if last := maps[len(maps)-1]; uint32(highest) >= last.Inside+last.Size {
			return &IDsError{
				Flake: req.Name, Reason: fmt.Sprintf("include %s %s has files of id %d, and your range gives %d ids", s.Kind, s.Path, highest, last.Inside+last.Size),
				Fix: fmt.Sprintf("let the administrator widen your lines in %s and %s, ", subUID, subGID) + fixRange,
			}
		}
	}
	return nil
}

// stackParts are the layers of a stack, bottom first, each where it is lowest.
func stackParts(images []rootfs.Stored) []include.Part {
	var out []include.Part
	for _, i := range images {
		for _, l := range i.Layers {
			part := include.Part{Store: i.Store, ID: l.ID}
			if !slices.Contains(out, part) {
				out = append(out, part)
			}
		}
	}
	return out
}

// onTop adds the layers to those of the images. One that an image has too is taken away there: on top it hides the same.
func (i *included) onTop(dirs []string) []string {
	out := slices.Clone(dirs)
	for _, l := range i.layers {
		for _, part := range l.Store.LayerParts(l.ID) {
			out = append(slices.DeleteFunc(out, func(d string) bool { return d == part }), part)
		}
	}
	return out
}

// implies says whether dir is a layer that holds entries below path, which is relative, without naming it.
func (i *included) implies(dir, path string) bool {
	return slices.ContainsFunc(i.layers, func(l *include.Layer) bool {
		return slices.Contains(l.Store.LayerParts(l.ID), dir) && slices.Contains(l.Implied, path)
	})
}
