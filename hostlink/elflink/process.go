package elflink

import (
	"path"
	"slices"
)

// maxMembers is how many objects one process may load.
const maxMembers = 2048

// member is an object in a process.
type member struct {
	*found
	by   []*requester // who brought it in, itself first
	need string       // the name by which it was needed first
	from *member      // who needed it first
}

// problem is a need that the tree does not satisfy.
type problem struct {
	kind     NeedKind
	by       *member
	l        *loader // nil for scripts
	name     string
	versions []string // that the one that is there lacks
	has      *found   // what the loader takes; nil: nothing
	foreign  bool     // has is of another C library
	family   bool     // has would do, but is of another build of the C library
}

// process is what a loader makes of one file: a program, or a library that some program may load.
type process struct {
	s        *side
	l        *loader
	members  []*member
	names    map[string]*member // nil: looked for in vain
	files    map[string]*member
	problems []problem
}

// start loads a file as its loader would, in the loader's order: breadth first, and a name that is loaded already is never
// searched again.
func (s *side) start(f *found) *process {
	p := &process{s: s, names: make(map[string]*member), files: make(map[string]*member)}
	if !f.obj.dynamic || len(f.obj.needed) == 0 && f.obj.interp == "" {
		return p // static, or the loader itself
	}
	p.l = s.loaderOf(f.obj)
	root := &member{found: f}
	root.by = []*requester{{obj: f.obj, origin: dirOf(f.path), source: f.source}}
	p.add(root)
	p.startLoader(root)
	for i := 0; i < len(p.members); i++ {
		for _, name := range p.members[i].obj.needed {
			p.load(p.members[i], name)
		}
	}
	if p.l.libc == glibc { // musl knows no versions
		for _, m := range p.members {
			p.checkVersions(m)
		}
	}
	return p
}

func (p *process) add(m *member) {
	p.members = append(p.members, m)
	p.files[m.key()] = m
	if m.obj.soname != "" {
		if _, ok := p.names[m.obj.soname]; !ok {
			p.names[m.obj.soname] = m
		}
	}
}

// startLoader makes the loader a member of the process: libraries need versions of it.
func (p *process) startLoader(root *member) {
	if p.l.at == nil {
		if root.obj.interp != "" {
			p.problems = append(p.problems, problem{kind: NeedInterpreter, by: root, l: p.l, name: root.obj.interp, has: p.s.object(root.obj.interp)})
		}
		return
	}
	m := &member{found: p.l.at, need: p.l.interp, from: root}
	m.by = []*requester{{obj: m.obj, origin: dirOf(m.path), source: m.source}}
	if _, ok := p.files[m.key()]; !ok {
		p.add(m)
	}
	p.names[path.Base(p.l.interp)] = m
}

func (p *process) load(by *member, name string) {
	if m, ok := p.names[name]; ok && (m != nil || !p.ownPaths(by)) {
		return
	}
	f := p.s.find(p.l, name, by.by)
	if f == nil {
		if _, ok := p.names[name]; !ok {
			p.problems = append(p.problems, problem{kind: NeedLibrary, by: by, l: p.l, name: name})
			p.names[name] = nil
		}
		return
	}
	if m, ok := p.files[f.key()]; ok {
		p.names[name] = m
		return
	}
	if libc := f.obj.family(); libc != "" && libc != p.l.libc {
		p.problems = append(p.problems, problem{kind: NeedLibrary, by: by, l: p.l, name: name, has: f, foreign: true})
		p.names[name] = nil
		return
	}
	if len(p.members) >= maxMembers {
		p.s.err = &LimitError{What: "libraries of one program", Limit: maxMembers}
		return
	}
	m := &member{found: f, need: name, from: by}
	m.by = slices.Concat([]*requester{{obj: f.obj, origin: path.Dir(f.as), source: f.source}}, by.by)
	p.names[name] = m
	p.add(m)
}

// ownPaths says whether a search for this object is another than the one for others.
func (p *process) ownPaths(by *member) bool { return len(p.l.runPaths(by.by)) > 0 }

func (p *process) checkVersions(m *member) {
	for _, need := range m.obj.needs {
		t := p.names[need.file]
		if t == nil {
			continue // reported already
		}
		if lacks := t.obj.lacks(need.versions); len(lacks) > 0 {
			p.problems = append(p.problems, problem{kind: NeedLibrary, by: m, l: p.l, name: need.file, versions: lacks, has: t.found})
		}
	}
}
