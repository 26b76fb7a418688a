package catalog

import (
	"os"
	"path/filepath"
	"slices"
)

// isOwn says whether a link at path would take the place of a program of ours, or of another name of one: nothing,
// flake-ctl remove least of all, might start any more. A name in one of their directories counts where no file is, too:
// that is where the others look first.
//
// A symlink to the launcher is none of these: that is what links are.
func (c *Catalog) isOwn(path string) bool {
	at, err := os.Lstat(path)
	link := err == nil && at.Mode()&os.ModeSymlink != 0
	return slices.ContainsFunc(c.Programs, func(p string) bool {
		if filepath.Base(p) == filepath.Base(path) && sameFile(filepath.Dir(p), filepath.Dir(path)) {
			return true
		}
		return sameFile(p, path) && !(link && filepath.Base(p) == filepath.Base(c.Launcher))
	})
}
