package catalog

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/renameio/v2"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

const pilot = "/usr/bin/podman-pilot"

// old is a registration of flake-pilot's, in our own directory or in another one, with its link.
func old(t *testing.T, c *Catalog, links string, inPlace bool) (file string, f func() *flake.Flake, o Origin) {
	t.Helper()
	dir := filepath.Join(filepath.Dir(links), "theirs")
	if inPlace {
		dir = c.Dir
	}
	must(t, os.MkdirAll(filepath.Join(dir, "x.d"), 0o755))
	file, link := filepath.Join(dir, "x.yaml"), filepath.Join(links, "x")
	must(t, os.WriteFile(file, []byte("container: {name: app, host_app_path: "+link+", runtime: {runas: alice}}\n"), 0o640))
	must(t, os.WriteFile(filepath.Join(dir, "x.d", "1"), []byte("a: b\n"), 0o600))
	must(t, os.Symlink(pilot, link))
	return file, func() *flake.Flake { return newFlake(link, "/bin/app") }, Origin{File: file, Link: pilot}
}

// census is snapshot with modes, and with directories.
func census(t *testing.T, dirs ...string) string {
	t.Helper()
	var out strings.Builder
	for _, d := range dirs {
		must(t, filepath.WalkDir(d, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := e.Info()
			must(t, err)
			target, _ := os.Readlink(path)
			content, _ := os.ReadFile(path)
			if st.Mode()&fs.ModeSymlink != 0 {
				content = nil
			}
			out.WriteString(strings.Join([]string{path, st.Mode().String(), target, string(content)}, " ") + "\n")
			return nil
		}))
	}
	return out.String()
}

func TestImportAndBack(t *testing.T) {
	for name, inPlace := range map[string]bool{"in place": true, "from elsewhere": false} {
		for way, back := range map[string]func(c *Catalog) error{
			"undo all":     func(c *Catalog) error { _, err := c.Undo(nil); return err },
			"undo by name": func(c *Catalog) error { _, err := c.Undo([]string{"x"}); return err },
			"remove":       func(c *Catalog) error { _, err := c.Remove("x"); return err },
			"remove after registering anew": func(c *Catalog) error {
				got, _, err := flake.Parse(c.file("x"))
				if err == nil {
					_, err = c.Register(context.Background(), newFlake(got.Container.HostAppPath, "/bin/app"), Options{Force: true})
				}
				if err == nil {
					_, err = c.Remove("x")
				}
				return err
			},
		} {
			t.Run(name+", "+way, func(t *testing.T) {
				c, links := newCatalog(t)
				must(t, os.MkdirAll(c.Dir, 0o755))
				file, f, origin := old(t, c, links, inPlace)
				dirs := []string{links, filepath.Dir(file), c.Dir}
				before := census(t, dirs...)
				_, err := c.Import(context.Background(), f(), origin)
				must(t, err)
				if target, _ := os.Readlink(links + "/x"); target != c.Launcher {
					t.Errorf("link to %q", target)
				}
				got, _, err := flake.Parse(c.file("x"))
				if err != nil || got.Container.Digests["app"] == "" || got.Container.Runtime.RunAs != "" {
					t.Errorf("registration: %+v, %v", got, err)
				}
				if o, err := c.OwnerOf("x"); o != Imported || err != nil {
					t.Errorf("owner %v, %v", o, err)
				}
				var exists *ExistsError
				if _, err := c.Import(context.Background(), f(), origin); !errors.As(err, &exists) {
					t.Errorf("twice: %v", err)
				}
				must(t, os.MkdirAll(c.dropIns("x"), 0o755))
				must(t, os.WriteFile(c.dropIns("x")+"/mine.yaml", []byte("nesting: true\n"), 0o644))
				must(t, back(c))
				if after := census(t, dirs...); after != before {
					t.Errorf("before:\n%s\nafter:\n%s", before, after)
				}
				if left := snapshot(t, c.Ledger, c.Plans); left != "" {
					t.Errorf("left: %s", left)
				}
				if o, err := c.OwnerOf("x"); o != Theirs || err != nil {
					t.Errorf("owner %v, %v", o, err)
				}
				var not *NotImportedError
				if _, err := c.Undo([]string{"x"}); !errors.As(err, &not) {
					t.Errorf("twice back: %v", err)
				}
			})
		}
	}
}

