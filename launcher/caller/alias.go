package caller

import (
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// fileID is what a directory is, whatever its name.
type fileID struct{ dev, ino uint64 }

func identify(path string) (fileID, bool) {
	var st unix.Stat_t
	err := unix.Lstat(path, &st)
	return fileID{st.Dev, st.Ino}, err == nil
}

// aliases are further names of the paths: those under which a bind that the app may write to shows them because one of
// the directories above its source, or above the path, is mounted in more places of the host than one. Of the mounts below
// a bind's source only those above cwd are looked at: a list of all takes too long for each start. All paths are clean and
// lead through no symlink.
func aliases(paths []string, binds []Bind, cwd string, id func(path string) (fileID, bool)) []string {
	known := make(map[string]fileID) // most have the same directories above them
	identity := func(path string) (fileID, bool) {
		if got, ok := known[path]; ok {
			return got, got != fileID{}
		}
		got, ok := id(path)
		known[path] = got
		return got, ok
	}
	below := make(map[fileID][]string) // what leads from a directory to one of the paths
	for _, p := range paths {
		for _, dir := range upwards(p) {
			if got, ok := identity(dir); ok {
				below[got] = append(below[got], p[len(dir):])
			}
		}
		if got, ok := identity("/"); ok {
			below[got] = append(below[got], p)
		}
	}
	var out []string
	for _, b := range slices.Concat(binds, []Bind{{Source: cwd}}) {
		if b.ReadOnly || b.Tmpfs != "" {
			continue
		}
		for _, dir := range upwards(b.Source) {
			got, _ := identity(dir)
			for _, rest := range below[got] {
				if name := dir + rest; !slices.Contains(paths, name) && !slices.Contains(out, name) {
					out = append(out, name)
				}
			}
		}
	}
	return out
}

// upwards lists a path and the directories above it, but for the root.
func upwards(path string) (out []string) {
	for ; len(path) > 1; path = filepath.Dir(path) {
		out = append(out, path)
	}
	return out
}
