package caller

import (
	"os"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// Source is where a bind comes from: the path that is named, and the one it leads to, "" where nothing is there.
type Source struct{ Path, Real string }

// Always is what a plan becomes wherever its caller is, as long as the same is found on the host.
type Always struct {
	// Moment has no directory of the caller's: Cwd is the plan's.
	Moment
	// Plain are its Binds without those that protect.
	Plain []Bind
	// Sources of the plan's binds, as they were found.
	Sources []Source
	// Protected are the plan's, under all their names, and whether they are there.
	Protected []Found
	// Named are the directories above sources and what is protected, as they were found: others make other names.
	Named []Named
}

// Named is what a directory is under its name. Ours says that it lies above something protected, or is that.
type Named struct {
	Path     string
	Dev, Ino uint64
	Ours     bool
}

// Found is a path of the host, and whether it is there.
type Found struct {
	Path  string
	There bool
}

// Before is [At] for a plan that is about to be written, less the caller's own directory. Lookup sees the variables that the
// plan is bound to; ok is false where it depends on others.
func Before(p *plan.Plan, lookup func(string) (string, bool)) (a *Always, ok bool, err error) {
	ok = !p.CwdVars
	bound := func(name string) (string, bool) {
		value, known := lookup(name)
		ok = ok && known
		return value, known
	}
	if !ok {
		return nil, false, nil
	}
	a = &Always{Moment: Moment{Cwd: Cwd{Path: p.Cwd, Make: true}}}
	for _, b := range p.Binds {
		seen, err := a.add(b, bound)
		if !ok {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, err
		}
		if seen.Path != "" {
			a.Sources = append(a.Sources, seen)
		}
	}
	a.Plain = a.Binds
	a.Named = a.named(p)
	for _, path := range a.ours(p) {
		_, err := os.Lstat(path)
		a.Protected = append(a.Protected, Found{path, err == nil})
	}
	return a, ok, a.complete(p)
}

func (m *Moment) named(p *plan.Plan) []Named {
	var out []Named
	seen := map[string]bool{}
	add := func(path string, ours bool) {
		if id, ok := identify(path); ok && !seen[path] {
			seen[path] = true
			out = append(out, Named{path, id.dev, id.ino, ours})
		}
	}
	for _, path := range p.Protect {
		add("/", true)
		for _, dir := range upwards(path) {
			add(dir, true)
		}
	}
	for _, b := range m.Binds {
		for _, dir := range upwards(b.Source) {
			add(dir, false)
		}
	}
	return out
}

// Owned are the trees that belong to the image: see [Own].
func Owned() []string { return own }
