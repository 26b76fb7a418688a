package catalog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
)

// Options are what a registration may do besides.
type Options struct {
	// Force replaces a registration of the same path and moves a foreign file out of the way.
	Force bool
	// Export puts the man pages and completions that the images have for the command next to the link's directory.
	Export bool
}

// Registered is what came of a registration.
type Registered struct {
	*compile.Result
	// Exported are the files that Export made.
	Exported []string
}

// Register checks that the flake can run (its images and its target exist), pins the images' digests and makes
// registration, link, ledger entry and plan; all of them or none. The flake's name is the base name of its
// host path.
//
// It returns *ExistsError, *ForeignFileError, *PathError, *ExportError, or what compile returns.
func (c *Catalog) Register(ctx context.Context, f *flake.Flake, opt Options) (*Registered, error) {
	link, err := c.checkLinkPath(f.Container.HostAppPath)
	if err != nil {
		return nil, err
	}
	f.Container.HostAppPath = link
	name := filepath.Base(link)
	unlock, err := c.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := c.checkFree(name, link, opt.Force); err != nil {
		return nil, err
	}
	done, err := c.pin(ctx, name, f)
	if err != nil {
		return nil, err
	}
	defer done()
	var docs documents
	if opt.Export {
		if docs, err = c.documents(ctx, name, f); err != nil {
			return nil, err
		}
	}
	var u undo
	entry, err := c.apply(&u, name, f, docs)
	if err != nil {
		return nil, errors.Join(err, u.run())
	}
	// As the launcher will see it, drop-ins that were there before included.
	res, err := c.Compiler.Flake(ctx, name)
	if err != nil {
		return nil, errors.Join(err, u.run())
	}
	u.dismiss()
	out := &Registered{Result: res}
	for _, e := range entry.Exported {
		out.Exported = append(out.Exported, e.Path)
	}
	return out, nil
}

// pin sees whether the flake can run, and writes its images' digests into it. Nothing may be collected between that and
// the registration that needs them: until then done must not be called.
func (c *Catalog) pin(ctx context.Context, name string, f *flake.Flake) (done func(), err error) {
	req, err := compile.FromFlake(name, f)
	if err != nil {
		return nil, err
	}
	if done, err = c.Compiler.Store.Writing(ctx); err != nil {
		return nil, err
	}
	res, err := c.Compiler.Compile(ctx, req)
	if err != nil {
		done()
		return nil, err
	}
	f.Container.Digests = res.Digests
	return done, nil
}

// checkLinkPath refuses a host path at which no link can be.
func (c *Catalog) checkLinkPath(path string) (string, error) {
	if !filepath.IsAbs(path) {
		return "", &PathError{path, "not an absolute path", "give the full path of the command on the host"}
	}
	path = filepath.Clean(path)
	if filepath.Base(path) == "flake-launcher" {
		return "", &PathError{path, "the launcher itself has that name", "choose another file name"}
	}
	if err := flake.CheckName(filepath.Base(path)); err != nil {
		return "", &PathError{path, err.Error(), "choose another file name"}
	}
	st, err := os.Stat(filepath.Dir(path))
	if err != nil || !st.IsDir() {
		return "", &PathError{path, "its directory does not exist", "make the directory, or choose another path"}
	}
	if c.isOwn(path) {
		return "", &PathError{path, "that is one of flake-launcher's own programs", "choose another path"}
	}
	if err := unix.Access(filepath.Dir(path), unix.W_OK); err != nil {
		return "", &PathError{path, "you can't write to its directory", writableFix(path)}
	}
	return path, nil
}

// writableFix proposes a directory for the link: the caller's own, if the shell would find a command there.
func writableFix(path string) string {
	own := filepath.Join(os.Getenv("HOME"), ".local", "bin")
	if os.Geteuid() != 0 && filepath.IsAbs(own) && slices.Contains(filepath.SplitList(os.Getenv("PATH")), own) {
		return "take --app " + filepath.Join(own, filepath.Base(path)) + ", which is in your PATH"
	}
	if os.Geteuid() != 0 {
		return "choose a directory of your own that is in your PATH, such as ~/.local/bin"
	}
	return "choose a directory on a writable file system"
}

