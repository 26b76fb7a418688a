package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
	"github.com/flake-launcher/flake-launcher/nsexec/seccomp"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// newCatalog makes a catalog over a store that holds one image, "app", with /bin/app in it.
func newCatalog(t *testing.T) (*Catalog, string) {
	t.Helper()
	if _, err := seccomp.Compile(nil); errors.Is(err, seccomp.ErrUnavailable) {
		t.Skip("needs cgo: plans hold a compiled seccomp profile")
	}
	dir := t.TempDir()
	s, err := rootfs.Create(filepath.Join(dir, "root"))
	must(t, err)
	putImage(t, s, "app")
	links := filepath.Join(dir, "links")
	must(t, os.Mkdir(links, 0o755))
	searched := []string{filepath.Join(dir, "root", "registrations")}
	images, err := rootfs.OpenSet(s, nil)
	must(t, err)
	return &Catalog{
		Dir: searched[0], Searched: searched, Ledger: s.LedgerDir(), Plans: s.PlansDir(), Launcher: "/opt/flake-launcher",
		Compiler: &compile.Compiler{Store: s, Images: images, Caller: compile.Caller{UID: os.Geteuid(), GID: os.Getegid(), Privileged: rootfs.Privileged()}, Searched: searched, HostRoot: "/", Launcher: "/opt/flake-launcher"},
	}, links
}

