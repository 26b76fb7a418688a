package verify

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
	"github.com/flake-launcher/flake-launcher/nsexec/seccomp"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// setting is a catalog with one flake "app" of the images "base" and "delta", and a host that has what delta lists.
type setting struct {
	*catalog.Catalog
	host, link string
	layers     map[string]string // by image
}

func newSetting(t *testing.T) *setting {
	t.Helper()
	if _, err := seccomp.Compile(nil); errors.Is(err, seccomp.ErrUnavailable) {
		t.Skip("needs cgo: plans hold a compiled seccomp profile")
	}
	dir := t.TempDir()
	store, err := rootfs.Create(filepath.Join(dir, "root"))
	must(t, err)
	images, err := rootfs.OpenSet(store, nil)
	must(t, err)
	program := filepath.Join(dir, "flake-launcher")
	must(t, os.WriteFile(program, nil, 0o755))
	s := &setting{host: filepath.Join(dir, "host"), link: filepath.Join(dir, "links", "app"), layers: map[string]string{}}
	grow(t, s.host, map[string]string{"usr/bin/tool": "#!/bin/sh\n"})
	must(t, os.Mkdir(filepath.Dir(s.link), 0o755))
	searched := []string{filepath.Join(dir, "root", "registrations")}
	s.Catalog = &catalog.Catalog{
		Dir: searched[0], Searched: searched, Ledger: store.LedgerDir(), Plans: store.PlansDir(), Launcher: program,
		Compiler: &compile.Compiler{
			Store: store, Images: images, Searched: searched, HostRoot: s.host, Launcher: program,
			Caller: compile.Caller{UID: os.Geteuid(), GID: os.Getegid(), Privileged: rootfs.Privileged()},
		},
	}
	s.put(t, "base", map[string]string{"bin/sh": "x", "bin/app": "#!/bin/sh\n"})
	s.put(t, "delta", map[string]string{"removed": "usr/bin/tool\n", "etc/of-delta": "x"})
	f := &flake.Flake{Container: flake.Container{Name: "delta", BaseContainer: "base", HostAppPath: s.link, TargetAppPath: "/bin/app"}}
	_, err = s.Register(context.Background(), f, catalog.Options{})
	must(t, err)
	return s
}

func grow(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o755))
	}
}

// addFile changes the host, longer ago than a tick of the clock: a plan of that very moment would not be trusted.
func (s *setting) addFile(t *testing.T) {
	t.Helper()
	grow(t, s.host, map[string]string{"usr/bin/more": "x"})
	must(t, os.Chtimes(filepath.Join(s.host, "usr/bin"), time.Time{}, time.Unix(1e9, 1)))
}

func (s *setting) put(t *testing.T, name string, files map[string]string) {
	t.Helper()
	store := s.Compiler.Store
	tmp, err := store.Temp("test")
	must(t, err)
	defer tmp.Close()
	layer := filepath.Join(tmp.Dir(), "l")
	must(t, os.Mkdir(layer, 0o755))
	grow(t, layer, files)
	id := digest.FromString(name)
	must(t, store.CommitLayer(layer, id.Encoded()))
	s.layers[name] = filepath.Join(store.Root(), "layers", "sha256", id.Encoded())
	config, err := json.Marshal(ispec.Image{Config: ispec.ImageConfig{Cmd: []string{"/bin/app"}}})
	must(t, err)
	manifest := []byte(`{"name":"` + name + `"}`)
	d := digest.FromBytes(manifest)
	must(t, store.PutImage(rootfs.Record{Digest: d, Layers: []rootfs.LayerRecord{{ID: id.Encoded(), DiffID: id}}}, manifest, config))
	must(t, store.SetRef("localhost/"+name+":latest", d))
}

func (s *setting) verify(t *testing.T, repair bool) *Report {
	t.Helper()
	items, err := s.List()
	must(t, err)
	for _, item := range items {
		if item.Name == "app" {
			return (&Verifier{Catalog: s.Catalog}).Flake(context.Background(), item, repair)
		}
	}
	t.Fatal("the flake is gone")
	return nil
}

