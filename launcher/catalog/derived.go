package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// Derived lists what can be deleted of the store's derived data: plans of flakes that are gone, plans that are
// stale or damaged, own layers that no other plan uses, records of host files that nothing includes any more, and what
// scripts have printed, which is in the plans by now. All of it comes back when it is needed.
func (c *Catalog) Derived() ([]string, error) {
	plans, err := os.ReadDir(c.Plans)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list plans: %w", err)
	}
	used := map[string]bool{}
	var out []string
	for _, e := range plans {
		path := filepath.Join(c.Plans, e.Name())
		p := c.usable(path)
		if p == nil {
			out = append(out, path)
			continue
		}
		if len(p.Lower) > 0 {
			used[p.Lower[0]] = true
		}
		if p.HostLayer != nil {
			used[p.HostLayer.Dir] = true
		}
	}
	layers, err := children(c.Compiler.Store.HostLayersDir())
	if err != nil {
		return nil, fmt.Errorf("list host layers: %w", err)
	}
	for _, path := range layers {
		if !used[path] {
			out = append(out, path)
		}
	}
	printed, err := children(c.Compiler.Store.SystemFilesDir())
	if err != nil {
		return nil, fmt.Errorf("list what scripts have printed: %w", err)
	}
	includes, err := c.Includes()
	if err != nil {
		return nil, err
	}
	return slices.Concat(out, printed, includes.Records), nil
}

// children are the paths of what a directory holds, if there is one.
func children(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		out = append(out, filepath.Join(dir, e.Name()))
	}
	return out, nil
}

// usable returns the plan at path if a start could use it as it is.
func (c *Catalog) usable(path string) *plan.Plan {
	p, f, err := plan.Load(path)
	if err != nil {
		return nil
	}
	f.Close()
	if ok, _ := p.Fresh(); !ok {
		return nil
	}
	name, registered := plan.FlakeOf(filepath.Base(path))
	if !registered {
		return p
	}
	if _, err := flake.Find(c.Searched, name); err != nil {
		return nil
	}
	return p
}

// DeleteDerived deletes what Derived listed and returns what is gone. A layer in use stays.
func (c *Catalog) DeleteDerived(paths []string) ([]string, error) {
	var gone []string
	for _, path := range paths {
		var err error
		removed := true
		if filepath.Dir(path) == c.Compiler.Store.HostLayersDir() {
			removed, err = c.Compiler.Store.RetireHostLayer(filepath.Base(path))
		} else {
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return gone, fmt.Errorf("delete derived data: %w", err)
		}
		if removed {
			gone = append(gone, path)
		}
	}
	return gone, nil
}
