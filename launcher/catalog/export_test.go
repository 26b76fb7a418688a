package catalog

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// documented adds documents to the layer of the image that newCatalog makes.
func documented(t *testing.T, c *Catalog, files map[string]string) {
	t.Helper()
	layer := filepath.Join(c.Compiler.Store.Root(), "layers", "sha256", digest.FromString("app").Encoded())
	for path, content := range files {
		must(t, os.MkdirAll(filepath.Join(layer, filepath.Dir(path)), 0o755))
		must(t, os.WriteFile(filepath.Join(layer, path), []byte(content), 0o644))
	}
}

// exportedBelow lists the files below dir.
func exportedBelow(t *testing.T, dir string) []string {
	t.Helper()
	out := []string{}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	}))
	return out
}

func TestExport(t *testing.T) {
	files := map[string]string{
		"usr/share/man/man1/app.1.gz":                      "page",
		"usr/share/man/man1/app-sub.1":                     "page of a subcommand",
		"usr/share/man/man1/apple.1":                       "another command's",
		"usr/share/man/man1/application":                   "no page",
		"usr/share/bash-completion/completions/app":        "complete -F _app app",
		"usr/share/zsh/vendor-completions/_app":            "#compdef app",
		"usr/share/fish/vendor_completions.d/app.fish":     "complete -c app",
		"usr/share/fish/vendor_completions.d/another.fish": "complete -c another",
	}
	all := []string{
		"bash-completion/completions/app", "fish/vendor_completions.d/app.fish",
		"man/man1/app-sub.1", "man/man1/app.1.gz", "zsh/site-functions/_app",
	}
	setup := func(t *testing.T) (c *Catalog, bin, share string) {
		c, dir := newCatalog(t)
		documented(t, c, files)
		bin, share = filepath.Join(dir, "bin"), filepath.Join(dir, "share")
		must(t, os.Mkdir(bin, 0o755))
		must(t, os.Mkdir(share, 0o755))
		return c, bin, share
	}
	ctx := context.Background()
	export := Options{Export: true}

	t.Run("directories go with the last file that they were made for", func(t *testing.T) {
		c, bin, share := setup(t)
		must(t, os.MkdirAll(share+"/man/man1", 0o755)) // empty, and not ours
		documented(t, c, map[string]string{"usr/share/bash-completion/completions/other": "complete other"})
		for _, name := range []string{"app", "other"} {
			_, err := c.Register(ctx, newFlake(bin+"/"+name, "/bin/app"), export)
			must(t, err)
		}
		must(t, os.WriteFile(share+"/fish/mine", nil, 0o644))
		for _, name := range []string{"app", "other"} {
			_, err := c.Remove(name)
			must(t, err)
		}
		var left []string
		must(t, filepath.WalkDir(share, func(path string, _ os.DirEntry, err error) error {
			left = append(left, strings.TrimPrefix(path, share))
			return err
		}))
		if want := []string{"", "/fish", "/fish/mine", "/man", "/man/man1"}; !slices.Equal(left, want) {
			t.Errorf("left are %q, want %q", left, want)
		}
	})
	t.Run("the command's files come and go with it", func(t *testing.T) {
		c, bin, share := setup(t)
		res, err := c.Register(ctx, newFlake(bin+"/app", "/bin/app"), export)
		must(t, err)
		if got := exportedBelow(t, share); !slices.Equal(got, all) || len(res.Exported) != len(all) {
			t.Fatalf("exported %q, told %q", got, res.Exported)
		}
		_, err = c.Remove("app")
		must(t, err)
		if got := exportedBelow(t, share); len(got) != 0 {
			t.Errorf("left behind: %q", got)
		}
	})
	t.Run("root's are everybody's, whatever his umask", func(t *testing.T) {
		c, bin, share := setup(t)
		old := unix.Umask(0o077)
		_, err := c.Register(ctx, newFlake(bin+"/app", "/bin/app"), export)
		unix.Umask(old)
		must(t, err)
		rest := fs.FileMode(0o055)
		if !rootfs.Privileged() {
			rest = 0
		}
		for _, path := range []string{c.Dir, c.file("app"), share + "/man", share + "/man/man1", share + "/man/man1/app.1.gz"} {
			st, err := os.Stat(path)
			must(t, err)
			want := rest
			if !st.IsDir() {
				want &= 0o044
			}
			if got := st.Mode().Perm() & 0o077; got != want {
				t.Errorf("%s: others have %03o, not %03o", path, got, want)
			}
		}
	})
	t.Run("under another name pages, but no completions", func(t *testing.T) {
		c, bin, share := setup(t)
		_, err := c.Register(ctx, newFlake(bin+"/mine", "/bin/app"), export)
		must(t, err)
		if got, want := exportedBelow(t, share), []string{"man/man1/mine-sub.1", "man/man1/mine.1.gz"}; !slices.Equal(got, want) {
			t.Errorf("exported %q, want %q", got, want)
		}
	})
	for what, content := range map[string]string{"": "mine", " though it is the same": files["usr/share/man/man1/app.1.gz"]} {
		t.Run("a file of somebody else is in the way"+what, func(t *testing.T) {
			c, bin, share := setup(t)
			must(t, os.MkdirAll(share+"/man/man1", 0o755))
			must(t, os.WriteFile(share+"/man/man1/app.1.gz", []byte(content), 0o644))
			before := snapshot(t, c.Dir, c.Ledger, bin, share)
			var wrong *ExportError
			if _, err := c.Register(ctx, newFlake(bin+"/app", "/bin/app"), Options{Force: true, Export: true}); !errors.As(err, &wrong) {
				t.Fatalf("error %v", err)
			}
			if after := snapshot(t, c.Dir, c.Ledger, bin, share); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
	t.Run("a file that was changed stays", func(t *testing.T) {
		c, bin, share := setup(t)
		_, err := c.Register(ctx, newFlake(bin+"/app", "/bin/app"), export)
		must(t, err)
		must(t, os.WriteFile(share+"/man/man1/app.1.gz", []byte("mine"), 0o644))
		_, err = c.Remove("app")
		must(t, err)
		if got := exportedBelow(t, share); !slices.Equal(got, []string{"man/man1/app.1.gz"}) {
			t.Errorf("left: %q", got)
		}
	})
	t.Run("registered again without", func(t *testing.T) {
		c, bin, share := setup(t)
		_, err := c.Register(ctx, newFlake(bin+"/app", "/bin/app"), export)
		must(t, err)
		_, err = c.Register(ctx, newFlake(bin+"/app", "/bin/app"), Options{Force: true, Export: true})
		must(t, err)
		if got := exportedBelow(t, share); !slices.Equal(got, all) {
			t.Errorf("exported again: %q", got)
		}
		_, err = c.Register(ctx, newFlake(bin+"/app", "/bin/app"), Options{Force: true})
		must(t, err)
		if got := exportedBelow(t, share); len(got) != 0 {
			t.Errorf("left behind: %q", got)
		}
	})
	t.Run("a link of an image leads nowhere but into the image", func(t *testing.T) {
		c, bin, share := setup(t)
		secret := filepath.Join(t.TempDir(), "secret")
		must(t, os.WriteFile(secret, []byte("secret"), 0o600))
		layer := filepath.Join(c.Compiler.Store.Root(), "layers", "sha256", digest.FromString("app").Encoded())
		must(t, os.MkdirAll(layer+"/usr/share/man/man5", 0o755))
		must(t, os.Symlink("../../../../../../../../../../../.."+secret, layer+"/usr/share/man/man5/app.5"))
		_, err := c.Register(ctx, newFlake(bin+"/app", "/bin/app"), export)
		must(t, err)
		if _, err := os.Lstat(share + "/man/man5/app.5"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("exported: %v", err)
		}
	})
	t.Run("no bin, no share", func(t *testing.T) {
		c, bin, _ := setup(t)
		var wrong *PathError
		if _, err := c.Register(ctx, newFlake(filepath.Dir(bin)+"/app", "/bin/app"), export); !errors.As(err, &wrong) {
			t.Fatalf("error %v", err)
		}
		if plans, _ := filepath.Glob(c.Plans + "/" + plan.FileName("app", "*")); len(plans) > 0 {
			t.Errorf("plans %q", plans)
		}
	})
}
