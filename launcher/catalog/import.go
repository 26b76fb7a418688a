package catalog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
)

// importEntry records what a flake was before it was imported. See rootfs/FORMAT.md.
type importEntry struct {
	// From is the registration that it was made from.
	From string `json:"from"`
	// Link is what the link pointed to; "" where there was none.
	Link string `json:"link,omitempty"`
	// Kept are files of our own directory that were renamed, with backupSuffix behind their names.
	Kept []string `json:"kept,omitempty"`
	// Done is set last. An import that is not done is taken back by the next one.
	Done bool `json:"done,omitempty"`
}

// Origin is where a flake comes from that is imported.
type Origin struct {
	// File is the registration of the other launcher, Link what its link points to, "" where there is none.
	File, Link string
}

// Import registers a flake that another launcher has registered, and takes its link over: all of it or nothing. What
// was there before is kept, and comes back with Undo and Remove. A registration in our own directory, and its drop-ins,
// are renamed; one elsewhere stays, and is shadowed by ours.
//
// The directories have to be free of unfinished imports: call Heal first. It returns what Register does, and
// *ForeignFileError for a link that is not what origin says.
func (c *Catalog) Import(ctx context.Context, f *flake.Flake, origin Origin) (*compile.Result, error) {
	link, err := c.checkLinkPath(f.Container.HostAppPath)
	if err != nil {
		return nil, err
	}
	f.Container.HostAppPath = link
	name := filepath.Base(link)
	unlock, err := c.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	e, err := c.importable(name, link, origin)
	if err != nil {
		return nil, err
	}
	done, err := c.pin(ctx, name, f)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := c.record(*e); err != nil {
		return nil, err
	}
	res, err := c.takeOver(ctx, f, e)
	if err != nil {
		return nil, errors.Join(err, c.giveBack(e))
	}
	return res, nil
}

// importable makes the ledger's entry of an import, unless something is in its way.
func (c *Catalog) importable(name, link string, origin Origin) (*ledgerEntry, error) {
	file, dropIns := c.file(name), c.dropIns(name)
	e := &ledgerEntry{
		Flake: name, Link: link, Target: c.Launcher, Made: time.Now().UTC(),
		Import: &importEntry{From: origin.File, Link: origin.Link},
	}
	old, err := c.entry(name)
	if err != nil {
		return nil, err
	}
	if old != nil {
		return nil, &ExistsError{Name: name, File: file, HostPath: old.Link, Wanted: link}
	}
	inPlace := sameFile(origin.File, file)
	for _, path := range []string{file, dropIns} {
		if !exists(path) {
			continue
		}
		switch {
		case !inPlace:
			return nil, &ExistsError{Name: name, File: path, HostPath: link, Wanted: link}
		case exists(path + backupSuffix):
			return nil, &ForeignFileError{Path: path, Backup: path + backupSuffix}
		}
		e.Import.Kept = append(e.Import.Kept, path)
	}
	if first, err := flake.Find(c.Searched, name); err == nil && before(c.Searched, filepath.Dir(first), c.Dir) {
		return nil, &ShadowedError{Name: name, By: first}
	}
	if target, err := os.Readlink(link); origin.Link == "" && exists(link) || origin.Link != "" && (err != nil || target != origin.Link) {
		return nil, &ForeignFileError{Path: link}
	}
	return e, nil
}

// takeOver carries an import out. The link comes last: until then the other launcher starts the flake, if anybody does.
func (c *Catalog) takeOver(ctx context.Context, f *flake.Flake, e *ledgerEntry) (*compile.Result, error) {
	for _, path := range e.Import.Kept {
		if err := os.Rename(path, path+backupSuffix); err != nil {
			return nil, fmt.Errorf("keep the old registration: %w", err)
		}
	}
	if err := c.writeRegistration(new(undo), e.Flake, f); err != nil {
		return nil, err
	}
	// As the launcher will see it.
	res, err := c.Compiler.Flake(ctx, e.Flake)
	if err != nil {
		return nil, err
	}
	if err := renameio.Symlink(c.Launcher, e.Link); err != nil {
		return nil, fmt.Errorf("make link: %w", err)
	}
	e.Import.Done = true
	return res, c.record(*e)
}

// giveBack undoes an import, finished or not; each step may have been done before. What somebody else put in the place
// of a thing of ours since stays.
func (c *Catalog) giveBack(e *ledgerEntry) error {
	theirs, err := c.giveLinkBack(e)
	if err != nil {
		return err
	}
	file, dropIns := c.file(e.Flake), c.dropIns(e.Flake)
	if !slices.Contains(e.Import.Kept, file) {
		err = errors.Join(ignoreMissing(os.Remove(file)), os.RemoveAll(dropIns))
	} else if !theirs || !e.Import.Done || written(file) {
		err = giveFilesBack(e.Import.Kept, dropIns)
	}
	if err == nil {
		err = errors.Join(removeExported(e), c.removePlans(e.Flake), ignoreMissing(os.Remove(c.ledgerFile(e.Flake))))
	}
	if err != nil {
		return fmt.Errorf("give flake %q back: %w", e.Flake, err)
	}
	return nil
}

// giveFilesBack renames what was kept to its old name. Drop-ins made since go, whatever they were made for.
func giveFilesBack(kept []string, dropIns string) (err error) {
	if !slices.Contains(kept, dropIns) || exists(dropIns+backupSuffix) {
		err = os.RemoveAll(dropIns)
	}
	for _, path := range kept {
		if exists(path + backupSuffix) {
			err = errors.Join(err, os.Rename(path+backupSuffix, path))
		}
	}
	return err
}

// written says that a registration may be replaced by the one that was there before ours: there is none, or ours is
// still there, which pins digests as nobody else's does.
func written(file string) bool {
	f, _, err := flake.Parse(file)
	return errors.Is(err, os.ErrNotExist) || err == nil && len(f.Container.Digests) > 0
}

// giveLinkBack makes the link what it was. theirs says that it is somebody else's by now.
func (c *Catalog) giveLinkBack(e *ledgerEntry) (theirs bool, err error) {
	ours, err := c.owns(e.Flake, e.Link)
	if err != nil {
		return false, err
	}
	switch there := exists(e.Link); {
	case there && !ours:
		return true, nil
	case e.Import.Link != "":
		err = renameio.Symlink(e.Import.Link, e.Link)
	case there:
		err = os.Remove(e.Link)
	}
	if err != nil {
		return false, fmt.Errorf("bring back the link that was there before: %w", err)
	}
	return false, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
