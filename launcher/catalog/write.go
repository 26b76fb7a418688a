package catalog

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"

	"github.com/flake-launcher/flake-launcher/rootfs"
)

// writeFile replaces a file that others are to read. Root's flakes are everybody's, whatever root's umask is; those of an
// ordinary user are as that says.
func writeFile(path string, data []byte) error {
	var opt []renameio.Option
	if rootfs.Privileged() {
		opt = append(opt, renameio.IgnoreUmask())
	}
	return renameio.WriteFile(path, data, 0o644, opt...)
}

// mkdirs makes missing directories, those on the way too; for whom, writeFile says.
func mkdirs(u *undo, dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := mkdirs(u, filepath.Dir(dir)); err != nil {
		return err
	}
	switch err := os.Mkdir(dir, 0o755); {
	case errors.Is(err, os.ErrExist):
		return nil
	case err != nil:
		return err
	}
	u.add(func() error { return os.Remove(dir) })
	if !rootfs.Privileged() {
		return nil
	}
	return os.Chmod(dir, 0o755)
}
