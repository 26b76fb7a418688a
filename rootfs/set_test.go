package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSet(t *testing.T) {
	own, second, third := newStore(t), newStore(t), newStore(t)
	ref := func(s *Store, name, image string) {
		t.Helper()
		if err := s.SetRef(name, putImage(t, s, image)); err != nil {
			t.Fatal(err)
		}
	}
	ref(own, "docker.io/library/both:latest", "own both")
	ref(second, "docker.io/library/both:latest", "second both")
	ref(second, "docker.io/library/second:latest", "second")
	ref(second, "a/tool:latest", "a tool")
	ref(second, "b/tool:latest", "b tool")
	ref(third, "docker.io/library/tool:latest", "third tool")
	ref(third, "docker.io/library/third:latest", "second") // the same image
	gone := filepath.Join(t.TempDir(), "absent")
	set, err := OpenSet(own, []string{gone, second.Root(), own.Root(), third.Root() + "/", second.Root()})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{own.Root(), second.Root(), third.Root()}, roots(set)); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]*Store{"both": own, "second": second, "third": third} {
		got, store, err := set.ResolveRef(name)
		if err != nil || store.Root() != want.Root() {
			t.Errorf("%s: %v from %v, %v", name, got, store, err)
			continue
		}
		img, store, err := set.Image(got.Digest)
		if err != nil || len(img.LayerDirs(store)) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The same digest in two stores: the first has it.
	if d, err := set.Resolve("third"); err != nil {
		t.Error(err)
	} else if _, store, err := set.Image(d); err != nil || store.Root() != second.Root() {
		t.Errorf("image of two stores from %v, %v", store, err)
	}
	var am *AmbiguousError
	if _, err := set.Resolve("tool"); !errors.As(err, &am) || len(am.Candidates) != 2 {
		t.Errorf("ambiguous in the second store: %v", err)
	}
	if _, err := set.Resolve("nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if images, err := set.Images(); err != nil || len(images) != 7 {
		t.Errorf("%d images, %v", len(images), err)
	}
	// Damaged in the first store, whole in the next.
	d := putImage(t, own, "second")
	if err := os.Remove(filepath.Join(own.ImageDir(d), configFile)); err != nil {
		t.Fatal(err)
	}
	if _, store, err := set.Image(d); err != nil || store.Root() != second.Root() {
		t.Errorf("damaged in the first: from %v, %v", store, err)
	}
}

func roots(set *Set) (roots []string) {
	for _, s := range set.Stores() {
		roots = append(roots, s.Root())
	}
	return roots
}

func TestSetWithoutOwn(t *testing.T) {
	other := newStore(t)
	d := putImage(t, other, "x")
	set, err := OpenSet(nil, []string{other.Root()})
	if err != nil || set.Own() != nil {
		t.Fatal(set, err)
	}
	if _, store, err := set.Image(d); err != nil || store.Root() != other.Root() {
		t.Errorf("from %v, %v", store, err)
	}
	if set, err := OpenSet(nil, nil); err != nil {
		t.Error(err)
	} else if _, _, err := set.Image(d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no stores at all: %v", err)
	}
}

func TestSetRefusesUnsafeStores(t *testing.T) {
	for name, spoil := range map[string]func(root string) (string, error){
		"group-writable": func(r string) (string, error) { return r, os.Chmod(r, 0o775) },
		"symbolic link":  func(r string) (string, error) { return r + "2", os.Symlink(r, r+"2") },
		"relative":       func(string) (string, error) { return "store", nil },
	} {
		root, err := spoil(newStore(t).Root())
		if err != nil {
			t.Fatal(err)
		}
		var unsafe *UnsafeRootError
		if _, err := OpenSet(nil, []string{root}); !errors.As(err, &unsafe) || unsafe.Remedy() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSetLeavesOutWhatMayNotBeRead(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("needs an ordinary user: TestAsOrdinaryUser")
	}
	s := newStore(t)
	if err := os.Chmod(s.Root(), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(s.Root(), 0o700) })
	set, err := OpenSet(nil, []string{s.Root()})
	if err != nil || len(set.Unread()) != 1 {
		t.Fatal(set, err)
	}
	var nf *NotFoundError
	if _, err := set.Resolve("x"); !errors.As(err, &nf) || len(nf.Unread) != 1 {
		t.Errorf("got %v", err)
	}
	var denied *AccessError
	if _, err := Open(s.Root()); !errors.As(err, &denied) || !errors.Is(err, fs.ErrPermission) || denied.Remedy() == "" {
		t.Errorf("Open: %v", err)
	}
}
