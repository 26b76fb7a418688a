package rootfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := Create(filepath.Join(t.TempDir(), "flakes"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func layerID(content string) string { return digest.FromString(content).Encoded() }

// putLayer commits a layer made of lines, and gives its id.
func putLayer(t testing.TB, s *Store, lines ...string) string {
	t.Helper()
	tmp, err := s.Temp("layer")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	makeTree(t, tmp.Dir(), lines...)
	id := layerID(strings.Join(lines, "\n"))
	if err := s.CommitLayer(tmp.Dir(), id); err != nil {
		t.Fatal(err)
	}
	return id
}

// putImage stores an image of one layer of its own, and of shared ones.
func putImage(t testing.TB, s *Store, name string, shared ...string) digest.Digest {
	t.Helper()
	manifest := fmt.Sprintf("{%q:1}", name)
	rec := Record{Digest: digest.FromString(manifest), Source: "docker://" + name, Created: time.Unix(1, 0).UTC()}
	for _, id := range append(shared, putLayer(t, s, "file own "+name)) {
		rec.Layers = append(rec.Layers, LayerRecord{ID: id, DiffID: digest.NewDigestFromEncoded(digest.SHA256, id)})
	}
	if err := s.PutImage(rec, []byte(manifest), []byte(`{"architecture":"amd64","config":{"Env":["A=1"]}}`)); err != nil {
		t.Fatal(err)
	}
	return rec.Digest
}

func leftInTmp(t testing.TB, s *Store) []string {
	t.Helper()
	entries, err := os.ReadDir(s.path(tmpDir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestImageRoundTrip(t *testing.T) {
	s := newStore(t)
	base := putLayer(t, s, "file base x")
	d := putImage(t, s, "app", base)
	for _, n := range []string{"b:1", "a:1"} {
		if err := s.SetRef(n, d); err != nil {
			t.Fatal(err)
		}
	}
	img, err := s.Image(d)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a:1", "b:1"}, img.Names); diff != "" {
		t.Error(diff)
	}
	if img.Version != 1 || img.Source != "docker://app" || img.Config.Architecture != "amd64" || img.Config.Config.Env[0] != "A=1" {
		t.Errorf("%+v", img)
	}
	want := []string{s.LayerDir(base), s.LayerDir(layerID("file own app"))}
	if diff := cmp.Diff(want, img.LayerDirs(s)); diff != "" {
		t.Error(diff)
	}
	v, err := NewView(img.LayerDirs(s))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if b, err := v.ReadFile("own", 10); err != nil || string(b) != "app" {
		t.Errorf("own: %q, %v", b, err)
	}
	if left := leftInTmp(t, s); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
	if _, err := s.Image(digest.FromString("no")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent image: %v", err)
	}
}

// TestDamage flips, cuts and takes away every part of an image, one at a time;
// the image is refused, the other is served, and putting it again heals it.
func TestDamage(t *testing.T) {
	const own = "own layer"
	tests := map[string]func(dir string) error{
		"layer gone":      func(string) error { return nil },
		"layer a file":    func(string) error { return nil },
		"directory empty": func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)) },
		"wrong version":   rewrite(`"version": 1`, `"version": 2`),
		"other digest":    rewrite(`"digest": "sha256:`, `"digest": "sha256:0`),
		"evil layer id":   rewrite(`"id": "`, `"id": "../../../../etc/`),
		"layers a string": rewrite(`"layers": [`, `"layers": "", "x": [`),
	}
	for _, f := range []string{manifestFile, configFile, recordFile} {
		tests[f+" gone"] = func(dir string) error { return os.Remove(filepath.Join(dir, f)) }
		tests[f+" cut"] = func(dir string) error { return os.Truncate(filepath.Join(dir, f), 9) }
		tests[f+" empty"] = func(dir string) error { return os.Truncate(filepath.Join(dir, f), 0) }
		tests[f+" huge"] = func(dir string) error { return os.Truncate(filepath.Join(dir, f), 1<<40) }
		tests[f+" a link"] = func(dir string) error {
			p := filepath.Join(dir, f)
			return errors.Join(os.Rename(p, p+"2"), os.Symlink(f+"2", p))
		}
	}
	for _, f := range []string{manifestFile, configFile} {
		tests[f+" flipped"] = func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, f))
			b[3] ^= 1
			return errors.Join(err, os.WriteFile(filepath.Join(dir, f), b, 0o600))
		}
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			good, d := putImage(t, s, "good"), putImage(t, s, own)
			dir, layer := s.ImageDir(d), s.LayerDir(layerID("file own "+own))
			err := spoil(dir)
			if strings.HasPrefix(name, "layer ") {
				err = os.RemoveAll(layer)
			}
			if name == "layer a file" {
				err = errors.Join(err, os.WriteFile(layer, nil, 0o600))
			}
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Image(d)
			var de *DamagedError
			if !errors.Is(err, ErrDamaged) || errors.Is(err, fs.ErrNotExist) || !errors.As(err, &de) || de.Digest != d || de.Remedy() == "" {
				t.Fatalf("Image: %v", err)
			}
			images, err := s.Images()
			if err != nil || len(images) != 1 || images[0].Digest != good {
				t.Errorf("Images: %v, %v", images, err)
			}
			if all, err := s.Digests(); err != nil || len(all) != 2 {
				t.Errorf("Digests: %v, %v", all, err)
			}
			if name == "layer a file" {
				if err := s.RemoveTree(layer); err != nil {
					t.Fatal(err)
				}
			}
			if putImage(t, s, own) != d {
				t.Fatal("another digest")
			}
			if _, err := s.Image(d); err != nil {
				t.Errorf("not healed: %v", err)
			}
			if left := leftInTmp(t, s); len(left) != 0 {
				t.Errorf("left in tmp: %v", left)
			}
		})
	}
}

