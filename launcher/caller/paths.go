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
	var out []Bind
	for _, b := range binds {
		if slices.ContainsFunc(paths, func(p string) bool { return b.Tmpfs == "" && within(b.Source, p) }) {
			b.ReadOnly = true
		}
		out = append(out, b)
		own := len(out)
		// At once, and so below what comes later and hides it anyway.
		for _, p := range paths {
			if !b.ReadOnly && b.Tmpfs == "" && within(p, b.Source) {
				out = protectBelow(out, own, b, p)
			}
		}
	}
	return out
}

// protectBelow adds the binds that keep p, which lies below b's source; those that b has already begin at own.
func protectBelow(out []Bind, own int, b Bind, p string) []Bind {
	below := strings.TrimPrefix(strings.TrimPrefix(p, b.Source), "/")
	for n := range len(below) + 1 {
		if n < len(below) && below[n] != '/' {
			continue
		}
		more := Bind{Source: filepath.Join(b.Source, below[:n]), Target: filepath.Join(b.Target, below[:n]), ReadOnly: n == len(below)}
		if !slices.ContainsFunc(out[own:], func(o Bind) bool { return o.Target == more.Target }) {
			out = append(out, more)
		}
	}
	return out
}
