package caller

import (
	"path/filepath"
	"slices"
	"strings"
)

// own are the trees that belong to the image whatever the caller has there.
var own = []string{"/usr", "/etc", "/bin", "/sbin", "/opt", "/proc", "/sys", "/dev", "/run", "/var/lib", "/boot",
	"/lib", "/lib32", "/lib64", "/libx32"}

// Own says whether a directory belongs to the image, so that the caller's of that name is not shown when he is in it.
func Own(path string) bool {
	return slices.ContainsFunc(own, func(dir string) bool { return within(path, dir) })
}

// never can't be shown at all, for the app's root would not be the image's.
var never = []string{"/", "/usr", "/etc", "/bin", "/sbin", "/opt", "/run", "/var", "/var/lib", "/boot", "/lib", "/lib32", "/lib64", "/libx32"}

// Never says whether a path can't be the place of a bind: what makes the image, or what the launcher mounts itself.
func Never(target string) bool {
	return slices.Contains(never, target) || within(target, "/proc") || within(target, "/sys") || target == "/dev"
}

// within says whether path is dir or lies below it; both are clean.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir) && path[len(dir)] == '/'
}

// shown says whether the host's directory is seen inside under its own name.
func shown(binds []Bind, real string) bool {
	at := ""
	for _, b := range binds { // the last one that covers it counts
		if within(real, b.Target) {
			at = b.Source + strings.TrimPrefix(real, b.Target)
		}
	}
	return at == real
}

// protect keeps the app away from directories of ours (the store, plans, registrations): where a bind would let it write
// to one, that is bound once more, read-only. The directories on the way are bound to themselves, for what is a mount
// point can't be renamed away from under us.
func protect(binds []Bind, paths []string) []Bind {
	out := slices.Clone(binds)
	done := map[string]bool{}
	for i, b := range binds {
		if b.ReadOnly {
			continue
		}
		for _, p := range paths {
			if within(b.Source, p) {
				out[i].ReadOnly = true
				break
			}
			if !within(p, b.Source) {
				continue
			}
			below := strings.TrimPrefix(strings.TrimPrefix(p, b.Source), "/")
			for n := range len(below) + 1 {
				if n < len(below) && below[n] != '/' {
					continue
				}
				more := Bind{Source: filepath.Join(b.Source, below[:n]), Target: filepath.Join(b.Target, below[:n]), ReadOnly: n == len(below)}
				if !done[more.Target] {
					out = append(out, more)
					done[more.Target] = true
				}
			}
		}
	}
	return out
}
