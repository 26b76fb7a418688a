package elflink

import "slices"

// olderGlibc returns the versions that the images' C library has and the host's lacks: what the images' programs may need.
func (l *linker) olderGlibc(ld *loader) []string {
	const name = "libc.so.6"
	image := l.app.find(ld, name, nil)
	host := l.host.find(l.host.loader(ld.interp, &object{class: ld.class, machine: ld.machine}), name, nil)
	if image == nil || image.source != "" || host == nil {
		return nil
	}
	return lost(image.obj, host.obj)
}

// oneFamily makes all parts of glibc come from the host when one of them does.
func (l *linker) oneFamily(ld *loader) (again bool) {
	if ld.libc != glibc {
		return false
	}
	var parts []*found
	var first *found // of the host
	add := func(f *found) {
		if f == nil {
			return
		}
		parts = append(parts, f)
		if first == nil && f.source != "" {
			first = f
		}
	}
	add(ld.at)
	for _, name := range glibcMembers {
		add(l.app.find(ld, name, nil))
	}
	if first == nil || !slices.ContainsFunc(parts, func(f *found) bool { return f.source == "" }) {
		return false
	}
	by := &member{found: first}
	for _, f := range parts {
		if f.source != "" {
			continue
		}
		p := problem{kind: NeedLibrary, by: by, l: ld, name: baseOf(f.as), has: f, family: true}
		if f == ld.at {
			p.kind, p.name = NeedInterpreter, ld.interp
		} else if l.hostObject(&p) == nil {
			continue // what the images' C library had and the host's has not is of no use to host files
		}
		again = l.answer(p) || again
	}
	return again
}
