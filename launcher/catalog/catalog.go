package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
)

// Catalog is the set of registrations that one caller writes to.
type Catalog struct {
	// Dir is where registrations are written, Searched where they are read, in order.
	Dir      string
	Searched []string
	// Ledger is the directory of the ledger; Plans that of the launch plans.
	Ledger string
	Plans  string
	// Launcher is the absolute path that links point to.
	Launcher string
	// Programs are the paths at which our own programs are looked for: no link takes their place.
	Programs []string
	Compiler *compile.Compiler
}

// lock serialises writers of one registration directory. It waits; the kernel drops it when the process ends.
func (c *Catalog) lock() (unlock func(), err error) {
	if err := mkdirs(new(undo), c.Dir); err != nil {
		return nil, fmt.Errorf("make directory of registrations: %w", err)
	}
	f, err := os.Open(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("open directory of registrations: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", c.Dir, err)
	}
	return func() { f.Close() }, nil
}

func (c *Catalog) file(name string) string    { return filepath.Join(c.Dir, name+".yaml") }
func (c *Catalog) dropIns(name string) string { return filepath.Join(c.Dir, name+".d") }

// plansOf are the files of a flake's plans, one for each HOME that it was started with.
func (c *Catalog) plansOf(name string) ([]string, error) {
	entries, err := os.ReadDir(c.Plans)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var out []string
	for _, e := range entries {
		if of, ok := plan.FlakeOf(e.Name()); ok && of == name {
			out = append(out, filepath.Join(c.Plans, e.Name()))
		}
	}
	return out, nil
}

// stale says whether the plans of a flake, of which there should be one, don't all tell what it starts with.
func (c *Catalog) stale(name string) (bool, error) {
	files, err := c.plansOf(name)
	for _, f := range files {
		if c.usable(f) == nil {
			return true, nil
		}
	}
	return len(files) == 0, err
}

// removePlans removes the plans of a flake.
func (c *Catalog) removePlans(name string) error {
	files, err := c.plansOf(name)
	errs := []error{err}
	for _, f := range files {
		errs = append(errs, ignoreMissing(os.Remove(f)))
	}
	return errors.Join(errs...)
}

// Item is one registration as List shows it.
type Item struct {
	flake.Entry
	// Flake is nil when the registration can't be read; Err says why then.
	Flake *flake.Flake
	Err   error
}

// List returns all registrations of the searched directories, also those that can't be read.
func (c *Catalog) List() ([]Item, error) {
	entries, err := flake.List(c.Searched)
	if err != nil {
		return nil, err
	}
	var out []Item
	for _, e := range entries {
		f, _, err := flake.Parse(e.File)
		out = append(out, Item{Entry: e, Flake: f, Err: err})
	}
	return out, nil
}

// Pins returns, for each image digest that a registration starts, the names of these flakes. A registration
// that can't be read is an error: what it needs must not be collected.
func (c *Catalog) Pins() (map[string][]string, error) {
	items, err := c.List()
	if err != nil {
		return nil, err
	}
	pins := map[string][]string{}
	for _, i := range items {
		if i.Err != nil && i.Shadowed {
			continue // by one that was imported from it, for example: nobody starts it
		}
		if i.Err != nil {
			return nil, fmt.Errorf("read what flake %q needs: %w", i.Name, i.Err)
		}
		for _, name := range i.Flake.Images() {
			if d := i.Flake.Container.Digests[name]; d != "" {
				pins[d] = append(pins[d], i.Name)
				continue
			}
			// Not pinned (a file dropped in by a package): whatever the name means now.
			if d, err := c.Compiler.Images.Resolve(name); err == nil {
				pins[d.String()] = append(pins[d.String()], i.Name)
			}
		}
	}
	return pins, nil
}

// Named finds the flakes a user means by args: flake names or paths of their links.
func (c *Catalog) Named(arg string) (Item, error) {
	name := filepath.Base(arg)
	if strings.ContainsRune(arg, '/') {
		abs, err := filepath.Abs(arg)
		if err != nil {
			return Item{}, fmt.Errorf("find flake %q: %w", arg, err)
		}
		arg = abs
	}
	items, err := c.List()
	if err != nil {
		return Item{}, err
	}
	for _, i := range items {
		if i.Name != name || i.Shadowed {
			continue
		}
		if filepath.IsAbs(arg) && i.Flake != nil && i.Flake.Container.HostAppPath != filepath.Clean(arg) {
			continue
		}
		return i, nil
	}
	return Item{}, &flake.NotFoundError{Name: arg, Searched: c.Searched}
}

// undo runs functions in reverse order unless it was dismissed: a registration is whole or not there.
type undo struct{ steps []func() error }

func (u *undo) add(step func() error) { u.steps = append(u.steps, step) }
func (u *undo) dismiss()              { u.steps = nil }

func (u *undo) run() error {
	var errs []error
	for n := len(u.steps) - 1; n >= 0; n-- {
		if err := u.steps[n](); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
