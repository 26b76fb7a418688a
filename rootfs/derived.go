package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Directories of the store that others fill.
const (
	// ledgerDir holds one file for each link that we made on the host, see launcher/catalog.
	ledgerDir = "ledger"
	// includesDir holds one file for each host file that layers were made of, see rootfs/include.
	includesDir = "includes"
)

// LedgerDir is where the ledger of links lies. It is made by its first writer.
func (s *Store) LedgerDir() string { return s.path(ledgerDir) }

// NameDirs are the directories whose content decides what a name means, see
// [Store.Resolve]: as long as their times stay, so does every answer.
func (s *Store) NameDirs() []string {
	return []string{s.path(refsDir), s.path(sourcesDir), s.path(imagesDir)}
}

// RetireHostLayer removes a flake's own layer as [Store.RetireLayer] removes an
// image's: not while a start is using it.
func (s *Store) RetireHostLayer(name string) (removed bool, err error) {
	return s.retire(s.path(hostLayersDir, escape(name)))
}

// IncludesDir is where it is kept which layers were made of which host files;
// it may not exist yet.
func (s *Store) IncludesDir() string { return s.path(includesDir) }

// WriteInclude writes one file of that directory, atomically and durably. What
// is in it is for rootfs/include to say.
func (s *Store) WriteInclude(name string, data []byte) error {
	if err := makeDir(s.path(includesDir), 0o755); err != nil {
		return fmt.Errorf("make directory of includes: %w", err)
	}
	if err := s.writeSmall(filepath.Join(includesDir, escape(name)), string(data)); err != nil {
		return fmt.Errorf("write include: %w", err)
	}
	return nil
}

// RetireInstance takes a kept instance out of its place at once, and then removes all of it; a crash in between leaves
// work for [Store.SweepTemp]. Where that can't be done (no space for a temporary directory, instances on a file system
// of their own) it is removed in its place. name is that of its directory, whose lock and processes are the caller's
// business. An absent one is success.
func (s *Store) RetireInstance(name string) (err error) {
	if name == "" || name == "." || name == ".." || strings.ContainsRune(name, '/') {
		return fmt.Errorf("retire instance %q: %w", name, ErrBadName)
	}
	path := s.path(instancesDir, name)
	t, err := s.Temp("old-instance")
	if err != nil {
		return s.RemoveTree(path)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	err = os.Rename(path, filepath.Join(t.Dir(), "i"))
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, unix.EXDEV):
		return s.RemoveTree(path)
	}
	return fmt.Errorf("retire instance: %w", err)
}

// systemFilesDir holds one file for each script of an image that was run, see launcher/plan/compile.
const systemFilesDir = "systemfiles"

// SystemFilesDir is where it is kept what images' scripts have printed. It is made by its first writer.
func (s *Store) SystemFilesDir() string { return s.path(systemFilesDir) }
