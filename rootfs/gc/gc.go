package gc

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Roots is what keeps images alive besides the store's own references. The
// zero value pins nothing.
type Roots struct {
	// Images are digests that registrations or kept instances pin.
	Images []digest.Digest
	// Flakes names who pins an image, for messages. Its keys are pinned too.
	Flakes map[digest.Digest][]string
	// Layers are ids of layers that plans need and that are no image's.
	Layers []string
	// Again, if set, is asked for the roots once more when nothing can be added to
	// the store any longer: what was registered meanwhile must not be collected.
	Again func() (Roots, error)
}

// pinned says whether a registration pins the image.
func (r Roots) pinned(d digest.Digest) bool {
	_, ok := r.Flakes[d]
	return ok || slices.Contains(r.Images, d)
}

// Image is an image that goes.
type Image struct {
	Digest digest.Digest
	Source string // empty where the record is unreadable
}

// Layer is a layer that goes.
type Layer struct {
	ID   string
	Size int64 // bytes it occupies
}

// Leftover is what a crashed writer or collection left.
type Leftover struct {
	Path string
	Size int64
}

// Report says what is garbage. All lists are sorted.
type Report struct {
	// Refs are references that go: those whose image is gone, and those that
	// [RemoveImage] takes away.
	Refs   []string
	Images []Image
	Layers []Layer
	Temp   []Leftover

	// Damaged are images that are needed but not whole. They stay: pulling
	// them again fetches what is missing.
	Damaged []digest.Digest

	// InUse, filled by [Report.Apply], are layers that stayed because a start
	// is using them. A later collection takes them.
	InUse []string
	// Freed, filled by [Report.Apply], is what was given back, in bytes.
	Freed int64

	store *rootfs.Store
	roots Roots
	scope *scope
}

// scope narrows a collection to one image.
type scope struct {
	drop  map[string]bool // references that go although they lead somewhere
	image digest.Digest   // the only image that may go
	// layers, if not nil, are the only ones that may go, and no image may.
	layers []string
}

// Empty says that there is nothing to remove.
func (r *Report) Empty() bool {
	return len(r.Refs)+len(r.Images)+len(r.Layers)+len(r.Temp) == 0
}

// Size is how many bytes the report expects to give back.
func (r *Report) Size() int64 {
	var n int64
	for _, l := range r.Layers {
		n += l.Size
	}
	for _, t := range r.Temp {
		n += t.Size
	}
	return n
}

// Plan says what is garbage now. It changes nothing and takes no lock, so that
// another process may make the answer stale; [Report.Apply] looks again.
func Plan(s *rootfs.Store, roots Roots) (*Report, error) {
	return plan(s, roots, nil)
}

func plan(s *rootfs.Store, roots Roots, sc *scope) (*Report, error) {
	r := &Report{store: s, roots: roots, scope: sc}
	needed, err := r.collectImages()
	if err != nil {
		return nil, fmt.Errorf("plan collection: %w", err)
	}
	if err := r.collectLayers(needed); err != nil {
		return nil, fmt.Errorf("plan collection: %w", err)
	}
	if sc != nil {
		return r, nil
	}
	stale, err := s.StaleTemp()
	if err != nil {
		return nil, fmt.Errorf("plan collection: %w", err)
	}
	beside, err := s.Leftovers()
	if err != nil {
		return nil, fmt.Errorf("plan collection: %w", err)
	}
	for _, path := range append(stale, beside...) {
		r.Temp = append(r.Temp, Leftover{path, occupied(path)})
	}
	return r, nil
}

// collectImages fills Refs, Images and Damaged, and gives the layers that the
// remaining images need.
func (r *Report) collectImages() (needed map[string]bool, err error) {
	refs, err := r.store.Refs()
	if err != nil {
		return nil, err
	}
	digests, err := r.store.Digests()
	if err != nil {
		return nil, err
	}
	named := map[digest.Digest]bool{}
	for _, ref := range refs {
		switch {
		case r.scope != nil && r.scope.drop[ref.Name]:
			r.Refs = append(r.Refs, ref.Name)
		case r.scope == nil && !slices.Contains(digests, ref.Digest):
			r.Refs = append(r.Refs, ref.Name)
		default:
			named[ref.Digest] = true
		}
	}
	needed = map[string]bool{}
	for _, d := range digests {
		keep := named[d] || r.roots.pinned(d) || r.scope != nil && r.scope.image != d
		if err := r.collectImage(d, keep, needed); err != nil {
			return nil, err
		}
	}
	return needed, nil
}

// collectImage judges one image. One that cannot be read cannot say which
// layers it needs: they go unless another image needs them, and come back with
// the next pull.
func (r *Report) collectImage(d digest.Digest, keep bool, needed map[string]bool) error {
	rec, err := r.store.Record(d)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // removed meanwhile
	case err != nil && !errors.Is(err, rootfs.ErrDamaged):
		return err
	case err != nil:
		rec = &rootfs.Record{}
	}
	if !keep {
		r.Images = append(r.Images, Image{d, rec.Source})
		return nil
	}
	for _, l := range rec.Layers {
		needed[l.ID] = true
	}
	if _, err := r.store.Image(d); errors.Is(err, rootfs.ErrDamaged) {
		r.Damaged = append(r.Damaged, d)
	}
	return nil
}

// collectLayers fills Layers. Within a scope only layers of the image that
// goes are looked at.
func (r *Report) collectLayers(needed map[string]bool) error {
	ids, err := r.store.Layers()
	if err != nil {
		return err
	}
	if r.scope != nil {
		if ids, err = r.scopeLayers(); err != nil {
			return err
		}
	}
	for _, id := range r.roots.Layers {
		needed[id] = true
	}
	for _, id := range ids {
		if !needed[id] && r.store.HasLayer(id) {
			r.Layers = append(r.Layers, Layer{id, r.layerSize(id)})
		}
	}
	return nil
}

// layerSize counts what belongs to a layer too.
func (r *Report) layerSize(id string) int64 {
	n := occupied(r.store.OwnersFile(id))
	for _, dir := range r.store.LayerParts(id) {
		n += occupied(dir)
	}
	return n
}

func (r *Report) scopeLayers() ([]string, error) {
	if r.scope.layers != nil {
		return r.scope.layers, nil
	}
	if len(r.Images) == 0 {
		return nil, nil
	}
	rec, err := r.store.Record(r.scope.image)
	if errors.Is(err, rootfs.ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, l := range rec.Layers {
		ids[l.ID] = true
	}
	return slices.Sorted(maps.Keys(ids)), nil
}