// linkHere stands for the link's path in the table.
const linkHere = "%LINK"

func TestFlake(t *testing.T) {
	const problem, note = false, true
	type found struct {
		check string
		note  bool
		words string // of cause and remedy
	}
	for behaviour, test := range map[string]struct {
		spoil  func(t *testing.T, s *setting)
		repair bool
		want   []found
	}{
		"whole": {func(*testing.T, *setting) {}, false, nil},
		"a registration that can't be read": {func(t *testing.T, s *setting) {
			must(t, os.WriteFile(filepath.Join(s.Dir, "app.yaml"), []byte("container: [\n"), 0o644))
		}, false, []found{{CheckRegistration, problem, ""}}},
		"no link": {func(t *testing.T, s *setting) { must(t, os.Remove(s.link)) }, false, []found{{CheckLink, problem, linkHere}}},
		"a foreign file in the link's place": {func(t *testing.T, s *setting) {
			must(t, os.Remove(s.link))
			must(t, os.WriteFile(s.link, nil, 0o755))
		}, false, []found{{CheckLink, problem, linkHere}}},
		"an image without its layer": {func(t *testing.T, s *setting) { must(t, os.RemoveAll(s.layers["base"])) }, false,
			[]found{{CheckImage, problem, `image "base"`}}},
		"two images without layers": {func(t *testing.T, s *setting) {
			must(t, errors.Join(os.RemoveAll(s.layers["base"]), os.RemoveAll(s.layers["delta"])))
		}, true, []found{{CheckImage, problem, `image "base"`}, {CheckImage, problem, `image "delta"`}}},
		"no plan": {func(t *testing.T, s *setting) { must(t, os.RemoveAll(s.Plans)) }, false,
			[]found{{CheckPlan, note, "the first start compiles it"}}},
		"no plan, repaired": {func(t *testing.T, s *setting) { must(t, os.RemoveAll(s.Plans)) }, true, nil},
		"a stale plan": {func(t *testing.T, s *setting) { s.addFile(t) }, false,
			[]found{{CheckPlan, problem, "usr/bin changed"}}},
		"a stale plan, repaired": {func(t *testing.T, s *setting) { s.addFile(t) }, true, nil},
		"a file that the host lost": {func(t *testing.T, s *setting) {
			must(t, os.Remove(filepath.Join(s.host, "usr/bin/tool")))
			s.addFile(t)
		}, true, []found{{CheckHostFile, note, "usr/bin/tool"}}},
		"a host file whose libraries nobody has": {func(t *testing.T, s *setting) {
			program, err := os.ReadFile("/bin/sh")
			must(t, err)
			if f, err := elf.NewFile(bytes.NewReader(program)); err != nil || f.Section(".interp") == nil {
				t.Skipf("this machine's /bin/sh needs no libraries: %v", err)
			}
			grow(t, s.host, map[string]string{"usr/bin/tool": string(program)})
		}, true, []found{{CheckLibraries, problem, "/usr/bin/tool needs "}}},
		"a target that is gone": {func(t *testing.T, s *setting) {
			must(t, os.Remove(filepath.Join(s.layers["base"], "bin/app")))
		}, false, []found{{CheckPlan, problem, "/bin/app"}}},
		"a target that is gone, to be repaired": {func(t *testing.T, s *setting) {
			must(t, os.Remove(filepath.Join(s.layers["base"], "bin/app")))
		}, true, []found{{CheckPlan, problem, "/bin/app"}}},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := newSetting(t)
			test.spoil(t, s)
			r := s.verify(t, test.repair)
			problems := 0
			for i, f := range r.Findings {
				if !f.Note {
					problems++
				}
				if i >= len(test.want) && (i == 0 || f.Check != CheckLibraries) { // of these, one for each library
					t.Errorf("not wanted: %+v", f)
					continue
				}
				want := test.want[min(i, len(test.want)-1)]
				words := strings.ReplaceAll(want.words, linkHere, s.link)
				if f.Check != want.check || f.Note != want.note || !strings.Contains(f.Cause+" "+f.Remedy, words) {
					t.Errorf("want %+v, got %+v", want, f)
				}
				if f.Remedy == "" && f.Check != CheckRegistration {
					t.Errorf("without a remedy: %+v", f)
				}
			}
			if len(r.Findings) < len(test.want) || r.Problems != problems || r.Findings == nil {
				t.Errorf("want %d findings, %d problems: %+v", len(test.want), problems, r)
			}
			if whole := problems == 0 || test.want[0].check == CheckLibraries; r.Repaired != (test.repair && whole) {
				t.Errorf("repaired: %v", r.Repaired)
			}
		})
	}
}