// checkFree refuses a name or a path that is taken by somebody else.
func (c *Catalog) checkFree(name, link string, force bool) error {
	old, _, err := flake.Parse(c.file(name))
	switch {
	case errors.Is(err, os.ErrNotExist):
	case errors.Is(err, flake.ErrNotContainer):
		return &ExistsError{Name: name, File: c.file(name), HostPath: "an engine that is not ours", Wanted: link}
	case err != nil && !force:
		return err
	case err == nil && (old.Container.HostAppPath != link || !force):
		return &ExistsError{Name: name, File: c.file(name), HostPath: old.Container.HostAppPath, Wanted: link}
	}
	if first, err := flake.Find(c.Searched, name); err == nil && first != c.file(name) && before(c.Searched, filepath.Dir(first), c.Dir) {
		return &ShadowedError{Name: name, By: first}
	}
	ours, err := c.owns(name, link)
	if err != nil || ours {
		return err
	}
	if _, err := os.Lstat(link); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if !force {
		return &ForeignFileError{Path: link}
	}
	if _, err := os.Lstat(link + backupSuffix); err == nil {
		return &ForeignFileError{Path: link, Backup: link + backupSuffix}
	}
	if st, err := os.Lstat(link); err == nil && st.IsDir() {
		return &PathError{link, "is a directory", "choose another path"}
	}
	return nil
}

// before reports whether directory a is searched before b.
func before(searched []string, a, b string) bool {
	return slices.Index(searched, a) < slices.Index(searched, b)
}

// apply makes the registration's files, in an order in which a crash leaves no link without a registration.
func (c *Catalog) apply(u *undo, name string, f *flake.Flake, docs documents) (*ledgerEntry, error) {
	link := f.Container.HostAppPath
	if err := c.writeRegistration(u, name, f); err != nil {
		return nil, err
	}
	entry := &ledgerEntry{Flake: name, Link: link, Target: c.Launcher, Made: time.Now().UTC()}
	old, err := c.entry(name)
	if err != nil {
		return nil, err
	}
	if old != nil && old.Link == link {
		entry.Backup, entry.Import = old.Backup, old.Import
	}
	ours, err := c.owns(name, link)
	if err != nil {
		return nil, err
	}
	_, statErr := os.Lstat(link)
	moveAway := statErr == nil && !ours
	if moveAway {
		entry.Backup = link + backupSuffix
	}
	// The ledger first: a crash after this line is healed by remove, one before it left nothing.
	if err := c.record(*entry); err != nil {
		return nil, err
	}
	u.add(func() error {
		if old != nil {
			return c.record(*old)
		}
		return os.Remove(c.ledgerFile(name))
	})
	if err := c.export(u, entry, old, docs); err != nil {
		return nil, err
	}
	if moveAway {
		if err := os.Rename(link, entry.Backup); err != nil {
			return nil, fmt.Errorf("keep the file in the way: %w", err)
		}
		u.add(func() error { return os.Rename(entry.Backup, link) })
	}
	if err := renameio.Symlink(c.Launcher, link); err != nil {
		return nil, fmt.Errorf("make link: %w", err)
	}
	u.add(func() error {
		if ours {
			return nil // it was there before
		}
		return os.Remove(link)
	})
	return entry, nil
}

func (c *Catalog) writeRegistration(u *undo, name string, f *flake.Flake) error {
	b, err := yaml.Marshal(f)
	if err != nil {
		return fmt.Errorf("write registration: %w", err)
	}
	file := c.file(name)
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read registration: %w", err)
	}
	if err := writeFile(file, b); err != nil {
		return fmt.Errorf("write registration: %w", err)
	}
	u.add(func() error {
		if old != nil {
			return writeFile(file, old)
		}
		return os.Remove(file)
	})
	return nil
}
