package catalog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

// Remove takes a flake away: link, what was exported, registration, drop-ins, plan and ledger entry. The link and
// exported files are removed only if they are as we made them, and a file that --force had moved away comes back; a
// flake that was imported is given back. arg is a flake's name or the path of its link.
//
// It returns *flake.NotFoundError for an unknown flake, *NotOursError for one of another directory and *PilotError for
// one that is flake-pilot's still.
func (c *Catalog) Remove(arg string) (name string, err error) {
	unlock, err := c.lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	item, err := c.removable(arg)
	if err != nil {
		return "", err
	}
	entry, err := c.entry(item.Name)
	if err != nil {
		return "", err
	}
	if entry != nil && entry.Import != nil {
		return item.Name, c.giveBack(entry)
	}
	if err := notImported(item); err != nil {
		return "", err
	}
	link := ""
	switch {
	case entry != nil:
		link = entry.Link
	case item.Flake != nil:
		link = item.Flake.Container.HostAppPath
	}
	// The link goes first: a registration without a link harms nobody, a link without a registration fails.
	if err := c.removeLink(item.Name, link, entry); err != nil {
		return "", err
	}
	errs := []error{
		removeExported(entry), os.Remove(item.File), os.RemoveAll(c.dropIns(item.Name)),
		c.removePlans(item.Name), ignoreMissing(os.Remove(c.ledgerFile(item.Name))),
	}
	if err := errors.Join(errs...); err != nil {
		return "", fmt.Errorf("remove flake %q: %w", item.Name, err)
	}
	return item.Name, nil
}

// Removable says why Remove would refuse; nil if it would not. It needs Dir and Searched alone, and changes nothing.
func (c *Catalog) Removable(arg string) error {
	item, err := c.removable(arg)
	if err != nil {
		return err
	}
	return notImported(item)
}

// notImported refuses a registration that we didn't write, whose link starts another launcher: that would start nothing
// any more.
func notImported(item Item) error {
	link, pinned := flake.Link(item.File)
	if pinned {
		return nil
	}
	if target, err := os.Readlink(link); err == nil && strings.HasSuffix(filepath.Base(target), "-pilot") {
		return &PilotError{Name: item.Name, File: item.File, Link: link, Target: target}
	}
	return nil
}

func (c *Catalog) removable(arg string) (Item, error) {
	item, err := c.Named(arg)
	if err == nil && filepath.Dir(item.File) != c.Dir {
		err = &NotOursError{Name: item.Name, File: item.File}
	}
	return item, err
}

func (c *Catalog) removeLink(name, link string, entry *ledgerEntry) error {
	if link == "" {
		return nil
	}
	ours, err := c.owns(name, link)
	if err != nil {
		return err
	}
	if ours {
		if err := os.Remove(link); err != nil {
			return fmt.Errorf("remove link: %w", err)
		}
	}
	if entry == nil || entry.Backup == "" {
		return nil
	}
	if _, err := os.Lstat(link); err == nil {
		return nil // somebody put a file of their own there since: it stays, and so does the backup
	}
	if err := os.Rename(entry.Backup, link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("bring back the file that was there before: %w", err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
