package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
)

// exported is a file of an image that lies on the host for others to find: a man page, a completion.
type exported struct {
	Path   string `json:"path"`
	Sha256 string `json:"sha256"`
}

// ours reports whether the file is there as we made it.
func (e exported) ours() bool {
	b, err := os.ReadFile(e.Path)
	return err == nil && sum(b) == e.Sha256 && isFile(e.Path)
}

func isFile(path string) bool {
	st, err := os.Lstat(path)
	return err == nil && st.Mode().IsRegular()
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// dataDir is where programs look for the documents of a command: next to its directory, as man(1) does it.
func dataDir(link string) (string, error) {
	if dir := filepath.Dir(link); filepath.Base(dir) == "bin" || filepath.Base(dir) == "sbin" {
		return filepath.Join(filepath.Dir(dir), "share"), nil
	}
	return "", &PathError{link, "its directory is no bin, so there is no share next to it to export to", "choose a path such as /usr/local/bin/NAME, or leave --export out"}
}

// documents are what is exported, and below which directory.
type documents struct {
	dir  string
	docs []compile.Document
}

func (c *Catalog) documents(ctx context.Context, name string, f *flake.Flake) (documents, error) {
	dir, err := dataDir(f.Container.HostAppPath)
	if err != nil {
		return documents{}, err
	}
	docs, err := c.Compiler.Documents(ctx, name, f)
	return documents{dir, docs}, err
}

// export puts documents on the host and records them in the entry before they appear. Those of old, the entry before,
// are replaced, and removed if they are no more; a file of anybody else is in the way, even one with the same content:
// recorded as ours, it would be removed with the flake.
func (c *Catalog) export(u *undo, entry, old *ledgerEntry, docs documents) error {
	var before []exported
	if old != nil {
		before = old.Exported
	}
	for _, d := range docs.docs {
		e := exported{Path: filepath.Join(docs.dir, d.Path), Sha256: sum(d.Data)}
		if _, err := os.Lstat(e.Path); err == nil && !slices.ContainsFunc(before, func(b exported) bool { return b.Path == e.Path && b.ours() }) {
			return &ExportError{Path: e.Path}
		}
		entry.Exported = append(entry.Exported, e)
	}
	made, err := c.madeDirs()
	if err != nil {
		return err
	}
	for _, e := range entry.Exported {
		entry.Dirs = append(entry.Dirs, dirsOf(e.Path, made)...)
	}
	if old != nil {
		entry.Dirs = append(entry.Dirs, old.Dirs...)
	}
	slices.Sort(entry.Dirs)
	entry.Dirs = slices.Compact(entry.Dirs)
	if err := c.record(*entry); err != nil {
		return err
	}
	for n, d := range docs.docs {
		if err := put(u, entry.Exported[n].Path, d.Data); err != nil {
			return fmt.Errorf("export: %w", err)
		}
	}
	for _, b := range before {
		if !slices.ContainsFunc(entry.Exported, func(e exported) bool { return e.Path == b.Path }) {
			if err := b.remove(u); err != nil {
				return err
			}
		}
	}
	return nil
}

// madeDirs are the directories that were made for what any flake exports.
func (c *Catalog) madeDirs() (all []string, err error) {
	entries, err := c.entries()
	for _, e := range entries {
		all = append(all, e.Dirs...)
	}
	return all, err
}

// dirsOf are the directories above path that are missing, or that are among those that were made for another flake: the
// last of these takes them away.
func dirsOf(path string, made []string) (out []string) {
	for dir := filepath.Dir(path); !exists(dir) || slices.Contains(made, dir); dir = filepath.Dir(dir) {
		out = append(out, dir)
	}
	return out
}

// put writes a file, and its directories if they are missing.
func put(u *undo, path string, data []byte) error {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, data) {
		return nil
	}
	if err := mkdirs(u, filepath.Dir(path)); err != nil {
		return err
	}
	if err := writeFile(path, data); err != nil {
		return err
	}
	u.add(func() error {
		if old != nil {
			return writeFile(path, old)
		}
		return os.Remove(path)
	})
	return nil
}

// remove removes the file if it still is what we made.
func (e exported) remove(u *undo) error {
	if !e.ours() {
		return nil
	}
	data, err := os.ReadFile(e.Path)
	if err != nil {
		return ignoreMissing(err)
	}
	if err := os.Remove(e.Path); err != nil {
		return fmt.Errorf("remove what was exported: %w", err)
	}
	u.add(func() error { return writeFile(e.Path, data) })
	return nil
}

// removeExported removes what the entry says was exported, and is as it was; and directories that were made for it, if
// nothing else is in them.
func removeExported(entry *ledgerEntry) error {
	if entry == nil {
		return nil
	}
	var errs []error
	for _, e := range entry.Exported {
		errs = append(errs, e.remove(&undo{}))
	}
	for _, dir := range slices.Backward(entry.Dirs) { // sorted: what lies in one comes behind it
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrExist) { // which ENOTEMPTY is
			errs = append(errs, ignoreMissing(err))
		}
	}
	return errors.Join(errs...)
}

// ExportError says that a document of an app can't be put where somebody else's file is.
type ExportError struct{ Path string }

func (e *ExportError) Error() string {
	return fmt.Sprintf("--export: %s exists and is not ours", e.Path)
}

// Remedy implements the CLI's second line.
func (e *ExportError) Remedy() string { return "move it away, or leave --export out" }
