package ctl

import (
	"context"
	"errors"
	"fmt"

	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/gc"
)

type removeCmd struct {
	Apps      []string `arg:"" optional:"" name:"app" help:"Flakes, by name or by the path of their link."`
	Container string   `placeholder:"IMAGE" help:"Remove this image and the layers that nothing else needs."`
	Force     bool     `help:"With --container: remove the flakes that use it, too."`
}

func (removeCmd) Help() string {
	return `Example:

  flake-ctl remove aws
  flake-ctl remove --container basepython

A file that register --force had moved away comes back. Kept instances of the flakes end, and what was written in them
is removed.`
}

// Run removes flakes or an image.
func (c removeCmd) Run(ctx context.Context, s *session) error {
	if (len(c.Apps) > 0) == (c.Container != "") {
		return usageError{errors.New("either flakes or --container is wanted")}
	}
	if c.Force && c.Container == "" {
		return usageError{errors.New("--force goes with --container")}
	}
	store, err := s.store(false)
	if errors.Is(err, rootfs.ErrNoStore) && c.Container != "" {
		set, err := s.stores(nil)
		if err != nil {
			return err
		}
		return elsewhere(set, c.Container, &rootfs.NotFoundError{Name: c.Container})
	}
	if errors.Is(err, rootfs.ErrNoStore) {
		store, err = s.storeOf(c.Apps)
	}
	if err != nil {
		return err
	}
	cat, err := s.catalog(store)
	if err != nil {
		return err
	}
	if c.Container != "" {
		return s.removeImage(ctx, store, cat, c.Container, c.Force)
	}
	return errors.Join(s.removeFlakes(cat, c.Apps), s.sweepIncludes(ctx, store, cat))
}

// sweepIncludes removes the layers made of host files that went with the last flake that included them.
func (s *session) sweepIncludes(ctx context.Context, store *rootfs.Store, cat *catalog.Catalog) error {
	includes, err := cat.Includes()
	if err != nil || len(includes.Records)+len(includes.Stray) == 0 {
		return err
	}
	needed, err := roots(cat)
	if err != nil {
		return err
	}
	needed.Again = func() (gc.Roots, error) { return roots(cat) }
	if _, err := gc.RemoveLayers(ctx, store, includes.Stray, needed); err != nil {
		return err
	}
	if _, err := cat.DeleteDerived(includes.Records); err != nil {
		return err
	}
	return s.sweepRanges(ctx, store, cat.Compiler, false)
}

// storeOf makes the store of a caller who has none, if one of the flakes is his to remove all the same, as its registration
// is still there. Otherwise it says why none is, and makes nothing.
func (s *session) storeOf(apps []string) (*rootfs.Store, error) {
	dir, err := s.registrations()
	if err != nil {
		return nil, err
	}
	cat := &catalog.Catalog{Dir: dir, Searched: plan.SearchDirs(s.getenv)}
	var errs []error
	for _, a := range apps {
		err := cat.Removable(a)
		if err == nil {
			return s.store(true)
		}
		errs = append(errs, err)
	}
	return nil, one(errs)
}

// one is a single error as it is, with its remedy, or several as one.
func one(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// removeFlakes removes one after the other; an unknown one does not keep the others from going.
func (s *session) removeFlakes(cat *catalog.Catalog, apps []string) error {
	var errs []error
	for _, a := range apps {
		name, err := cat.Remove(a)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(s.Err, "removed %s\n", name)
		if err := s.resetFlake(cat.Compiler.Store, name); err != nil {
			errs = append(errs, err)
		}
	}
	return one(errs)
}

func (s *session) removeImage(ctx context.Context, store *rootfs.Store, cat *catalog.Catalog, image string, force bool) error {
	pinned, err := roots(cat)
	if err != nil {
		return err
	}
	d, err := store.Resolve(image)
	if err != nil {
		return elsewhere(cat.Compiler.Images, image, err)
	}
	if force && len(pinned.Flakes[d]) > 0 {
		if err := s.resetImage(store, d.String()); err != nil {
			return err
		}
		if pinned, err = roots(cat); err != nil {
			return err
		}
		if err := s.removeFlakes(cat, pinned.Flakes[d]); err != nil {
			return err
		}
		if pinned, err = roots(cat); err != nil {
			return err
		}
	}
	report, err := gc.RemoveImage(ctx, store, image, pinned, false)
	var inUse *gc.PinnedError
	if errors.As(err, &inUse) {
		return &UsedError{inUse}
	}
	if err != nil {
		return err
	}
	if err := s.sweepIncludes(ctx, store, cat); err != nil {
		return err
	}
	derived, err := cat.Derived()
	if err != nil {
		return err
	}
	if derived, err = cat.DeleteDerived(derived); err != nil {
		return err
	}
	s.tell(report, derived, "deleted")
	return s.sweepRanges(ctx, store, cat.Compiler, false)
}

// elsewhere is why an image that the own store lacks can't be removed: err, unless another store has it.
func elsewhere(set *rootfs.Set, image string, err error) error {
	if _, other, found := set.ResolveRef(image); found == nil {
		return &OtherStoreError{Image: image, Root: other.Root()}
	}
	return err
}

// OtherStoreError refuses to remove an image of a store that the caller only reads.
type OtherStoreError struct{ Image, Root string }

func (e *OtherStoreError) Error() string {
	return fmt.Sprintf("image %q lies in %s, which is not yours", e.Image, e.Root)
}

// Remedy implements the CLI's second line.
func (e *OtherStoreError) Remedy() string { return "have its owner remove it" }

// UsedError refuses to remove an image that flakes start.
type UsedError struct{ *gc.PinnedError }

// Remedy implements the CLI's second line.
func (e *UsedError) Remedy() string {
	return "remove these flakes first (kept instances by flake-ctl reset), or --force to remove them together with the image"
}