func rewrite(old, new string) func(string) error {
	return func(dir string) error {
		p := filepath.Join(dir, recordFile)
		b, err := os.ReadFile(p)
		if err == nil && !strings.Contains(string(b), old) {
			err = fmt.Errorf("no %q in %s", old, b)
		}
		return errors.Join(err, os.WriteFile(p, []byte(strings.Replace(string(b), old, new, 1)), 0o600))
	}
}

func TestPutImageRefuses(t *testing.T) {
	s := newStore(t)
	d := digest.FromString("x")
	ok := []byte("{}")
	for name, tt := range map[string]struct {
		rec              Record
		manifest, config []byte
	}{
		"missing layer":    {Record{Digest: d, Layers: []LayerRecord{{ID: layerID("no")}}}, ok, ok},
		"bad layer id":     {Record{Digest: d, Layers: []LayerRecord{{ID: "../x"}}}, ok, ok},
		"manifest no json": {Record{Digest: d}, []byte("x"), ok},
		"no config":        {Record{Digest: d}, ok, nil},
	} {
		if err := s.PutImage(tt.rec, tt.manifest, tt.config); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := os.Lstat(s.ImageDir(d)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: stored", name)
		}
	}
}

func TestCommitLayer(t *testing.T) {
	s := newStore(t)
	tmp, err := s.Temp("layer")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	id := layerID("x")

	// What is there already stays, also when it is empty: rename(2) would
	// replace an empty directory.
	for _, sub := range []string{"first", "second"} {
		dir := makeTree(t, filepath.Join(tmp.Dir(), sub))
		if sub == "second" {
			makeTree(t, dir, "file late x")
		}
		if err := s.CommitLayer(dir, id); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", sub, err)
		}
	}
	if entries, err := os.ReadDir(s.LayerDir(id)); err != nil || len(entries) != 0 {
		t.Errorf("layer holds %v, %v", entries, err)
	}
	if !s.HasLayer(id) {
		t.Error("not there")
	}

	outside := makeTree(t, filepath.Join(t.TempDir(), "precious"), "file x y")
	file := filepath.Join(tmp.Dir(), "f")
	link := filepath.Join(tmp.Dir(), "l")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(outside, link)); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{outside, s.Root(), s.path(tmpDir), s.path("refs"), s.path("tmp/../refs"), file, link, filepath.Join(tmp.Dir(), "no")} {
		if err := s.CommitLayer(dir, layerID("y")); err == nil {
			t.Errorf("committed %q", dir)
		}
	}
	if _, err := os.Lstat(filepath.Join(outside, "x")); err != nil {
		t.Error(err)
	}
}

func TestCommitAndRetireUnwritableRoot(t *testing.T) {
	for _, mode := range []fs.FileMode{0o555, 0o755, 0o700 | fs.ModeSticky | 0o77, 0o100} {
		s := newStore(t)
		tmp, err := s.Temp("layer")
		if err != nil {
			t.Fatal(err)
		}
		makeTree(t, tmp.Dir(), "dir a/b/c 0000", "file w/x/f y", "dir w/x 0555", "dir w 0555")
		if mode != 0o100 { // unreadable comes after the commit, which has to open it
			if err := os.Chmod(tmp.Dir(), mode); err != nil {
				t.Fatal(err)
			}
		}
		id := layerID("x")
		if err := s.CommitLayer(tmp.Dir(), id); err != nil {
			t.Fatalf("mode %v: %v", mode, err)
		}
		parts := s.LayerParts(id) // as root the last one has the mode, if it differs
		if fi, err := os.Lstat(parts[len(parts)-1]); err != nil || mode != 0o100 && fi.Mode() != mode|fs.ModeDir {
			t.Errorf("mode %v became %v, %v", mode, fi.Mode(), err)
		}
		if err := errors.Join(tmp.Close(), os.Chmod(s.LayerDir(id), mode)); err != nil {
			t.Fatal(err)
		}
		if ok, err := s.RetireLayer(id); err != nil || !ok {
			t.Errorf("mode %v: retired %v, %v", mode, ok, err)
		}
		if left := leftInTmp(t, s); len(left) != 0 || s.HasLayer(id) {
			t.Errorf("left: %v", left)
		}
	}
}

