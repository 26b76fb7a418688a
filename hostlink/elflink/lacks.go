package elflink

import (
	"slices"
)

// Lacks tells what the files of a request need and nothing in the app's root satisfies, as it is with what is linked. It
// brings in nothing: where the host has what is missing, that is said.
//
// Programs count with all that they load, and scripts that lie where the app looks for programs. A library that none of
// them loads may belong to a program that has what it needs: of such, only names count that no linked file has.
//
// Errors are a [*LimitError] for images beyond all measure.
func Lacks(req Request) ([]Missing, error) {
	l, err := newLinker(req)
	if err != nil {
		return nil, err
	}
	l.missing, l.used = make(map[string]Missing), make(map[string]Use)
	l.answer = l.lack
	programs, libraries := l.sortRoots()
	loaded := map[string]bool{}
	for _, f := range programs {
		p := l.app.start(f)
		for _, m := range p.members {
			loaded[m.key()] = true
		}
		for _, problem := range p.problems {
			l.lack(problem)
		}
	}
	names := map[string]bool{}
	for _, place := range l.appTree.placed {
		names[baseOf(place)] = true
	}
	for _, f := range libraries {
		if loaded[f.key()] {
			continue
		}
		for _, problem := range l.app.start(f).problems {
			if problem.has != nil || !names[baseOf(problem.name)] {
				l.lack(problem)
			}
		}
	}
	for _, s := range l.scripts() {
		if slices.Contains(l.req.Path, dirOf(s.at.path)) {
			l.script(s)
		}
	}
	return sortedMissing(l.missing), l.limit()
}

// lack is fix that does nothing.
func (l *linker) lack(p problem) bool {
	h, reason := l.fromHostFor(&p)
	if h == nil {
		return l.miss(&p, reason)
	}
	return l.missed(&p, Missing{Host: h.source, Reason: "only the host has it, and nobody asks for that"})
}
