package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// ForeignRootError refuses to make a store of a directory that serves another
// purpose. A store sweeps its tmp/ and deletes what it does not need: made of
// "/" or of a home directory, it would take the files of others for its own.
type ForeignRootError struct {
	Root   string
	Reason string
}

func (e *ForeignRootError) Error() string {
	return fmt.Sprintf("create store %q: %s", e.Root, e.Reason)
}

// Remedy says what the user can do.
func (e *ForeignRootError) Remedy() string {
	return "set FLAKES_ROOT to a new or an empty directory"
}

// checkAdoptable refuses a root without a version file that holds anything but
// what a crashed Create leaves, and what belongs to flakes beside the store.
func (s *Store) checkAdoptable() error {
	entries, err := os.ReadDir(s.root)
	if err != nil {
		return accessError("create", s.root, err)
	}
	// The version file, too: another Create may have made the store since this one looked for it.
	known := []string{versionFile, ledgerDir, plansDir, hostLayersDir, registrationsDir, rangesDir}
	for _, d := range ownDirs(true) {
		known = append(known, d.path)
	}
	for _, e := range entries {
		if !slices.Contains(known, e.Name()) {
			return &ForeignRootError{s.root, fmt.Sprintf("it holds other things already, for example %q", e.Name())}
		}
	}
	tmp, err := os.Lstat(s.path(tmpDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return accessError("create", s.root, err)
	}
	if !tmp.IsDir() || tmp.Mode().Perm()&0o077 != 0 {
		return &ForeignRootError{s.root, "its tmp is not a store's"}
	}
	return nil
}

// tempName knows the names that [Store.Temp] gives: a prefix, a dash, digits.
// Nothing else in tmp/ but locks is ever swept.
func tempName(name string) bool {
	prefix, number, ok := strings.Cut(name, "-")
	if n := strings.LastIndexByte(name, '-'); ok {
		prefix, number = name[:n], name[n+1:]
	}
	return ok && prefix != "" && number != "" && strings.Trim(number, "0123456789") == ""
}

// ours says whether an entry of tmp/ was made by a store: by its name, and a
// directory also by holding nothing but the place for the data.
func (s *Store) ours(name string, isDir bool) bool {
	if !isDir {
		return strings.HasPrefix(name, lockPrefix) || tempName(name)
	}
	if !tempName(name) {
		return false
	}
	inner, err := os.ReadDir(s.path(tmpDir, name))
	return err == nil && (len(inner) == 0 || len(inner) == 1 && inner[0].Name() == tempData)
}