func TestImportRefusesAndLeavesNothing(t *testing.T) {
	tests := map[string]struct {
		inPlace bool
		prepare func(t *testing.T, c *Catalog, links string)
		target  string
		want    string
	}{
		"a target that is not there": {true, nil, "/bin/none", "is not in the images"},
		"not there, from elsewhere":  {false, nil, "/bin/none", "is not in the images"},
		"another link":               {true, func(t *testing.T, _ *Catalog, l string) { must(t, renameio.Symlink("/bin/other", l+"/x")) }, "/bin/app", "no flake of ours"},
		"a file":                     {true, func(t *testing.T, _ *Catalog, l string) { must(t, renameio.WriteFile(l+"/x", nil, 0o755)) }, "/bin/app", "no flake of ours"},
		"no link":                    {true, func(t *testing.T, _ *Catalog, l string) { must(t, os.Remove(l+"/x")) }, "/bin/app", "no flake of ours"},
		"an old backup": {true, func(t *testing.T, c *Catalog, _ string) {
			must(t, os.WriteFile(c.file("x")+backupSuffix, nil, 0o644))
		}, "/bin/app", "so is its backup"},
		"a registration of ours": {false, func(t *testing.T, c *Catalog, _ string) {
			must(t, os.WriteFile(c.file("x"), []byte("container: {name: app}\n"), 0o644))
		}, "/bin/app", "registered already"},
		"drop-ins of ours": {false, func(t *testing.T, c *Catalog, _ string) { must(t, os.Mkdir(c.dropIns("x"), 0o755)) }, "/bin/app", "registered already"},
		"a registration that comes first": {false, func(t *testing.T, c *Catalog, l string) {
			c.Searched = append([]string{l}, c.Searched...)
			c.Compiler.Searched = c.Searched
			must(t, os.WriteFile(l+"/x.yaml", []byte("container: {name: app}\n"), 0o644))
		}, "/bin/app", "comes first"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c, links := newCatalog(t)
			must(t, os.MkdirAll(c.Dir, 0o755))
			file, f, origin := old(t, c, links, tc.inPlace)
			if tc.prepare != nil {
				tc.prepare(t, c, links)
			}
			fl := f()
			fl.Container.TargetAppPath = tc.target
			before := census(t, links, filepath.Dir(file), c.Dir)
			_, err := c.Import(context.Background(), fl, origin)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if after := census(t, links, filepath.Dir(file), c.Dir); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if left := snapshot(t, c.Ledger, c.Plans); left != "" {
				t.Errorf("left: %s", left)
			}
		})
	}
}

// An import can be cut short behind each of its steps.
func TestHealing(t *testing.T) {
	for name, inPlace := range map[string]bool{"in place": true, "from elsewhere": false} {
		steps := []string{"the ledger", "the old file is away", "the drop-ins are away", "the registration", "the plan", "the link"}
		for n, step := range steps {
			t.Run(name+", behind "+step, func(t *testing.T) {
				c, links := newCatalog(t)
				must(t, os.MkdirAll(c.Dir, 0o755))
				file, f, origin := old(t, c, links, inPlace)
				dirs := []string{links, filepath.Dir(file), c.Dir}
				before := census(t, dirs...)
				e, err := c.importable("x", links+"/x", origin)
				must(t, err)
				for _, do := range []func() error{
					func() error { return c.record(*e) },
					func() error { return moved(inPlace, c.file("x")) },
					func() error { return moved(inPlace, c.dropIns("x")) },
					func() error { return c.writeRegistration(new(undo), "x", f()) },
					func() error { _, err := c.Compiler.Flake(context.Background(), "x"); return err },
					func() error { return renameio.Symlink(c.Launcher, links+"/x") },
				}[:n+1] {
					must(t, do())
				}
				names, err := c.Unfinished()
				if err != nil || len(names) != 1 {
					t.Fatalf("unfinished: %q, %v", names, err)
				}
				if o, err := c.OwnerOf("x"); o != CutShort || err != nil {
					t.Errorf("owner %v, %v", o, err)
				}
				must(t, c.Heal())
				if after := census(t, dirs...); after != before {
					t.Errorf("before:\n%s\nafter:\n%s", before, after)
				}
				if left := snapshot(t, c.Ledger, c.Plans); left != "" {
					t.Errorf("left: %s", left)
				}
				_, err = c.Import(context.Background(), f(), origin)
				must(t, err)
			})
		}
	}
}

