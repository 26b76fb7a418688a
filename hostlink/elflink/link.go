package elflink

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// SourceOrigin is the origin of the manifest that [Link] makes, in reports.
const SourceOrigin = "libraries"

// Request is what [Link] works on.
type Request struct {
	// Image are base, layers and delta, without the flake's own layer.
	Image    Image
	HostRoot string // empty: "/"
	// Host is what was seen of HostRoot for this plan already. Nil: nothing.
	Host *hostlink.Host
	// Linked is what is laid over the images already; it is not changed.
	Linked *hostlink.Plan
	// Files are those of Linked to look at, by their places in the app's root. Nil: all.
	Files []string
	// Path are the directories in which the app looks for programs. Nil: the usual ones.
	Path []string
	// Provided, Keep and Drop are those of the [hostlink.Request] that Linked came of.
	Provided, Keep, Drop []string
}

// Result is what the files of a request need besides.
type Result struct {
	// Sources are to be resolved together with the manifests of the request; there are none where nothing is needed.
	Sources []hostlink.Source
	// Nodes are symlinks to libraries of the host in directories that the loader searches; see [Result.AddNodes].
	Nodes  []hostlink.Node
	Report Report
}

// Link finds out which libraries, loaders and interpreters the linked host files need, looks for them in the images as
// their loader will, and takes from the host what is missing there or too old, with all that this needs in turn.
//
// A need that nobody satisfies is no error but in the report. Errors are a [*LimitError] for images beyond all measure,
// and what [hostlink.Resolve] returns.
func Link(req Request) (*Result, error) {
	l, err := newLinker(req)
	if err != nil {
		return nil, err
	}
	for {
		again := l.pass()
		if err := l.limit(); err != nil {
			return nil, err
		}
		if !again {
			return l.result(), nil
		}
		if err := l.lay(); err != nil {
			return nil, err
		}
	}
}

// AddNodes puts the nodes into the plan that the sources were resolved to, in the place of what it has there.
func (r *Result) AddNodes(p *hostlink.Plan) {
	ours := map[string]bool{}
	for _, n := range r.Nodes {
		ours[n.Path] = true
	}
	p.Nodes = slices.DeleteFunc(p.Nodes, func(n hostlink.Node) bool { return ours[n.Path] })
	p.Links = slices.DeleteFunc(p.Links, func(l hostlink.Link) bool { return ours[l.Target] })
	p.Dangling = slices.DeleteFunc(p.Dangling, func(d hostlink.Dangling) bool { return ours[d.Path] })
	p.Nodes = append(p.Nodes, r.Nodes...)
	slices.SortFunc(p.Nodes, func(x, y hostlink.Node) int { return cmp.Compare(x.Path, y.Path) })
}

type linker struct {
	req       Request
	app, host *side
	appTree   *appTree
	hostTree  *hostTree

	answer  func(problem) (again bool) // to what is missing
	roots   []string
	fresh   []hostlink.Entry // not laid yet
	taken   map[string]bool  // paths of entries
	skipped map[string]string
	nodes   map[string]hostlink.Node

	fromHost []Taken
	missing  map[string]Missing
	used     map[string]Use
	shebangs map[string]script
}

func newLinker(req Request) (*linker, error) {
	host, err := newHostTree(req.Host, req.HostRoot)
	if err != nil {
		return nil, fmt.Errorf("open host root: %w", err)
	}
	if req.Path == nil {
		req.Path = usualPath
	}
	app := newAppTree(req.Image)
	l := &linker{
		req: req, appTree: app, hostTree: host, app: newSide(app, app.names), host: newSide(host, host.names),
		taken: make(map[string]bool), skipped: make(map[string]string), nodes: make(map[string]hostlink.Node), shebangs: make(map[string]script),
	}
	l.host.conf = true
	l.answer = l.fix
	if req.Linked != nil {
		app.lay(req.Linked.Links, req.Linked.Nodes)
	}
	l.roots = slices.Clone(req.Files)
	if req.Files == nil && req.Linked != nil {
		for _, link := range req.Linked.Links {
			l.roots = append(l.roots, link.Target)
		}
	}
	return l, nil
}

func (l *linker) limit() error {
	if err := l.app.limit(); err != nil {
		return err
	}
	return l.host.limit()
}

// lay resolves the new entries over what is there, as they will be in the end.
func (l *linker) lay() error {
	src := hostlink.Source{Origin: SourceOrigin, Kind: hostlink.SourceLibrary, Manifest: hostlink.Manifest{Entries: l.fresh}}
	plan, err := hostlink.Resolve(hostlink.Request{
		Sources: []hostlink.Source{src}, HostRoot: l.req.HostRoot, Host: l.hostTree.host, Image: l.appTree,
		Provided: l.req.Provided, Keep: l.req.Keep, Drop: l.req.Drop,
	})
	if err != nil {
		return err
	}
	l.fresh = nil
	for _, s := range plan.Skipped {
		l.skipped[s.Path] = s.Reason
	}
	nodes := plan.Nodes
	for _, n := range l.nodes {
		nodes = append(nodes, n)
	}
	l.appTree.lay(plan.Links, nodes)
	for _, link := range plan.Links {
		l.roots = append(l.roots, link.Target)
	}
	l.app.forget()
	return nil
}