func TestRetireLayerLeavesUsedOnes(t *testing.T) {
	s := newStore(t)
	id := putLayer(t, s, "file x y")
	v, err := NewView([]string{s.LayerDir(id)})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := s.RetireLayer(id); err != nil || ok {
		t.Errorf("in use: %v, %v", ok, err)
	}
	v.Close()
	if ok, err := s.RetireLayer(id); err != nil || !ok {
		t.Errorf("free: %v, %v", ok, err)
	}
	if _, err := s.RetireLayer(id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

func TestRemoveTree(t *testing.T) {
	s := newStore(t)
	outside := makeTree(t, filepath.Join(t.TempDir(), "precious"), "file x y")
	tree := makeTree(t, s.path(tmpDir, "tree"), "link out "+outside, "link sub/out "+outside, "dir sub/none 0000", "file deep/"+strings.Repeat("d/", 200)+"f x", "fifo p")
	if err := os.Symlink(tree, s.path(tmpDir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveTree(s.path(tmpDir, "link", "sub")); err == nil {
		t.Error("went through a link")
	}
	for _, path := range []string{"", "/", s.Root(), s.Root() + "/..", s.Root() + "/../x", outside, s.Root() + "/tmp/../.."} {
		if err := s.RemoveTree(path); err == nil {
			t.Errorf("removed %q", path)
		}
	}
	for _, path := range []string{s.path(tmpDir, "link"), tree, tree, s.path("no", "where")} {
		if err := s.RemoveTree(path); err != nil {
			t.Errorf("remove %q: %v", path, err)
		}
	}
	if left := leftInTmp(t, s); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Lstat(filepath.Join(outside, "x")); err != nil {
		t.Error(err)
	}
}

func init() {
	children["hold"] = holdChild
	children["commit"] = commitChild
	children["create"] = func(args []string) error { _, err := Create(args[0]); return err }
}

// holdChild makes a temporary directory and a layer lock, says so, and waits
// to be killed.
func holdChild(args []string) error {
	s, err := Open(args[0])
	if err != nil {
		return err
	}
	tmp, err := s.Temp("layer")
	if err != nil {
		return err
	}
	if _, err := s.LockLayer(context.Background(), "key"); err != nil {
		return err
	}
	if _, err := s.Writing(context.Background()); err != nil {
		return err
	}
	err = errors.Join(os.MkdirAll(filepath.Join(tmp.Dir(), "half/done"), 0o755), os.Chmod(filepath.Join(tmp.Dir(), "half"), 0o555))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	time.Sleep(time.Minute)
	return errors.New("not killed")
}

// TestKilledWriter: what a writer that is alive holds stays; what a killed one
// left is free and swept.
func TestKilledWriter(t *testing.T) {
	s := newStore(t)
	cmd := child(t, "hold", s.Root())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := s.LockLayer(soon, "key"); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("LockLayer: %v", err)
	}
	if _, err := s.Collecting(soon); !errors.Is(err, ErrBusy) {
		t.Errorf("Collecting: %v", err)
	}
	if done, err := s.Writing(soon); err != nil {
		t.Errorf("Writing: %v", err)
	} else {
		done()
	}
	if n, err := s.SweepTemp(); n != 0 || err != nil {
		t.Errorf("swept %d of a living writer, %v", n, err)
	}
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()

	stale, err := s.StaleTemp()
	if err != nil || len(stale) != 2 {
		t.Errorf("stale: %v, %v", stale, err)
	}
	unlock, err := s.LockLayer(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.SweepTemp(); n != 1 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	unlock()
	unlock()
	if left := leftInTmp(t, s); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	done, err := s.Collecting(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	done()
	done()
}

func TestSweepTakesWhatNobodyOwns(t *testing.T) {
	s := newStore(t)
	mine, err := s.Temp("mine")
	if err != nil {
		t.Fatal(err)
	}
	makeTree(t, s.path(tmpDir), "file layer-1/d/x y", "dir old-layer-22", "file small-3 x")
	if n, err := s.SweepTemp(); n != 3 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if _, err := os.Lstat(mine.Dir()); err != nil {
		t.Error(err)
	}
	if err := errors.Join(mine.Close(), mine.Close()); err != nil {
		t.Error(err)
	}
	if left := leftInTmp(t, s); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	for _, prefix := range []string{"", "a/b", "../x", "lock-x"} {
		if _, err := s.Temp(prefix); !errors.Is(err, ErrBadName) {
			t.Errorf("Temp(%q): %v", prefix, err)
		}
	}
}

// commitChild does what a pull does for one layer, and prints whether it had
// to do the work.
func commitChild(args []string) error {
	s, err := Open(args[0])
	if err != nil {
		return err
	}
	id := layerID("shared")
	unlock, err := s.LockLayer(context.Background(), id)
	if err != nil {
		return err
	}
	defer unlock()
	if s.HasLayer(id) {
		return nil
	}
	tmp, err := s.Temp("layer")
	if err != nil {
		return err
	}
	defer tmp.Close()
	time.Sleep(20 * time.Millisecond) // the download
	if err := os.WriteFile(filepath.Join(tmp.Dir(), "f"), []byte("x"), 0o600); err != nil {
		return err
	}
	fmt.Print("worked")
	return s.CommitLayer(tmp.Dir(), id)
}

// TestManyProcessesCommitTheSameLayer, with a sweeper in between: one of them
// does the work, all of them find it done.
func TestManyProcessesCommitTheSameLayer(t *testing.T) {
	s := newStore(t)
	const n = 6
	out := make(chan string, n)
	for range n {
		go func() {
			b, err := child(t, "commit", s.Root()).Output()
			out <- fmt.Sprintf("%s%v", b, err)
		}()
	}
	worked := 0
	for seen := 0; seen < n; {
		select {
		case got := <-out:
			seen++
			switch got {
			case "worked<nil>":
				worked++
			case "<nil>":
			default:
				t.Error(got)
			}
		default:
			if _, err := s.SweepTemp(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if worked != 1 {
		t.Errorf("%d processes did the work", worked)
	}
	if b, err := os.ReadFile(filepath.Join(s.LayerDir(layerID("shared")), "f")); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	if left := leftInTmp(t, s); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// TestManyCommitWithoutLock: the rename itself lets one win.
func TestManyCommitWithoutLock(t *testing.T) {
	s := newStore(t)
	errs := make(chan error)
	for range 8 {
		go func() {
			tmp, err := s.Temp("layer")
			if err == nil {
				err = errors.Join(s.CommitLayer(tmp.Dir(), layerID("x")), tmp.Close())
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestManyProcessesCreate(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "b")
	errs := make(chan error)
	for range 6 {
		go func() { errs <- child(t, "create", root).Run() }()
	}
	for range 6 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(root); err != nil {
		t.Error(err)
	}
}

// TestStoreOfAnEarlierCrash: leftovers of every step, and the store opens,
// serves what is whole, and is put right by doing the same again.
func TestStoreOfAnEarlierCrash(t *testing.T) {
	s := newStore(t)
	good := putImage(t, s, "good")
	if err := s.SetRef("good:latest", good); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{s.path(refsDir), s.path(sourcesDir), s.path(layersDir), s.path(imagesDir)} {
		makeTree(t, dir, "file stray x", "dir .tmp")
	}
	makeTree(t, s.path(tmpDir), "file image-1/d/manifest.json {", "file layer-2/d/etc/passwd x", "dir old-layer-3/d/"+layerID("q"))
	if err := os.WriteFile(s.path(refsDir, "half:latest"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(s.Root())
	if err != nil {
		t.Fatal(err)
	}
	if d, err := s.Resolve("good"); err != nil || d != good {
		t.Errorf("Resolve: %v, %v", d, err)
	}
	if _, err := s.Image(good); err != nil {
		t.Error(err)
	}
	if ids, err := s.Layers(); err != nil || len(ids) != 1 {
		t.Errorf("Layers: %v, %v", ids, err)
	}
	if _, err := s.Resolve("half"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half: %v", err)
	}
	if n, err := s.SweepTemp(); n != 3 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
}

func TestRecordJSONIsStable(t *testing.T) {
	s := newStore(t)
	d := putImage(t, s, "x")
	b, err := os.ReadFile(filepath.Join(s.ImageDir(d), recordFile))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"version", "digest", "source", "created", "layers", "manifest_sha256", "config_sha256"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no %q in %s", key, b)
		}
	}
}

func TestLockLayerHandsOver(t *testing.T) {
	s := newStore(t)
	inside := make(chan struct{}, 1)
	errs := make(chan error)
	for range 8 {
		go func() {
			unlock, err := s.LockLayer(t.Context(), "k")
			if err == nil {
				select {
				case inside <- struct{}{}:
				default:
					err = errors.New("two inside")
				}
				time.Sleep(time.Millisecond)
				<-inside
				unlock()
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if left := leftInTmp(t, s); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