func moved(inPlace bool, path string) error {
	if !inPlace {
		return nil
	}
	return os.Rename(path, path+backupSuffix)
}

// What flake-pilot was given back by other means is not taken from it again.
func TestUndoLeavesWhatIsTheirsByNow(t *testing.T) {
	c, links := newCatalog(t)
	must(t, os.MkdirAll(c.Dir, 0o755))
	_, f, origin := old(t, c, links, true)
	_, err := c.Import(context.Background(), f(), origin)
	must(t, err)
	must(t, renameio.Symlink(pilot, links+"/x"))
	must(t, os.WriteFile(c.file("x"), []byte("container: {name: newer}\n"), 0o644))
	_, err = c.Undo(nil)
	must(t, err)
	if b, _ := os.ReadFile(c.file("x")); !strings.Contains(string(b), "newer") {
		t.Errorf("their registration was replaced: %s", b)
	}
	if b, _ := os.ReadFile(c.file("x") + backupSuffix); !strings.Contains(string(b), "alice") {
		t.Errorf("the old one is lost: %s", b)
	}
	if left := snapshot(t, c.Ledger); left != "" {
		t.Errorf("left: %s", left)
	}
}

func TestUndoAfterTheLinkWasSetBackByHand(t *testing.T) {
	c, links := newCatalog(t)
	must(t, os.MkdirAll(c.Dir, 0o755))
	_, f, origin := old(t, c, links, true)
	before := census(t, links, c.Dir)
	_, err := c.Import(context.Background(), f(), origin)
	must(t, err)
	must(t, renameio.Symlink(pilot, links+"/x"))
	_, err = c.Undo(nil)
	must(t, err)
	if after := census(t, links, c.Dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestShadowedRegistrationThatIsNoneOfOursHoldsNothingUp(t *testing.T) {
	c, links := newCatalog(t)
	must(t, os.MkdirAll(c.Dir, 0o755))
	file, f, origin := old(t, c, links, false)
	c.Searched = append(c.Searched, filepath.Dir(file))
	c.Compiler.Searched = c.Searched
	if _, err := c.Pins(); err == nil {
		t.Error("a registration that can't be read was passed over")
	}
	_, err := c.Import(context.Background(), f(), origin)
	must(t, err)
	pins, err := c.Pins()
	if err != nil || len(pins) != 1 {
		t.Errorf("%v, %v", pins, err)
	}
}

func TestRemoveLeavesWhatWasNeverImported(t *testing.T) {
	for name, text := range map[string]string{
		"ours to read": "container: {name: app, host_app_path: LINK}\n",
		"theirs":       "container: {name: app, host_app_path: LINK, runtime: {runas: alice}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			c, links := newCatalog(t)
			file, _, _ := old(t, c, links, true)
			must(t, os.WriteFile(file, []byte(strings.ReplaceAll(text, "LINK", links+"/x")), 0o640))
			before := census(t, links, c.Dir)
			var theirs *PilotError
			if _, err := c.Remove("x"); !errors.As(err, &theirs) {
				t.Errorf("got %v", err)
			}
			if err := c.Removable("x"); !errors.As(err, &theirs) {
				t.Errorf("without a store: %v", err)
			}
			if after := census(t, links, c.Dir); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			must(t, renameio.Symlink(c.Launcher, links+"/x")) // a registration by hand
			if _, err := c.Remove("x"); err != nil {
				t.Error(err)
			}
		})
	}
}