func putImage(t *testing.T, s *rootfs.Store, name string) {
	t.Helper()
	tmp, err := s.Temp("test")
	must(t, err)
	defer tmp.Close()
	layer := filepath.Join(tmp.Dir(), "l")
	for _, d := range []string{"bin", "etc", "proc", "sys", "dev", "tmp"} {
		must(t, os.MkdirAll(filepath.Join(layer, d), 0o755))
	}
	must(t, os.WriteFile(filepath.Join(layer, "bin", "app"), []byte("#!/bin/sh\n"), 0o755))
	must(t, os.WriteFile(filepath.Join(layer, "bin", "data"), nil, 0o644))
	id := digest.FromString(name)
	must(t, s.CommitLayer(layer, id.Encoded()))
	config, err := json.Marshal(ispec.Image{Config: ispec.ImageConfig{Cmd: []string{"/bin/app"}}})
	must(t, err)
	manifest := []byte(`{"name":"` + name + `"}`)
	d := digest.FromBytes(manifest)
	must(t, s.PutImage(rootfs.Record{Digest: d, Layers: []rootfs.LayerRecord{{ID: id.Encoded(), DiffID: id}}}, manifest, config))
	must(t, s.SetRef("localhost/"+name+":latest", d))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newFlake(link, target string) *flake.Flake {
	return &flake.Flake{Container: flake.Container{Name: "app", HostAppPath: link, TargetAppPath: target}}
}

// snapshot lists everything below the directories, with what links point to; derived data excepted, which may come
// and go at any time.
func snapshot(t *testing.T, dirs ...string) string {
	t.Helper()
	var out strings.Builder
	for _, d := range dirs {
		must(t, filepath.WalkDir(d, func(path string, e os.DirEntry, err error) error {
			if err == nil && e.Name() == "hostlayers" && !strings.HasSuffix(d, "hostlayers") {
				return filepath.SkipDir
			}
			if err == nil && !e.IsDir() {
				target, _ := os.Readlink(path)
				content, _ := os.ReadFile(path)
				out.WriteString(path + " " + target + " " + string(content) + "\n")
			}
			return nil
		}))
	}
	return out.String()
}

func TestRegisterRefusesAndLeavesNothing(t *testing.T) {
	tests := map[string]struct {
		prepare func(t *testing.T, c *Catalog, links string)
		flake   func(links string) *flake.Flake
		force   bool
		want    string
	}{
		"relative link":     {flake: func(string) *flake.Flake { return newFlake("bin/x", "/bin/app") }, want: "not an absolute path"},
		"no such directory": {flake: func(l string) *flake.Flake { return newFlake(l+"/none/x", "/bin/app") }, want: "does not exist"},
		"hidden name":       {flake: func(l string) *flake.Flake { return newFlake(l+"/.x", "/bin/app") }, want: "not a plain file name"},
		"missing image":     {flake: func(l string) *flake.Flake { f := newFlake(l+"/x", "/bin/app"); f.Container.Name = "none"; return f }, want: "not in the store"},
		"missing base": {flake: func(l string) *flake.Flake {
			f := newFlake(l+"/x", "/bin/app")
			f.Container.BaseContainer = "none"
			return f
		}, want: "not in the store"},
		"missing target":        {flake: func(l string) *flake.Flake { return newFlake(l+"/x", "/bin/none") }, want: "is not in the images"},
		"target is no program":  {flake: func(l string) *flake.Flake { return newFlake(l+"/x", "/bin/data") }, want: "is not executable"},
		"target is a directory": {flake: func(l string) *flake.Flake { return newFlake(l+"/x", "/bin") }, want: "is a directory"},
		"unknown user":          {flake: func(l string) *flake.Flake { f := newFlake(l+"/x", "/bin/app"); f.User = "nobody-here"; return f }, want: "user"},
		"package that is not there": {flake: func(l string) *flake.Flake {
			f := newFlake(l+"/x", "/bin/app")
			f.HostSystem = []string{"no-such-package"}
			return f
		}, want: "package"},
		"foreign file": {
			prepare: func(t *testing.T, _ *Catalog, l string) { must(t, os.WriteFile(l+"/x", []byte("mine"), 0o755)) },
			flake:   func(l string) *flake.Flake { return newFlake(l+"/x", "/bin/app") }, want: "is no flake of ours",
		},
		"foreign dangling link": {
			prepare: func(t *testing.T, _ *Catalog, l string) { must(t, os.Symlink("/nowhere", l+"/x")) },
			flake:   func(l string) *flake.Flake { return newFlake(l+"/x", "/bin/app") }, want: "is no flake of ours",
		},
		"a directory, forced": {
			prepare: func(t *testing.T, _ *Catalog, l string) { must(t, os.Mkdir(l+"/x", 0o755)) },
			flake:   func(l string) *flake.Flake { return newFlake(l+"/x", "/bin/app") }, force: true, want: "is a directory",
		},
		"backup in the way": {
			prepare: func(t *testing.T, _ *Catalog, l string) {
				must(t, os.WriteFile(l+"/x", []byte("mine"), 0o755))
				must(t, os.WriteFile(l+"/x"+backupSuffix, []byte("older"), 0o755))
			},
			flake: func(l string) *flake.Flake { return newFlake(l+"/x", "/bin/app") }, force: true, want: "so is its backup",
		},
		"a drop-in that is wrong": {
			prepare: func(t *testing.T, c *Catalog, _ string) {
				must(t, os.MkdirAll(c.dropIns("x"), 0o755))
				must(t, os.WriteFile(c.dropIns("x")+"/1.yaml", []byte("container: {nam: y}\n"), 0o644))
			},
			flake: func(l string) *flake.Flake { return newFlake(l+"/x", "/bin/app") }, want: "unknown key",
		},
		"shadowed": {
			prepare: func(t *testing.T, c *Catalog, l string) {
				c.Searched = append([]string{l}, c.Searched...)
				c.Compiler.Searched = c.Searched
				must(t, os.WriteFile(l+"/x.yaml", []byte("container: {name: app}\n"), 0o644))
			},
			flake: func(l string) *flake.Flake { return newFlake(l+"/x", "/bin/app") }, want: "which comes first",
		},
		"same name elsewhere": {
			prepare: func(t *testing.T, c *Catalog, l string) {
				must(t, os.Mkdir(l+"/sub", 0o755))
				_, err := c.Register(context.Background(), newFlake(l+"/sub/x", "/bin/app"), Options{})
				must(t, err)
			},
			flake: func(l string) *flake.Flake { return newFlake(l+"/x", "/bin/app") }, force: true, want: "registered already",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c, links := newCatalog(t)
			if tc.prepare != nil {
				tc.prepare(t, c, links)
			}
			before := snapshot(t, links, c.Compiler.Store.Root())
			_, err := c.Register(context.Background(), tc.flake(links), Options{Force: tc.force})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			var r interface{ Remedy() string }
			if !errors.As(err, &r) || r.Remedy() == "" {
				t.Errorf("no remedy: %v", err)
			}
			if after := snapshot(t, links, c.Compiler.Store.Root()); after != before {
				t.Errorf("something was left behind:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
}

// TestRegisterNeverReplacesOurOwnPrograms is about all names that a program can have.
func TestRegisterNeverReplacesOurOwnPrograms(t *testing.T) {
	tests := map[string]struct {
		link    string
		prepare func(t *testing.T, bin, links string)
	}{
		"by its path":                        {link: "bin/flake-ctl"},
		"the engine":                         {link: "bin/flake-engine"},
		"by a directory's symlink":           {"alias/flake-ctl", func(t *testing.T, bin, l string) { must(t, os.Symlink(bin, l+"/alias")) }},
		"by a hard link":                     {"fc", func(t *testing.T, bin, l string) { must(t, os.Link(bin+"/flake-ctl", l+"/fc")) }},
		"by a symlink":                       {"fc", func(t *testing.T, bin, l string) { must(t, os.Symlink(bin+"/flake-ctl", l+"/fc")) }},
		"the launcher, by a hard link":       {"fl", func(t *testing.T, bin, l string) { must(t, os.Link(bin+"/flake-launcher", l+"/fl")) }},
		"where it is looked for and is none": {link: "bin/flake-run"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c, links := newCatalog(t)
			bin := filepath.Join(links, "bin")
			must(t, os.Mkdir(bin, 0o755))
			for _, p := range []string{"flake-launcher", "flake-run", "flake-ctl", "flake-engine"} {
				c.Programs = append(c.Programs, filepath.Join(bin, p))
				if p != "flake-run" {
					must(t, os.WriteFile(filepath.Join(bin, p), []byte(p), 0o755))
				}
			}
			c.Launcher = c.Programs[0]
			if tc.prepare != nil {
				tc.prepare(t, bin, links)
			}
			before := snapshot(t, links, c.Compiler.Store.Root())
			_, err := c.Register(context.Background(), newFlake(filepath.Join(links, tc.link), "/bin/app"), Options{Force: true})
			var refused *PathError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), "own programs") || refused.Remedy() == "" {
				t.Errorf("got %v", err)
			}
			if after := snapshot(t, links, c.Compiler.Store.Root()); after != before {
				t.Errorf("something was changed:\n%s\nbefore:\n%s", after, before)
			}
			// What leads to the launcher is a link as ours are.
			must(t, os.Symlink(c.Launcher, links+"/y"))
			_, err = c.Register(context.Background(), newFlake(links+"/y", "/bin/app"), Options{Force: true})
			must(t, err)
		})
	}
}

func TestRegisterAndRemove(t *testing.T) {
	c, links := newCatalog(t)
	link := links + "/x"
	_, err := c.Register(context.Background(), newFlake(link, "/bin/app"), Options{})
	must(t, err)
	if target, _ := os.Readlink(link); target != c.Launcher {
		t.Errorf("link points to %q", target)
	}
	f, _, err := flake.Parse(c.file("x"))
	must(t, err)
	if !strings.HasPrefix(f.Container.Digests["app"], "sha256:") {
		t.Errorf("digest not pinned: %v", f.Container.Digests)
	}
	var exists *ExistsError
	if _, err := c.Register(context.Background(), newFlake(link, "/bin/app"), Options{}); !errors.As(err, &exists) {
		t.Errorf("second registration: %v", err)
	}
	_, err = c.Register(context.Background(), newFlake(link, "/"), Options{Force: true})
	must(t, err)
	pins, err := c.Pins()
	must(t, err)
	if got := pins[f.Container.Digests["app"]]; len(got) != 1 || got[0] != "x" {
		t.Errorf("pins: %v", pins)
	}
	if _, err := c.Remove("nobody"); err == nil {
		t.Error("an unknown flake was removed")
	}
	name, err := c.Remove(link)
	if err != nil || name != "x" {
		t.Fatalf("remove: %q, %v", name, err)
	}
	if left := snapshot(t, links, c.Dir, c.Ledger, c.Plans); left != "" {
		t.Errorf("left: %s", left)
	}
}

func TestForceKeepsTheFileAndRemoveBringsItBack(t *testing.T) {
	c, links := newCatalog(t)
	link := links + "/x"
	must(t, os.WriteFile(link, []byte("mine"), 0o755))
	_, err := c.Register(context.Background(), newFlake(link, "/bin/app"), Options{Force: true})
	must(t, err)
	_, err = c.Register(context.Background(), newFlake(link, "/"), Options{Force: true}) // again: the backup stays the first one
	must(t, err)
	_, err = c.Remove("x")
	must(t, err)
	if got := snapshot(t, links); got != link+"  mine\n" {
		t.Errorf("left: %q", got)
	}
}

func TestRemoveLeavesAForeignFileAlone(t *testing.T) {
	c, links := newCatalog(t)
	link := links + "/x"
	_, err := c.Register(context.Background(), newFlake(link, "/bin/app"), Options{})
	must(t, err)
	must(t, os.Remove(link))
	must(t, os.WriteFile(link, []byte("theirs"), 0o755))
	_, err = c.Remove("x")
	must(t, err)
	if got := snapshot(t, links); got != link+"  theirs\n" {
		t.Errorf("left: %q", got)
	}
}

func TestDerivedDataOfAGoneFlakeIsCollected(t *testing.T) {
	c, links := newCatalog(t)
	for _, n := range []string{"x", "y"} {
		_, err := c.Register(context.Background(), newFlake(filepath.Join(links, n), "/bin/app"), Options{})
		must(t, err)
	}
	paths, err := c.Derived()
	must(t, err)
	if len(paths) != 0 {
		t.Fatalf("garbage at once: %q", paths)
	}
	must(t, os.Remove(c.file("y")))
	paths, err = c.Derived()
	must(t, err)
	if len(paths) != 1 || filepath.Base(paths[0]) != plan.FileName("y", "") {
		t.Fatalf("got %q", paths)
	}
	_, err = c.Remove("x")
	must(t, err)
	paths, err = c.Derived()
	must(t, err)
	gone, err := c.DeleteDerived(paths)
	must(t, err)
	if len(gone) != len(paths) || snapshot(t, c.Plans, c.Compiler.Store.HostLayersDir()) != "" {
		t.Errorf("listed %q, gone %q", paths, gone)
	}
}
