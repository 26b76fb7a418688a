package elflink

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// need is a problem in the words of the report.
func (p *problem) need() Need {
	return Need{File: p.by.path, Kind: p.kind, Name: p.name, Versions: p.versions}
}

func (p *problem) why() Why {
	switch {
	case p.family:
		return WhyFamily
	case p.foreign, p.kind == NeedInterpreter && p.has != nil:
		return WhyForeign
	case p.has != nil:
		return WhyOld
	}
	return WhyAbsent
}

// fix takes from the host what mends a problem, in two steps: first the file at its own place, and if the loader does not
// find it there, a symlink at the place where it looks. It says whether it did something.
func (l *linker) fix(p problem) bool {
	h, reason := l.fromHostFor(&p)
	if h == nil {
		return l.miss(&p, reason)
	}
	way := entriesOf(&p, h)
	if reason := l.clash(&p, way, h); reason != "" {
		return l.miss(&p, reason)
	}
	added := false
	for _, e := range way {
		added = l.take(&p, e, h) || added
	}
	if added || len(l.fresh) > 0 && l.appTree.placed[h.source] == "" && l.skip(way) == "" {
		return true
	}
	return l.point(&p, h, way)
}

func (l *linker) miss(p *problem, reason string) bool {
	return l.missed(p, Missing{Reason: reason})
}

func (l *linker) missed(p *problem, m Missing) bool {
	m.Need = p.need()
	if p.has != nil {
		m.Has = p.has.path
	}
	l.missing[m.File+"\x00"+m.Name+"\x00"+strings.Join(m.Versions, " ")] = m
	return false
}

// fromHostFor finds what the host has for a need, and that satisfies it.
func (l *linker) fromHostFor(p *problem) (*found, string) {
	if p.l == nil {
		return l.scriptNeed(p)
	}
	h := l.hostObject(p)
	switch {
	case h == nil && p.family:
		return nil, "the host's C library has none"
	case h == nil && p.has != nil:
		return nil, fmt.Sprintf("the images' %s, and the host has none", p.shortcoming())
	case h == nil:
		return nil, "neither the images nor the host have it"
	}
	if lacks := h.obj.lacks(p.by.obj.versionsOf(p.name)); len(lacks) > 0 && !p.family {
		p.versions = lacks
		if p.has == nil {
			return nil, "the images have none, and the host's is too old"
		}
		return nil, fmt.Sprintf("the images' %s, and the host's is too old", p.shortcoming())
	}
	if isGlibc(baseOf(p.name)) && p.l.libc == glibc {
		if lost := l.olderGlibc(p.l); len(lost) > 0 {
			return nil, fmt.Sprintf("the host's C library is older than the images': it lacks %s", lost[len(lost)-1])
		}
	}
	return h, ""
}

func (p *problem) shortcoming() string {
	switch {
	case p.foreign:
		return "belongs to another C library"
	case len(p.versions) > 0:
		return "lacks " + strings.Join(p.versions, ", ")
	}
	return "can't be used"
}

func (l *linker) hostObject(p *problem) *found {
	ld := l.host.loader(p.l.interp, &object{class: p.l.class, machine: p.l.machine})
	if p.kind == NeedInterpreter {
		return ld.at
	}
	h := l.host.find(ld, p.name, l.onHost(p.by.by))
	if h == nil {
		return nil
	}
	if libc := h.obj.family(); libc != "" && libc != p.l.libc {
		return nil
	}
	return h
}

// onHost are those of the requesters that are files of the host, as they are there.
func (l *linker) onHost(by []*requester) []*requester {
	var out []*requester
	for _, r := range by {
		if r.source != "" {
			out = append(out, &requester{obj: r.obj, origin: dirOf(l.hostTree.below(r.source))})
		}
	}
	return out
}

