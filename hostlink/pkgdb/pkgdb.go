package pkgdb

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// Database is what a host has installed. Each method may take a pass over all of it; what was read once is kept, so a
// Database shows one state and has to be opened anew for the next. Not for use by several goroutines.
type Database interface {
	// Name is the kind: "dpkg", "rpm", "apk" or "pacman".
	Name() string
	// Files lists the files and directories of packages by the names asked for, as absolute paths below the host root.
	// A path is the database's: on a host with a merged /usr it may lead through a symlink, and the file may be missing.
	// What packages leave to others to make (rpm's ghosts) is not listed.
	// Names that are not installed come as a *NoPackageError, together with the answer for the others.
	Files(names ...string) (map[string][]string, error)
	// Owners tells which package a file belongs to. Paths are absolute below the host root, their parents no symlinks;
	// those that no package has are left out of the answer.
	Owners(paths []string) (map[string]Owner, error)
	// Needs adds to packages all that they need by the database's own word, as far as it is installed, sorted.
	Needs(names ...string) ([]string, error)
	// Fingerprint are absolute paths on the host. As long as none of these files or directories changes, answers stay.
	Fingerprint() []string
}

// Owner is the package that a file belongs to.
type Owner struct {
	Package string
	// Config says that the package expects the file to be edited.
	Config bool
}

// ErrNoDatabase says that a host has no package database that is known here.
var ErrNoDatabase error = noDatabase{}

type noDatabase struct{}

func (noDatabase) Error() string {
	return "this host has no package database (of dpkg, rpm, apk or pacman)"
}

// Remedy tells the user what to do about it.
func (noDatabase) Remedy() string {
	return "name the files instead of packages, or take an image that has them"
}

// NoPackageError names packages that a host does not have.
type NoPackageError struct {
	Database string
	Missing  []string // in the order they were asked for
}

func (e *NoPackageError) Error() string {
	what := "package"
	if len(e.Missing) > 1 {
		what = "packages"
	}
	return fmt.Sprintf("the host has no %s %s (%s)", what, strings.Join(e.Missing, ", "), e.Database)
}

// Remedy tells the user what to do about it.
func (e *NoPackageError) Remedy() string {
	return "install " + strings.Join(e.Missing, " ") + " on the host"
}

// Open opens the database of the host at root ("" is "/"). A host may have several, of which the first that knows a
// package answers for it. It returns ErrNoDatabase, or why one that is there can't be read.
func Open(root string) (Database, error) {
	h, err := newHost(root)
	if err != nil {
		return nil, fmt.Errorf("open host root: %w", err)
	}
	var found stack
	for _, open := range []func(*host) (Database, error){openDpkg, openRPM, openApk, openPacman} {
		db, err := open(h)
		if err != nil {
			return nil, err
		}
		if db != nil {
			found = append(found, db)
		}
	}
	switch len(found) {
	case 0:
		return nil, ErrNoDatabase
	case 1:
		return found[0], nil
	}
	return found, nil
}

// Places are all paths that [Database.Fingerprint] may name for the host at root: who takes the state of these files before
// Open knows that nothing has changed since.
func Places(root string) []string {
	h, err := newHost(root)
	if err != nil {
		return nil
	}
	var out []string
	add := func(dir string, names ...string) {
		real, err := h.path(dir)
		if err != nil {
			return
		}
		for _, name := range names {
			out = append(out, filepath.Join(real, name))
		}
	}
	add(dpkgDir, "status", "diversions")
	for _, dir := range rpmDirs {
		for _, form := range rpmForms {
			add(dir, form.file, form.file+walSuffix)
		}
	}
	for _, file := range apkFiles {
		add(file, "")
	}
	add(pacmanDir, "")
	return out
}

// stack are several databases of one host.
type stack []Database

func (s stack) Name() string {
	var names []string
	for _, db := range s {
		names = append(names, db.Name())
	}
	return strings.Join(names, ", ")
}

func (s stack) Files(names ...string) (map[string][]string, error) {
	out, left := map[string][]string{}, names
	for _, db := range s {
		if len(left) == 0 {
			break
		}
		files, err := db.Files(left...)
		var missing *NoPackageError
		if err != nil && !errors.As(err, &missing) {
			return nil, err
		}
		maps.Copy(out, files)
		left = nil
		if missing != nil {
			left = missing.Missing
		}
	}
	if len(left) > 0 {
		return out, &NoPackageError{Database: s.Name(), Missing: left}
	}
	return out, nil
}

func (s stack) Owners(paths []string) (map[string]Owner, error) {
	out := map[string]Owner{}
	for _, db := range s {
		owners, err := db.Owners(paths)
		if err != nil {
			return nil, err
		}
		for path, owner := range owners {
			if _, taken := out[path]; !taken {
				out[path] = owner
			}
		}
	}
	return out, nil
}

func (s stack) Needs(names ...string) ([]string, error) {
	all := map[string]bool{}
	for _, db := range s {
		needs, err := db.Needs(names...)
		if err != nil {
			return nil, err
		}
		for _, n := range needs {
			all[n] = true
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

func (s stack) Fingerprint() []string {
	var out []string
	for _, db := range s {
		out = append(out, db.Fingerprint()...)
	}
	return out
}

// host is the root that databases are looked for in.
type host struct {
	root string // absolute, free of symlinks
	// aliases are directories of the root that are symlinks, with what they lead to: "/bin/" is "/usr/bin/".
	aliases map[string]string
}

func newHost(root string) (*host, error) {
	if root == "" {
		root = "/"
	}
	root, err := filepath.Abs(root)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return nil, err
	}
	h := &host{root: root, aliases: map[string]string{}}
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink == 0 {
			continue
		}
		real, err := h.path("/" + e.Name())
		if err != nil {
			return nil, err
		}
		if st, err := os.Stat(real); err == nil && st.IsDir() {
			h.aliases["/"+e.Name()+"/"] = strings.TrimSuffix("/"+strings.Trim(strings.TrimPrefix(real, root), "/"), "/") + "/"
		}
	}
	return h, nil
}

// path is where a path of the host really is, symlinks resolved below its root.
func (h *host) path(p string) (string, error) { return securejoin.SecureJoin(h.root, p) }

// canonical replaces a directory of the root that is a symlink: on a host with a merged /usr databases say /bin/sh.
func (h *host) canonical(p string) string {
	if i := strings.IndexByte(p[min(1, len(p)):], '/'); i >= 0 {
		if real, ok := h.aliases[p[:i+2]]; ok {
			return real + p[i+2:]
		}
	}
	return p
}

// isFile says whether something readable as a file is there.
func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// missingOf are the names that the answer lacks, as an error, or nil.
func missingOf(db Database, files map[string][]string, names []string) error {
	var missing []string
	for _, n := range names {
		if _, ok := files[n]; !ok && !slices.Contains(missing, n) {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &NoPackageError{Database: db.Name(), Missing: missing}
}

// wanted makes a set of paths.
func wanted(paths []string) map[string]bool {
	out := make(map[string]bool, len(paths))
	for _, p := range paths {
		out[p] = true
	}
	return out
}
