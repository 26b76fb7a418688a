package include

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/internal/ordinary"
)

// TestAsOrdinaryUser runs all of this as somebody who can make no owners.
func TestAsOrdinaryUser(t *testing.T) { ordinary.Run(t) }

func newMaker(t *testing.T) *Maker {
	t.Helper()
	s, err := rootfs.Create(filepath.Join(t.TempDir(), "flakes"))
	if err != nil {
		t.Fatal(err)
	}
	return &Maker{Store: s, Stores: []*rootfs.Store{s}}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// make looks and makes, and wants no error.
func (m *Maker) make(t *testing.T, s Source, below ...Part) *Layer {
	t.Helper()
	state, err := m.Look(s)
	if err != nil {
		t.Fatal(err)
	}
	l, err := m.Make(t.Context(), state, below, false)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// lower is a layer with one directory of that mode.
func lower(t *testing.T, m *Maker, dir string, mode os.FileMode) Part {
	t.Helper()
	tmp, err := m.Store.Temp("lower")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	root := filepath.Join(tmp.Dir(), "d")
	path := filepath.Join(root, dir)
	id := fmt.Sprintf("%064x", len(dir)*10000+int(mode))
	err = errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, mode), m.Store.CommitLayer(root, id))
	if err != nil {
		t.Fatal(err)
	}
	return Part{Store: m.Store, ID: id}
}

func names(t *testing.T, stream []byte) (all []string) {
	t.Helper()
	for tr := tar.NewReader(bytes.NewReader(stream)); ; {
		hdr, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		name := hdr.Name
		if hdr.Linkname != "" {
			name += " -> " + hdr.Linkname
		}
		all = append(all, name)
	}
}

