package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

// LinkError says what is wrong with the link of a flake.
type LinkError struct{ Flake, Link, Reason, Fix string }

func (e *LinkError) Error() string { return fmt.Sprintf("link %s %s", e.Link, e.Reason) }

// Remedy implements the CLI's second line.
func (e *LinkError) Remedy() string { return e.Fix }

// CheckLink looks whether a flake's link is there and leads to the launcher. It returns *LinkError. A flake of another
// directory than Dir has its link by whoever registered it: only whether it starts the flake counts there.
func (c *Catalog) CheckLink(item Item) error {
	again := fmt.Sprintf("register the flake again with --force, or remove it: flake-ctl remove %s", item.Name)
	link := item.Flake.Container.HostAppPath
	if link == "" {
		return nil // a registration without a command is legal
	}
	target, err := os.Readlink(link)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &LinkError{item.Name, link, "is gone", again}
	case err != nil:
		return &LinkError{item.Name, link, "is something else than our link", again}
	case filepath.Base(target) != filepath.Base(c.Launcher):
		return &LinkError{item.Name, link, "leads to " + target, again}
	}
	if _, err := os.Stat(link); err != nil {
		return &LinkError{item.Name, link, "leads to " + target + ", which is not there", again}
	}
	entry, err := c.entry(item.Name)
	if err != nil {
		return err
	}
	if entry != nil && filepath.Dir(item.File) == c.Dir && entry.Link != link {
		return &LinkError{item.Name, entry.Link, "was made for this flake, which says " + link + " now", again}
	}
	return nil
}

// StrayLinks are the errors of links that the ledger has and no registration.
func (c *Catalog) StrayLinks() ([]error, error) {
	entries, err := os.ReadDir(c.Ledger)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var out []error
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		entry, err := c.entry(name)
		if err != nil {
			return nil, err
		}
		if _, err := flake.Find([]string{c.Dir}, name); err == nil || entry == nil {
			continue
		}
		if ours, err := c.owns(name, entry.Link); err == nil && ours {
			out = append(out, &LinkError{name, entry.Link, "belongs to no registration", "remove the link, or register the flake again"})
		}
	}
	return out, nil
}