// What an app lacks of the host's files, and what of that nobody misses.
func TestHostFiles(t *testing.T) {
	dangling := func(cause hostlink.Cause, from string) hostlink.Dangling {
		return hostlink.Dangling{Path: "/etc/l", Missing: "/usr/x", Reason: "why", Cause: cause, From: from}
	}
	for behaviour, test := range map[string]struct {
		make     func(h *compile.HostReport)
		problems int
		notes    int
		words    string
	}{
		"all is there": {func(*compile.HostReport) {}, 0, 0, ""},
		"files that the host lacks, in one note": {func(h *compile.HostReport) {
			h.Skipped = []hostlink.Skip{{Path: "var/x", Cause: hostlink.CauseNoise}, {Path: "a", Cause: hostlink.CauseMissing}, {Path: "b", Cause: hostlink.CauseMissing}}
		}, 0, 1, "2 files that the images name are not on this host, for example a"},
		"files that the policy refuses": {func(h *compile.HostReport) {
			h.Skipped = []hostlink.Skip{{Path: "a", Cause: hostlink.CausePolicy}}
		}, 0, 1, "explain app"},
		"a symlink of a manifest that leads nowhere": {func(h *compile.HostReport) {
			h.Dangling = []hostlink.Dangling{dangling("", hostlink.SourceRemoved)}
		}, 1, 0, `drop: ["etc/l"]`},
		"one that was followed to it": {func(h *compile.HostReport) { h.Dangling = []hostlink.Dangling{dangling("", hostlink.SourceLink)} }, 1, 0, "/usr/x"},
		"one of a package":            {func(h *compile.HostReport) { h.Dangling = []hostlink.Dangling{dangling("", hostlink.SourcePackage)} }, 0, 1, "/usr/x"},
		"one whose target is noise": {func(h *compile.HostReport) {
			h.Dangling = []hostlink.Dangling{dangling(hostlink.CauseNoise, hostlink.SourceRemoved)}
		}, 0, 1, "why"},
		"one whose target was dropped": {func(h *compile.HostReport) {
			h.Dangling = []hostlink.Dangling{dangling(hostlink.CauseDropped, hostlink.SourceRemoved)}
		}, 0, 1, "why"},
		"one whose target is refused": {func(h *compile.HostReport) {
			h.Dangling = []hostlink.Dangling{dangling(hostlink.CausePolicy, hostlink.SourceRemoved)}
		}, 0, 1, "why"},
		"one whose target can't be there": {func(h *compile.HostReport) {
			h.Dangling = []hostlink.Dangling{dangling(hostlink.CauseConflict, hostlink.SourceRemoved)}
		}, 1, 0, "why"},
		"files that are not the caller's to read, each": {func(h *compile.HostReport) { h.Unreadable = []string{"/a", "/b"} }, 2, 0, "/a is not yours to read"},
	} {
		var res compile.Result
		test.make(&res.Host)
		r := &Report{}
		var item catalog.Item
		item.Name = "app"
		hostFiles(r, item, &res)
		text := ""
		for _, f := range r.Findings {
			text += f.Cause + " " + f.Remedy + "\n"
		}
		if notes := len(r.Findings) - r.Problems; r.Problems != test.problems || notes != test.notes || !strings.Contains(text, test.words) {
			t.Errorf("%s: %d problems, %d notes: %s", behaviour, r.Problems, notes, text)
		}
	}
}
