package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Apply removes what the report names, as far as it is still garbage: it waits
// until no pull is running (at most until ctx ends, see [rootfs.Store.Writing])
// and looks again first. Starts are not kept waiting, and the layers they use
// stay, see InUse. References go before images and images before layers, so
// that a crash on the way leaves no image that lacks a layer; a second
// collection completes the work. The report's lists are updated to what was
// really removed.
func (r *Report) Apply(ctx context.Context) error {
	done, err := r.store.Collecting(ctx)
	if err != nil {
		return fmt.Errorf("collect garbage: %w", err)
	}
	defer done()
	if r.roots.Again != nil {
		if r.roots, err = r.roots.Again(); err != nil {
			return err
		}
	}
	now, err := plan(r.store, r.roots, r.scope)
	if err != nil {
		return err
	}
	r.intersect(now)
	if err := r.apply(ctx); err != nil {
		return fmt.Errorf("collect garbage: %w", err)
	}
	return nil
}

// intersect forgets what has become needed since the report was made.
func (r *Report) intersect(now *Report) {
	r.Refs = slices.DeleteFunc(r.Refs, func(n string) bool { return !slices.Contains(now.Refs, n) })
	r.Images = slices.DeleteFunc(r.Images, func(i Image) bool { return !slices.Contains(now.Images, i) })
	r.Layers = slices.DeleteFunc(r.Layers, func(l Layer) bool {
		return !slices.ContainsFunc(now.Layers, func(o Layer) bool { return o.ID == l.ID })
	})
	r.Damaged, r.InUse, r.Freed = now.Damaged, nil, 0
}

func (r *Report) apply(ctx context.Context) error {
	for _, name := range r.Refs {
		if err := r.store.DeleteRef(name); err != nil {
			return err
		}
	}
	gone := map[digest.Digest]bool{}
	for _, img := range r.Images {
		if err := r.store.DeleteImage(img.Digest); err != nil {
			return err
		}
		gone[img.Digest] = true
	}
	if err := r.store.DeleteSources(r.keepSource(gone)); err != nil {
		return err
	}
	if err := r.applyLayers(ctx); err != nil {
		return err
	}
	if r.scope != nil {
		return nil
	}
	for _, t := range r.Temp {
		r.Freed += t.Size
	}
	if _, err := r.store.SweepLeftovers(); err != nil {
		return err
	}
	_, err := r.store.SweepTemp()
	return err
}

// keepSource says which sources stay: within a scope all but the image's own.
func (r *Report) keepSource(gone map[digest.Digest]bool) func(digest.Digest) bool {
	return func(d digest.Digest) bool {
		if gone[d] {
			return false
		}
		if r.scope != nil {
			return true
		}
		_, err := os.Lstat(r.store.ImageDir(d))
		return !errors.Is(err, fs.ErrNotExist)
	}
}

func (r *Report) applyLayers(ctx context.Context) error {
	var removed []Layer
	for _, l := range r.Layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		ok, err := r.store.RetireLayer(l.ID)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case !ok:
			r.InUse = append(r.InUse, l.ID)
		default:
			removed = append(removed, l)
			r.Freed += l.Size
		}
	}
	r.Layers = removed
	return nil
}