// entriesOf are the entries that bring a host file with the symlinks that lead to it. What is needed by path comes by that
// path, whatever the host's directories lead to.
func entriesOf(p *problem, h *found) []string {
	way := append(slices.Clone(h.hops), h.path)
	if path.IsAbs(p.name) {
		way[0] = path.Clean(p.name)
	}
	return way
}

// take makes an entry of the manifest, unless it is one already.
func (l *linker) take(p *problem, entry string, h *found) bool {
	name := strings.TrimPrefix(entry, "/")
	if l.taken[name] || l.appTree.placed[l.hostTree.source(entry)] != "" {
		return false
	}
	l.taken[name] = true
	l.fresh = append(l.fresh, hostlink.Entry{UnsafePath: name})
	t := Taken{Need: p.need(), Line: len(l.taken), Path: name, Host: l.hostTree.source(entry), Why: p.why()}
	if p.has != nil {
		t.Has = p.has.path
		t.Lost = lost(p.has.obj, h.obj)
	}
	l.fromHost = append(l.fromHost, t)
	return true
}

// lost are versions that programs of the images may need, and no longer find.
func lost(was, is *object) []string {
	if was == nil || is == nil || len(is.defs) == 0 {
		return nil
	}
	return slices.DeleteFunc(is.lacks(was.defs), func(v string) bool { return v == was.soname || v == "GLIBC_PRIVATE" })
}

// clash says why the host's file can't be put at its place: the images have one there that belongs to another C library,
// and its users would no longer start.
func (l *linker) clash(p *problem, way []string, h *found) string {
	if p.kind != NeedLibrary || h.obj.family() == "" {
		return ""
	}
	libc := h.obj.family()
	for _, e := range way {
		there := l.app.object(e)
		if there == nil || there.source != "" {
			continue
		}
		if other := there.obj.family(); other != "" && other != libc {
			return fmt.Sprintf("the host's would take the place of %s, which belongs to another C library", there.path)
		}
	}
	return ""
}

// skip is why the file at the end of a way was not linked.
func (l *linker) skip(way []string) string {
	return l.skipped[strings.TrimPrefix(way[len(way)-1], "/")]
}

// point makes a symlink to a host file that is linked, but not where it is looked for.
func (l *linker) point(p *problem, h *found, way []string) bool {
	to := l.appTree.placed[h.source]
	if to == "" {
		return l.miss(p, "the host has it, but it can't be linked: "+l.skip(way))
	}
	at := l.lookedFor(p)
	switch {
	case l.nodes[at].Path != "", at == to:
		return l.miss(p, fmt.Sprintf("the host's is at %s, where it is not found", to))
	case p.has != nil && p.has.source != "":
		return l.miss(p, fmt.Sprintf("%s is of the host, too, and does not do", p.has.path))
	case p.foreign:
		return l.miss(p, fmt.Sprintf("%s, which belongs to another C library, is found first", p.has.path))
	}
	n := hostlink.Node{Path: at, Kind: hostlink.KindSymlink, Mode: 0o777, Target: to}
	l.nodes[at] = n
	t := Taken{Need: p.need(), Path: at, Host: to, Why: p.why()}
	if p.has != nil {
		t.Has, t.Lost = p.has.path, lost(p.has.obj, h.obj)
	}
	l.fromHost = append(l.fromHost, t)
	return true
}

// lookedFor is the place where a need is looked for: where the one that does not do was found, else the first directory
// of the search that is there.
func (l *linker) lookedFor(p *problem) string {
	name := p.name
	if p.has != nil {
		name = p.has.as
	}
	if path.IsAbs(name) {
		return join(follow(l.appTree, path.Dir(name)).path, path.Base(name))
	}
	dirs := l.req.Path
	if p.l != nil {
		dirs = p.l.dirs
	}
	if len(dirs) == 0 {
		dirs = []string{"/usr/lib"}
	}
	dir := dirs[0]
	for _, d := range dirs {
		if follow(l.appTree, d).kind == hostlink.KindDir {
			dir = d
			break
		}
	}
	return join(follow(l.appTree, dir).path, path.Base(name))
}
