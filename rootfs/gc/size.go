package gc

import (
	"io/fs"
	"path/filepath"
	"syscall"
)

// occupied is how many bytes a tree takes on disk, hard links counted once.
// What cannot be read counts nothing: it is a figure for people.
func occupied(root string) int64 {
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	var n int64
	_ = filepath.WalkDir(root, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		fi, err := e.Info()
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok || seen[inode{st.Dev, st.Ino}] {
			return nil
		}
		if st.Nlink > 1 && !fi.IsDir() {
			seen[inode{st.Dev, st.Ino}] = true
		}
		n += st.Blocks * 512
		return nil
	})
	return n
}
