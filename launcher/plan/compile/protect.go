package compile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// protect lists the directories of ours that the app must not be able to change. Those below the caller's home are made
// where they are not there: an app that could make them could register flakes. Additional stores are never made.
func (c *Compiler) protect(p *plan.Plan) error {
	dirs := []string{c.Store.Root()}
	for _, dir := range c.Protect {
		dirs = append(dirs, dir)
		if !c.makes(dir) || !inReach(p, dir) {
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.ENOTDIR) {
			return fmt.Errorf("make directory of our own: %w", err)
		}
	}
	for _, s := range c.Images.Stores() {
		dirs = append(dirs, s.Root())
	}
	for _, dir := range dirs {
		if real, err := filepath.EvalSymlinks(dir); err == nil && !slices.Contains(p.Protect, real) {
			p.Protect = append(p.Protect, real)
		}
	}
	return nil
}

// inReach says whether an app could make a directory of the host's: not below what is the image's own, unless it is shared.
func inReach(p *plan.Plan, dir string) bool {
	return !caller.Own(dir) || slices.ContainsFunc(p.Binds, func(b plan.Bind) bool {
		return b.Tmpfs == "" && !b.ReadOnly && (strings.Contains(b.Source, "%") || strings.HasPrefix(dir, strings.TrimSuffix(b.Source, "/")+"/"))
	})
}

// makes says whether a directory is the caller's to make. Root's has to be in his own home: sudo may have left him that of
// the user who called it.
func (c *Compiler) makes(dir string) bool {
	if !c.Caller.Root() {
		return true
	}
	if !strings.HasPrefix(dir, filepath.Clean(c.Caller.Home)+"/") {
		return false
	}
	for {
		st, err := os.Stat(dir)
		if err == nil {
			uid, ok := ownerOf(st)
			return ok && uid == 0
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == "/" {
			return false
		}
		dir = filepath.Dir(dir)
	}
}
