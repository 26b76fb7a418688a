package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/internal/ordinary"
)

// TestAsOrdinaryUser runs all of this as somebody who is not root.
func TestAsOrdinaryUser(t *testing.T) { ordinary.Run(t) }

func newStore(t *testing.T) *rootfs.Store {
	t.Helper()
	s, err := rootfs.Create(filepath.Join(t.TempDir(), "flakes"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func id(layer string) string { return digest.FromString(layer).Encoded() }

// put stores an image made of layers, each a directory with one file, under
// names, and gives its digest.
func put(t *testing.T, s *rootfs.Store, image string, layers []string, names ...string) digest.Digest {
	t.Helper()
	manifest := fmt.Sprintf("{%q:1}", image)
	rec := rootfs.Record{Digest: digest.FromString(manifest), Source: image}
	for _, l := range layers {
		tmp, err := s.Temp("layer")
		if err != nil {
			t.Fatal(err)
		}
		err = os.WriteFile(filepath.Join(tmp.Dir(), "f"), make([]byte, 5000), 0o600)
		if err := errors.Join(err, s.CommitLayer(tmp.Dir(), id(l)), tmp.Close()); err != nil {
			t.Fatal(err)
		}
		rec.Layers = append(rec.Layers, rootfs.LayerRecord{ID: id(l)})
	}
	if err := s.PutImage(rec, []byte(manifest), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if err := s.SetRef(n, rec.Digest); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.SetSource("source of "+image, rec.Digest); err != nil {
		t.Fatal(err)
	}
	return rec.Digest
}

// state says what a store holds, by the names the test gave.
func state(t *testing.T, s *rootfs.Store) string {
	t.Helper()
	var words []string
	refs, err := s.Refs()
	for _, r := range refs {
		words = append(words, r.Name)
	}
	digests, err2 := s.Digests()
	words = append(words, fmt.Sprintf("%d images", len(digests)))
	for _, l := range []string{"base", "lib", "one", "two"} {
		if s.HasLayer(id(l)) {
			words = append(words, l)
		}
	}
	sources, err3 := os.ReadDir(filepath.Join(s.Root(), "sources"))
	words = append(words, fmt.Sprintf("%d sources", len(sources)))
	left, err4 := os.ReadDir(filepath.Join(s.Root(), "tmp"))
	for _, e := range left {
		words = append(words, "tmp/"+e.Name())
	}
	if err := errors.Join(err, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	return strings.Join(words, " ")
}

func expect(t *testing.T, s *rootfs.Store, want string) {
	t.Helper()
	if got := state(t, s); got != want {
		t.Errorf("store holds\n %s\nwant\n %s", got, want)
	}
}

func TestLifecycle(t *testing.T) {
	s := newStore(t)
	ctx := t.Context()
	one := put(t, s, "one", []string{"base", "one"}, "one:1", "one:latest")
	two := put(t, s, "two", []string{"base", "lib", "two"}, "two:1")
	all := "one:1 one:latest two:1 2 images base lib one two 2 sources"
	expect(t, s, all)

	// Everything is needed.
	r, err := Plan(s, Roots{})
	if err != nil || !r.Empty() || r.Size() != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := r.Apply(ctx); err != nil {
		t.Fatal(err)
	}
	expect(t, s, all)

	// One of two names.
	if r, err = RemoveImage(ctx, s, "one:1", Roots{}, false); err != nil || !cmp.Equal(r.Refs, []string{"one:1"}) || len(r.Images) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	expect(t, s, "one:latest two:1 2 images base lib one two 2 sources")

	// The last name of an image that a flake pins.
	pins := Roots{Flakes: map[digest.Digest][]string{one: {"zed", "app"}}}
	var pe *PinnedError
	for _, name := range []string{"one", one.String(), "source of one"} {
		_, err = RemoveImage(ctx, s, name, pins, false)
		if !errors.As(err, &pe) || !cmp.Equal(pe.Flakes, []string{"app", "zed"}) || !strings.Contains(err.Error(), "app, zed") || pe.Remedy() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err = RemoveImage(ctx, s, "one", Roots{Images: []digest.Digest{one}}, false); !errors.As(err, &pe) {
		t.Errorf("pinned without a name: %v", err)
	}
	expect(t, s, "one:latest two:1 2 images base lib one two 2 sources")

	// A name taken away, and the pin keeps the image; then nothing does.
	if err := s.DeleteRef("one:latest"); err != nil {
		t.Fatal(err)
	}
	if r, err = Plan(s, pins); err != nil || !r.Empty() {
		t.Fatalf("%+v, %v", r, err)
	}
	if r, err = Plan(s, Roots{Images: []digest.Digest{two}}); err != nil {
		t.Fatal(err)
	}
	if len(r.Images) != 1 || r.Images[0] != (Image{one, "one"}) || len(r.Layers) != 1 || r.Layers[0].ID != id("one") || r.Size() < 5000 {
		t.Errorf("%+v", r)
	}
	expect(t, s, "two:1 2 images base lib one two 2 sources") // a dry run
	if err := r.Apply(ctx); err != nil || r.Freed < 5000 {
		t.Fatal(err, r.Freed)
	}
	expect(t, s, "two:1 1 images base lib two 1 sources")

	// Force, and the store is empty; again is not found.
	if _, err = RemoveImage(ctx, s, two.Encoded()[:8], Roots{Images: []digest.Digest{two}}, true); err != nil {
		t.Fatal(err)
	}
	expect(t, s, "0 images 0 sources")
	var nf *rootfs.NotFoundError
	if _, err = RemoveImage(ctx, s, "two", Roots{}, true); !errors.As(err, &nf) {
		t.Error(err)
	}
}

func TestRemoveImageLeavesOtherGarbage(t *testing.T) {
	s := newStore(t)
	put(t, s, "one", []string{"base", "one"}, "one:1")
	put(t, s, "two", []string{"base", "two"}) // no name: garbage
	if err := s.SetRef("dangling:1", digest.FromString("no")); err != nil {
		t.Fatal(err)
	}
	leftover(t, s, "layer-1")
	r, err := RemoveImage(t.Context(), s, "one:1", Roots{}, false)
	if err != nil || len(r.Layers) != 1 || r.Layers[0].ID != id("one") {
		t.Fatalf("%+v, %v", r, err)
	}
	expect(t, s, "dangling:1 1 images base two 1 sources tmp/layer-1")
	if r, err = Plan(s, Roots{}); err != nil || r.Apply(t.Context()) != nil {
		t.Fatal(r, err)
	}
	expect(t, s, "0 images 0 sources")
}

func leftover(t *testing.T, s *rootfs.Store, name string) {
	t.Helper()
	dir := filepath.Join(s.Root(), "tmp", name, "d")
	err := os.MkdirAll(dir, 0o755)
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "x"), make([]byte, 9000), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestInUse: what a start holds stays and is reported, the image's record goes
// all the same, and the next collection takes the layer.
func TestInUse(t *testing.T) {
	s := newStore(t)
	put(t, s, "one", []string{"base", "one"}, "one:1")
	running, err := rootfs.NewView([]string{s.LayerDir(id("base"))})
	if err != nil {
		t.Fatal(err)
	}
	r, err := RemoveImage(t.Context(), s, "one:1", Roots{}, false)
	if err != nil || !slices.Equal(r.InUse, []string{id("base")}) || len(r.Layers) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	expect(t, s, "0 images base 0 sources")
	if _, err := running.Lstat("f"); err != nil {
		t.Error(err)
	}
	running.Close()
	if r, err = Plan(s, Roots{}); err != nil || r.Apply(t.Context()) != nil || len(r.InUse) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	expect(t, s, "0 images 0 sources")
}

// TestApplyLooksAgain: between plan and apply a pull made the garbage needed.
func TestApplyLooksAgain(t *testing.T) {
	s := newStore(t)
	one := put(t, s, "one", []string{"base", "one"})
	r, err := Plan(s, Roots{})
	if err != nil || len(r.Images) != 1 || len(r.Layers) != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := s.SetRef("one:1", one); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(t.Context()); err != nil || !r.Empty() {
		t.Fatalf("%+v, %v", r, err)
	}
	expect(t, s, "one:1 1 images base one 1 sources")
}

func TestApplyWaitsForWriters(t *testing.T) {
	s := newStore(t)
	done, err := s.Writing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "one", []string{"one"}) // the pull has not set its name yet
	r, err := Plan(s, Roots{})
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.Apply(soon); !errors.Is(err, rootfs.ErrBusy) {
		t.Errorf("Apply beside a pull: %v", err)
	}
	expect(t, s, "1 images one 1 sources")
	applied := make(chan error)
	go func() { applied <- r.Apply(t.Context()) }()
	time.Sleep(10 * time.Millisecond)
	done()
	if err := <-applied; err != nil {
		t.Error(err)
	}
	expect(t, s, "0 images 0 sources")
}

func TestDamaged(t *testing.T) {
	tests := map[string]struct {
		spoil func(s *rootfs.Store, d digest.Digest) error
		names []string
		want  string
	}{
		"needed, lacks a layer": {
			func(s *rootfs.Store, _ digest.Digest) error { return os.RemoveAll(s.LayerDir(id("one"))) },
			[]string{"x:1"}, "x:1 1 images base 1 sources",
		},
		"needed, lacks its record": {
			func(s *rootfs.Store, d digest.Digest) error {
				return os.Remove(filepath.Join(s.ImageDir(d), "record.json"))
			},
			[]string{"x:1"}, "x:1 1 images 1 sources",
		},
		"not needed": {
			func(s *rootfs.Store, d digest.Digest) error {
				return os.RemoveAll(filepath.Join(s.ImageDir(d), "record.json"))
			},
			nil, "0 images 0 sources",
		},
		"gone, name left": {
			func(s *rootfs.Store, d digest.Digest) error { return os.RemoveAll(s.ImageDir(d)) },
			[]string{"x:1"}, "0 images 0 sources",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			d := put(t, s, "one", []string{"base", "one"}, tt.names...)
			if err := tt.spoil(s, d); err != nil {
				t.Fatal(err)
			}
			r, err := Plan(s, Roots{})
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Damaged) == 1 != strings.HasPrefix(name, "needed") {
				t.Errorf("%+v", r)
			}
			if err := r.Apply(t.Context()); err != nil {
				t.Fatal(err)
			}
			expect(t, s, tt.want)
			put(t, s, "one", []string{"base", "one"}, "x:1")
			expect(t, s, "x:1 1 images base one 1 sources")
		})
	}
}

func TestTempLeftovers(t *testing.T) {
	s := newStore(t)
	leftover(t, s, "layer-9")
	alive, err := s.Temp("layer")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Plan(s, Roots{})
	if err != nil || len(r.Temp) != 1 || r.Temp[0].Size < 9000 || r.Size() < 9000 {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := r.Apply(t.Context()); err != nil || r.Freed < 9000 {
		t.Fatal(r.Freed, err)
	}
	if _, err := os.Stat(alive.Dir()); err != nil {
		t.Error(err)
	}
	if err := alive.Close(); err != nil {
		t.Error(err)
	}
	expect(t, s, "0 images 0 sources")
}

func TestCancelledApplyCanBeRepeated(t *testing.T) {
	s := newStore(t)
	put(t, s, "one", []string{"base", "one"})
	r, err := Plan(s, Roots{})
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Apply(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if r, err = Plan(s, Roots{}); err != nil || r.Apply(t.Context()) != nil {
		t.Fatal(err)
	}
	expect(t, s, "0 images 0 sources")
}

func TestEmptyStoreWithoutDirectories(t *testing.T) {
	s := newStore(t)
	for _, d := range []string{"layers", "images", "refs", "sources", "tmp"} {
		if err := os.RemoveAll(filepath.Join(s.Root(), d)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Plan(s, Roots{})
	if err != nil || !r.Empty() {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := r.Apply(t.Context()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}