// pass looks at all files once, and says whether something was added, so that another look is needed.
func (l *linker) pass() (again bool) {
	l.missing, l.used = make(map[string]Missing), make(map[string]Use)
	todo, libraries := l.sortRoots()
	loaders := map[*loader]bool{}
	loaded := map[string]bool{}
	for _, f := range todo {
		again = l.process(f, loaders, loaded) || again
	}
	for _, f := range libraries {
		if !loaded[f.key()] { // else a program has loaded it, by its own search path
			again = l.process(f, loaders, loaded) || again
		}
	}
	for _, s := range l.scripts() {
		again = l.script(s) || again
	}
	for _, ld := range sortedLoaders(loaders) {
		again = l.oneFamily(ld) || again
	}
	return again
}

func sortedLoaders(set map[*loader]bool) []*loader {
	var out []*loader
	for ld := range set {
		out = append(out, ld)
	}
	slices.SortFunc(out, func(x, y *loader) int {
		return cmp.Or(cmp.Compare(x.interp, y.interp), cmp.Compare(x.machine, y.machine), cmp.Compare(x.class, y.class))
	})
	return out
}

// process loads one file and mends what can be mended.
func (l *linker) process(f *found, loaders map[*loader]bool, loaded map[string]bool) (again bool) {
	p := l.app.start(f)
	if p.l != nil {
		loaders[p.l] = true
	}
	for _, m := range p.members {
		loaded[m.key()] = true
		if m.source == "" && m.from != nil && m.from.source != "" {
			kind := NeedLibrary
			if m.need == p.l.interp {
				kind = NeedInterpreter
			}
			l.use(Need{File: m.from.path, Kind: kind, Name: m.need}, m.path)
		}
	}
	for _, problem := range p.problems {
		again = l.answer(problem) || again
	}
	return again
}

func (l *linker) use(n Need, path string) {
	if key := n.Name + "\x00" + path; l.used[key].Path == "" {
		l.used[key] = Use{Need: n, Path: path}
	}
}

// sortRoots divides the files into programs and libraries. What is neither is left out.
func (l *linker) sortRoots() (programs, libraries []*found) {
	slices.Sort(l.roots)
	l.roots = slices.Compact(l.roots)
	for _, place := range l.roots {
		if !l.mayBeObject(place) {
			continue
		}
		f := l.app.object(place)
		switch {
		case f == nil:
		case f.obj.interp != "":
			programs = append(programs, f)
		default:
			libraries = append(libraries, f)
		}
	}
	return programs, libraries
}

// mayBeObject saves the opening of thousands of files.
func (l *linker) mayBeObject(place string) bool {
	e := l.appTree.entry(place)
	return e.kind == hostlink.KindFile && e.source != "" && (e.mode&0o111 != 0 || strings.Contains(baseOf(place), ".so"))
}

func (l *linker) result() *Result {
	r := &Result{}
	l.hideVariants()
	var m hostlink.Manifest
	m.Entries, r.Report.Host = l.linked()
	if len(m.Entries) > 0 {
		r.Sources = []hostlink.Source{{Origin: SourceOrigin, Kind: hostlink.SourceLibrary, Manifest: m}}
	}
	for _, n := range l.nodes {
		r.Nodes = append(r.Nodes, n)
	}
	slices.SortFunc(r.Nodes, func(x, y hostlink.Node) int { return cmp.Compare(x.Path, y.Path) })
	for _, u := range l.used {
		r.Report.Used = append(r.Report.Used, u)
	}
	slices.SortFunc(r.Report.Used, func(x, y Use) int {
		return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Path, y.Path))
	})
	r.Report.Missing = sortedMissing(l.missing)
	return r
}

// linked are the entries, numbered anew, without those that are never linked, which are among what is missing, and those
// that a node takes the place of.
func (l *linker) linked() (entries []hostlink.Entry, taken []Taken) {
	for _, t := range l.fromHost {
		at := join(follow(l.appTree, dirOf("/"+t.Path)).path, baseOf(t.Path))
		if t.Line > 0 && (l.skipped[t.Path] != "" || l.nodes[at].Path != "") {
			continue
		}
		if t.Line > 0 {
			t.Line = len(entries) + 1
			entries = append(entries, hostlink.Entry{UnsafePath: t.Path, Line: t.Line})
		}
		taken = append(taken, t)
	}
	return entries, taken
}

func sortedMissing(set map[string]Missing) []Missing {
	var out []Missing
	for _, m := range set {
		out = append(out, m)
	}
	slices.SortFunc(out, func(x, y Missing) int {
		return cmp.Or(cmp.Compare(x.File, y.File), cmp.Compare(x.Name, y.Name), slices.Compare(x.Versions, y.Versions))
	})
	return out
}
