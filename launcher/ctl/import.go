package ctl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/importing"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

type importCmd struct {
	Args   []string `arg:"" optional:"" name:"dir" help:"Directory of flake-pilot's registrations (default: the one that its flakes.yml names, /usr/share/flakes, or ~/.config/flakes for an ordinary user); with --undo names of flakes."`
	DryRun bool     `help:"Only say what would become of each of them."`
	Undo   bool     `help:"Give flakes back to flake-pilot: those that are named, or all."`
	Pull   bool     `help:"Pull images that are not stored."`
	Format string   `enum:"table,json" default:"table" help:"table or json."`
}

func (importCmd) Help() string {
	return `Example:

  flake-ctl import --dry-run
  flake-ctl import --pull
  flake-ctl import --undo aws

Each key of a registration is reported: same (means here what it means there), differs (the note says how), cannot
(keeps the flake from being imported). Links to podman-pilot become links to flake-launcher. What was there before is
kept: --undo and flake-ctl remove bring it back. An import that was cut short is healed by the next one.

Exit status: 0 all can be, or were, imported; 1 some can't; 2 a mistake in the command line.`
}

// Files of flake-pilot's that its registrations depend on.
const (
	pilotSettings     = "/etc/flakes.yml"
	pilotUserSettings = ".config/flakes.yml"
)

// Run reports, imports or gives back.
func (c importCmd) Run(ctx context.Context, s *session) error {
	switch {
	case c.Undo && (c.DryRun || c.Pull):
		return usageError{errors.New("--undo goes with names of flakes alone")}
	case !c.Undo && len(c.Args) > 1:
		return usageError{errors.New("one directory is wanted")}
	}
	if c.Undo {
		return c.undo(s)
	}
	site, dir, err := c.site(s)
	if err != nil {
		return err
	}
	if st, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) || err == nil && !st.IsDir() {
		return &NoRegistrationsError{dir}
	}
	store, cat, err := c.catalog(s)
	if err != nil {
		return err
	}
	if err := c.heal(s, cat); err != nil {
		return err
	}
	regs, err := importing.Read(dir)
	if err != nil {
		return err
	}
	run := &importRun{importCmd: c, session: s, store: store, cat: cat}
	for _, r := range regs {
		if err := run.one(ctx, r); err != nil {
			return err
		}
	}
	return run.print(site)
}

// site is flake-pilot's configuration, and the directory to import.
func (c importCmd) site(s *session) (importing.Site, string, error) {
	settings, dir := pilotSettings, plan.VendorDir
	if !s.privileged {
		home := s.getenv("HOME")
		if !filepath.IsAbs(home) && len(c.Args) == 0 {
			return importing.Site{}, "", errors.New("find your registrations: HOME is not set")
		}
		settings, dir = filepath.Join(home, pilotUserSettings), plan.UserDir(s.getenv)
	}
	site, err := importing.ReadSite(settings, plan.SystemDir)
	if err != nil {
		return site, "", err
	}
	if site.Flakes != "" {
		dir = site.Flakes
	}
	if len(c.Args) == 1 {
		dir = c.Args[0]
	}
	dir, err = filepath.Abs(dir)
	return site, dir, err
}

// catalog is the caller's; a dry run makes no store where there is none.
func (c importCmd) catalog(s *session) (*rootfs.Store, *catalog.Catalog, error) {
	store, err := s.store(!c.DryRun)
	if err == nil {
		cat, err := s.catalog(store)
		return store, cat, err
	}
	if !errors.Is(err, rootfs.ErrNoStore) {
		return nil, nil, err
	}
	root, err := rootfs.CallersRoot()
	if err != nil {
		return nil, nil, err
	}
	return nil, &catalog.Catalog{Ledger: filepath.Join(root, "ledger")}, nil
}

func (c importCmd) heal(s *session, cat *catalog.Catalog) error {
	names, err := cat.Unfinished()
	for _, name := range names {
		fmt.Fprintf(s.Err, "flake-ctl: the import of %s was cut short\n", name)
	}
	if err != nil || c.DryRun {
		return err
	}
	return cat.Heal()
}

func (c importCmd) undo(s *session) error {
	store, err := s.store(false)
	if errors.Is(err, rootfs.ErrNoStore) {
		if len(c.Args) > 0 {
			return &catalog.NotImportedError{Name: c.Args[0]}
		}
		return nil
	}
	if err != nil {
		return err
	}
	cat, err := s.catalog(store)
	if err != nil {
		return err
	}
	done, err := cat.Undo(c.Args)
	errs := []error{err}
	for _, name := range done {
		fmt.Fprintf(s.Err, "gave %s back\n", name)
		errs = append(errs, s.resetFlake(store, name))
	}
	return errors.Join(errs...)
}

// NoRegistrationsError says that there is nothing to import.
type NoRegistrationsError struct{ Dir string }

func (e *NoRegistrationsError) Error() string {
	return fmt.Sprintf("read registrations: there is no directory %s", e.Dir)
}

// Remedy implements the CLI's second line.
func (e *NoRegistrationsError) Remedy() string {
	return "name flake-pilot's directory of registrations: flake-ctl import DIR"
}

// NotAllError says that some registrations stay flake-pilot's.
type NotAllError struct{ Names []string }

func (e *NotAllError) Error() string {
	return "can't import " + strings.Join(e.Names, ", ")
}

// Remedy implements the CLI's second line.
func (e *NotAllError) Remedy() string {
	return "see the keys of the report that say cannot; these flakes are left to flake-pilot as they are"
}
