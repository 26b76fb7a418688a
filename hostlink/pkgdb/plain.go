package pkgdb

import (
	"slices"
	"strings"
)

// plain is a database that was read as a whole.
type plain struct {
	kind     string
	host     *host
	state    []string
	packages []plainPackage
}

type plainPackage struct {
	relation
	arch  string
	files []string
	conf  []string
}

func (d *plain) Name() string          { return d.kind }
func (d *plain) Fingerprint() []string { return slices.Clone(d.state) }

// Files takes "NAME.ARCH", too, where packages of several architectures can be installed.
func (d *plain) Files(names ...string) (map[string][]string, error) {
	out := map[string][]string{}
	for i := range d.packages {
		p := &d.packages[i]
		for _, name := range names {
			if p.name != name && (p.arch == "" || !strings.HasPrefix(name, p.name) || name != p.name+"."+p.arch) {
				continue
			}
			if out[name] == nil {
				out[name] = []string{}
			}
			out[name] = append(out[name], p.files...)
		}
	}
	return out, missingOf(d, out, names)
}

func (d *plain) Owners(paths []string) (map[string]Owner, error) {
	want, out := wanted(paths), make(map[string]Owner, len(paths))
	for i := range d.packages {
		p := &d.packages[i]
		var mine []string
		for _, f := range p.files {
			if f = d.host.canonical(f); want[f] {
				mine = append(mine, f)
			}
		}
		if len(mine) == 0 {
			continue
		}
		conf := map[string]bool{}
		for _, c := range p.conf {
			conf[d.host.canonical(c)] = true
		}
		for _, f := range mine {
			if _, taken := out[f]; !taken {
				out[f] = Owner{Package: p.name, Config: conf[f]}
			}
		}
	}
	return out, nil
}

// Needs lets a path be needed, as rpm does: "/bin/sh".
func (d *plain) Needs(names ...string) ([]string, error) {
	paths := map[string]bool{}
	for _, p := range d.packages {
		for _, n := range p.needs {
			if strings.HasPrefix(n[0], "/") {
				paths[d.host.canonical(n[0])] = true
			}
		}
	}
	all := make([]relation, len(d.packages))
	for i := range d.packages {
		p := &d.packages[i]
		all[i] = relation{name: p.name, provides: slices.Clone(p.provides)}
		for _, n := range p.needs {
			if strings.HasPrefix(n[0], "/") {
				n = []string{d.host.canonical(n[0])}
			}
			all[i].needs = append(all[i].needs, n)
		}
		if len(paths) == 0 {
			continue
		}
		for _, f := range p.files {
			if f = d.host.canonical(f); paths[f] {
				all[i].provides = append(all[i].provides, f)
			}
		}
	}
	return closure(all, names), nil
}
