package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
	"github.com/flake-launcher/flake-launcher/rootfs/include"
)

// Includes says what of the layers made of host files is needed.
type Includes struct {
	// Needed are the ids of layers that a plan uses, or that a registered flake will want whose plan is stale.
	Needed []string
	// Stray are ids that were made of host files and are not needed, unless by an image. Records are the records that
	// nothing needs.
	Stray, Records []string
}

// Includes looks at registrations, plans and records. A registration that can't be read is an error.
func (c *Catalog) Includes() (*Includes, error) {
	made, err := include.Records(c.Compiler.Store)
	if err != nil || len(made) == 0 {
		return &Includes{}, err
	}
	used, err := c.usedLayers()
	if err != nil {
		return nil, err
	}
	wanted, err := c.wantedSources()
	if err != nil {
		return nil, err
	}
	out := &Includes{}
	needed := map[string]bool{}
	for _, m := range made {
		keep := wanted[m.Source].named
		for _, id := range m.Layers {
			if used[id] || wanted[m.Source].all {
				needed[id], keep = true, true
			}
		}
		if !keep {
			out.Records = append(out.Records, m.File)
		}
	}
	for id := range needed {
		out.Needed = append(out.Needed, id)
	}
	for _, m := range made {
		for _, id := range m.Layers {
			if !needed[id] {
				out.Stray = append(out.Stray, id)
			}
		}
	}
	return out, nil
}

// usedLayers are the ids of the layers of all plans that a start can use.
func (c *Catalog) usedLayers() (map[string]bool, error) {
	plans, err := os.ReadDir(c.Plans)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("list plans: %w", err)
	}
	used := map[string]bool{}
	for _, e := range plans {
		if p := c.usable(filepath.Join(c.Plans, e.Name())); p != nil {
			for _, dir := range p.Lower {
				used[filepath.Base(dir)] = true
			}
		}
	}
	return used, nil
}

// want is what registrations say of a source: that one names it, and that one does whose plan can't tell which of the
// layers it is.
type want struct{ named, all bool }

func (c *Catalog) wantedSources() (map[include.Source]want, error) {
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	out := map[include.Source]want{}
	for _, i := range items {
		if i.Err != nil && i.Shadowed {
			continue // nobody starts it
		}
		if i.Err != nil {
			return nil, fmt.Errorf("read what flake %q needs: %w", i.Name, i.Err)
		}
		// A plan is the first flake's of that name; of root's layers others may use the second one's.
		stale, err := c.stale(i.Name)
		if err != nil {
			return nil, err
		}
		stale = stale || i.Shadowed
		for _, s := range compile.Sources(i.Flake) {
			out[s] = want{named: true, all: out[s].all || stale}
		}
	}
	return out, nil
}
