package gc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/flake-launcher/flake-launcher/rootfs"
)

// PinnedError says that an image is not removed because flakes need it.
type PinnedError struct {
	Name   string
	Digest digest.Digest
	Flakes []string // sorted; empty where the roots do not say
}

func (e *PinnedError) Error() string {
	if len(e.Flakes) == 0 {
		return fmt.Sprintf("remove image %q: a flake needs it", e.Name)
	}
	return fmt.Sprintf("remove image %q: needed by %s", e.Name, strings.Join(e.Flakes, ", "))
}

// Remedy says what the user can do.
func (e *PinnedError) Remedy() string { return "remove these flakes first, or force the removal" }

// RemoveImage takes away the reference that name means, and, once nothing
// refers to its image any more, the image and those of its layers that no
// other image has. A digest, an id or a source string stands for all of the
// image's references. What flakes pin is refused with *[PinnedError] unless
// force is set; those flakes then have to pull again. Unlike [Plan] it leaves
// other garbage alone. The report says what was removed. The errors of
// [rootfs.Store.Resolve] come back as they are.
func RemoveImage(ctx context.Context, s *rootfs.Store, name string, roots Roots, force bool) (*Report, error) {
	ref, err := s.ResolveRef(name)
	if err != nil {
		return nil, err
	}
	if roots.pinned(ref.Digest) && !force {
		return nil, &PinnedError{name, ref.Digest, slices.Sorted(slices.Values(roots.Flakes[ref.Digest]))}
	}
	sc := &scope{image: ref.Digest, drop: map[string]bool{}}
	refs, err := s.Refs()
	if err != nil {
		return nil, err
	}
	for _, r := range refs {
		sc.drop[r.Name] = r.Name == ref.Name || ref.Name == "" && r.Digest == ref.Digest
	}
	r, err := plan(s, roots.without(ref.Digest), sc)
	if err != nil {
		return nil, err
	}
	return r, r.Apply(ctx)
}

// without gives the roots that do not pin d.
func (r Roots) without(d digest.Digest) Roots {
	is := func(o digest.Digest) bool { return o == d }
	flakes := maps.Clone(r.Flakes)
	delete(flakes, d)
	return Roots{Images: slices.DeleteFunc(slices.Clone(r.Images), is), Flakes: flakes, Layers: r.Layers}
}

// RemoveLayers takes those of the layers away that neither an image nor the
// roots need, and leaves other garbage alone.
func RemoveLayers(ctx context.Context, s *rootfs.Store, ids []string, roots Roots) (*Report, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	r, err := plan(s, roots, &scope{layers: append([]string{}, ids...)})
	if err != nil {
		return nil, err
	}
	return r, r.Apply(ctx)
}