func TestTreeAsTar(t *testing.T) {
	top := filepath.Join(t.TempDir(), "top")
	write(t, top+"/b/file", "x")
	write(t, top+"/a", strings.Repeat("y", 3000))
	socket, err := net.Listen("unix", top+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	err = errors.Join(os.Link(top+"/a", top+"/b/second"), os.Symlink("/etc", top+"/b/etc"), unix.Mkfifo(top+"/fifo", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	var first, again bytes.Buffer
	for _, buf := range []*bytes.Buffer{&first, &again} {
		if err := writeTree(t.Context(), buf, top, ids{}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), again.Bytes()) {
		t.Error("the same tree gives other bytes")
	}
	got := strings.ReplaceAll(strings.Join(names(t, first.Bytes()), "\n"), top[1:], "TOP")
	want := "TOP/\nTOP/a\nTOP/b/\nTOP/b/etc -> /etc\nTOP/b/file\nTOP/b/second -> TOP/a\nTOP/fifo"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLook(t *testing.T) {
	m := newMaker(t)
	top := filepath.Join(t.TempDir(), "top")
	write(t, top+"/sub/file", "one")
	source := Source{Path, top}
	look := func() *State {
		t.Helper()
		s, err := m.Look(source)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := look()
	var paths []string
	for _, w := range before.Watch {
		paths = append(paths, w.Path)
	}
	if want := []string{top, top + "/sub", top + "/sub/file"}; !slices.Equal(paths, want) {
		t.Errorf("watched: %q", paths)
	}
	// A start follows links: what this one is, and that it is another, only its directory tells.
	link := filepath.Join(top, "link")
	if err := os.Symlink("sub", link); err != nil {
		t.Fatal(err)
	}
	if s, err := m.Look(Source{Path, link}); err != nil || len(s.Watch) != 1 || s.Watch[0].Path != top {
		t.Errorf("of a link are watched: %v, %v", s, err)
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	for n := range maxWatch {
		write(t, fmt.Sprintf("%s/many/%04d", top, n), "")
	}
	if got := look().Watch; len(got) != 3 {
		t.Errorf("of a large tree %d paths are watched, not the directories alone", len(got))
	}
	// Without a word of it to a start, whoever looks sees it.
	before = look()
	write(t, top+"/sub/file", "two")
	if look().fingerprint == before.fingerprint {
		t.Error("a file was edited, and nobody sees it")
	}
	before = look()
	if err := os.Chmod(top+"/sub/file", 0o600); err != nil {
		t.Fatal(err)
	}
	if look().fingerprint == before.fingerprint {
		t.Error("a mode was changed, and nobody sees it")
	}
}

// What is watched is as it was at the look: a file's own state, and of a link that of the directory that it is in.
func TestWatchedAsItWas(t *testing.T) {
	m := newMaker(t)
	dir := t.TempDir()
	write(t, dir+"/file", "one")
	for name, text := range map[string]string{"link": "file", "lost": "nowhere"} {
		if err := os.Symlink(text, dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	states := map[Source]*State{}
	for _, s := range []Source{{Tar, dir + "/file"}, {Path, dir + "/file"}, {Path, dir + "/link"}, {Path, dir + "/lost"}} {
		var err error
		if states[s], err = m.Look(s); err != nil {
			t.Fatal(err)
		}
	}
	var above unix.Stat_t
	if err := unix.Stat(dir, &above); err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/file", "another")
	write(t, dir+"/more", "")
	for s, state := range states {
		w := state.Watch
		if s.Path != dir+"/file" {
			if len(w) != 1 || w[0].Path != dir || *w[0].Stat != above {
				t.Errorf("%v: %+v", s, w)
			}
			continue
		}
		if len(w) != 1 || w[0].Path != s.Path || w[0].Stat == nil || w[0].Stat.Size != 3 {
			t.Errorf("%v: %+v", s, w)
		}
	}
}

func TestUnpackedOnce(t *testing.T) {
	m := newMaker(t)
	var mu sync.Mutex
	unpacked := 0
	m.Progress = func(string) { mu.Lock(); unpacked++; mu.Unlock() }
	top := filepath.Join(t.TempDir(), "top")
	write(t, top+"/file", "one")
	below := lower(t, m, "opt", 0o755)
	var at sync.WaitGroup
	for range 8 {
		at.Go(func() { m.make(t, Source{Path, top}, below) })
	}
	at.Wait()
	if unpacked != 1 {
		t.Errorf("unpacked %d times", unpacked)
	}
	made, err := Records(m.Store)
	if err != nil || len(made) != 1 || len(made[0].Layers) != 1 || !m.Store.HasLayer(made[0].Layers[0]) {
		t.Errorf("records: %+v, %v", made, err)
	}
}

// A layer fits on all stacks that say the same of the directories it lies in.
func TestStacks(t *testing.T) {
	m := newMaker(t)
	top := filepath.Join(t.TempDir(), "top")
	write(t, top+"/file", "one")
	first := strings.Split(top, "/")[1]
	source := Source{Path, top}
	a := m.make(t, source, lower(t, m, first, 0o755))
	if b := m.make(t, source, lower(t, m, "elsewhere", 0o755), lower(t, m, first, 0o755)); b.ID != a.ID {
		t.Error("the same parents, and another layer")
	}
	c := m.make(t, source, lower(t, m, first, 0o751))
	if c.ID == a.ID {
		t.Error("other parents, and the same layer")
	}
	if st, err := os.Stat(filepath.Join(m.Store.LayerDir(c.ID), first)); err != nil || st.Mode().Perm() != 0o751 {
		t.Errorf("the parent: %v, %v", st, err)
	}
	// All of them are found again.
	m.Progress = func(text string) { t.Error(text) }
	m.make(t, source, lower(t, m, first, 0o755))
	m.make(t, source, lower(t, m, first, 0o751))
}

func TestDamagedRecord(t *testing.T) {
	m := newMaker(t)
	top := filepath.Join(t.TempDir(), "top")
	write(t, top, "one")
	source := Source{Path, top}
	first := m.make(t, source)
	for _, text := range []string{"", "{", `{"version":9}`, `{"version":1,"diff_id":"x"}`} {
		write(t, RecordFile(m.Store, source), text)
		if l := m.make(t, source); l.ID != first.ID {
			t.Errorf("%q: another layer", text)
		}
	}
	write(t, filepath.Join(m.Store.IncludesDir(), "stray"), "x")
	made, err := Records(m.Store)
	if err != nil || len(made) != 2 || made[1].Source.Path != "" {
		t.Errorf("records: %+v, %v", made, err)
	}
}

func TestChangesWhileRead(t *testing.T) {
	m := newMaker(t)
	top := filepath.Join(t.TempDir(), "top")
	write(t, top+"/file", "0")
	changes := 0
	m.Progress = func(string) {
		changes++
		write(t, top+"/file", strings.Repeat("x", changes))
	}
	state, err := m.Look(Source{Path, top})
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Make(t.Context(), state, nil, false)
	var told *Error
	if !errors.Is(err, errChanged) || !errors.As(err, &told) || told.Remedy() == "" || changes != attempts {
		t.Errorf("%d changes: %v", changes, err)
	}
	// Once only: the second reading has it right.
	m.Progress = func(string) {
		if changes++; changes == attempts+1 {
			write(t, top+"/file", "final")
		}
	}
	l := m.make(t, Source{Path, top})
	if b, err := os.ReadFile(filepath.Join(m.Store.LayerDir(l.ID), top, "file")); string(b) != "final" {
		t.Errorf("%q, %v", b, err)
	}
	if stale, err := m.Store.StaleTemp(); err != nil || len(stale) != 0 {
		t.Errorf("left over: %v, %v", stale, err)
	}
}

func TestOutOfReach(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("nothing is out of root's reach; TestAsOrdinaryUser runs it")
	}
	m := newMaker(t)
	top := filepath.Join(t.TempDir(), "top")
	write(t, top+"/sub/file", "one")
	if err := os.Chmod(top+"/sub/file", 0); err != nil {
		t.Fatal(err)
	}
	state, err := m.Look(Source{Path, top})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Make(t.Context(), state, nil, false); !Hidden(err) || !strings.Contains(err.Error(), top+"/sub/file") {
		t.Errorf("an unreadable file: %v", err)
	}
	if err := os.Chmod(top+"/sub", 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(top+"/sub", 0o700)
	if _, err := m.Look(Source{Path, top}); !Hidden(err) || !strings.Contains(err.Error(), top+"/sub") {
		t.Errorf("an unreadable directory: %v", err)
	}
	if err := os.Chmod(top, 0o311); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(top, 0o700)
	write(t, top+"/known", "one")
	m.make(t, Source{Path, top + "/known"}) // its directory need not be readable
}
