package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

// Undo gives imported flakes back by their names, all of them if none is named, and returns those that were. An error
// with one of them does not keep the others. It returns *NotImportedError.
func (c *Catalog) Undo(names []string) (done []string, err error) {
	unlock, err := c.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if len(names) == 0 {
		entries, err := c.imports()
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			names = append(names, e.Flake)
		}
	}
	var errs []error
	for _, arg := range names {
		name := filepath.Base(arg)
		e, err := c.entry(name)
		switch {
		case err != nil:
		case flake.CheckName(name) != nil || e == nil || e.Import == nil:
			err = &NotImportedError{Name: arg}
		default:
			err = c.giveBack(e)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, name)
	}
	return done, errors.Join(errs...)
}

// Heal takes imports back that were cut short.
func (c *Catalog) Heal() error {
	names, err := c.Unfinished()
	if err != nil || len(names) == 0 {
		return err
	}
	_, err = c.Undo(names)
	return err
}

// Unfinished are the flakes whose import was cut short.
func (c *Catalog) Unfinished() (names []string, err error) {
	entries, err := c.imports()
	for _, e := range entries {
		if !e.Import.Done {
			names = append(names, e.Flake)
		}
	}
	return names, err
}

// imports are the ledger's entries of imported flakes, sorted by name.
func (c *Catalog) imports() ([]*ledgerEntry, error) {
	entries, err := c.entries()
	return slices.DeleteFunc(entries, func(e *ledgerEntry) bool { return e.Import == nil }), err
}

// entries are all of the ledger, sorted by name.
func (c *Catalog) entries() (out []*ledgerEntry, err error) {
	files, err := os.ReadDir(c.Ledger)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), ".json")
		if !ok {
			continue
		}
		e, err := c.entry(name)
		if err != nil {
			return nil, err
		}
		if e != nil {
			out = append(out, e)
		}
	}
	return out, nil
}

// Owner says whose a name of another launcher's is by now.
type Owner int

// Theirs is the other launcher's, Imported was and is ours, Ours never was its. CutShort is an unfinished import.
const (
	Theirs Owner = iota
	Imported
	Ours
	CutShort
)

// OwnerOf tells whose the flake of that name is. One whose link was taken back is the other launcher's.
func (c *Catalog) OwnerOf(name string) (Owner, error) {
	e, err := c.entry(name)
	if err != nil || e == nil {
		return Theirs, err
	}
	if e.Import != nil && !e.Import.Done {
		return CutShort, nil
	}
	switch ours, err := c.owns(name, e.Link); {
	case err != nil || !ours:
		return Theirs, err
	case e.Import == nil:
		return Ours, nil
	}
	return Imported, nil
}
