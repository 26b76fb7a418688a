package hostlink

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const placeholderMode = 0o444 // seen by nobody: a host file lies on top

// Resolve finds out which host files the app gets and what its root needs for
// them. It looks at names and metadata of the host, reads no file and changes
// nothing.
//
// A host file takes the place of whatever the image has at the entry's path,
// with symlinks among the parents followed inside the image. Of two entries
// that lead to the same place the first wins. An entry that would hide other
// host files, or a directory of the image behind a symlink to a directory, is
// skipped.
//
// Errors: [*PatternError], or a HostRoot that can't be used. What is wrong with
// a single entry is no error but a [Skip].
func Resolve(req Request) (*Plan, error) {
	rules, err := newRules(&req)
	if err != nil {
		return nil, err
	}
	host, err := req.host()
	if err != nil {
		return nil, fmt.Errorf("open host root: %w", err)
	}
	b := &builder{
		rules: rules, host: host, picture: newPicture(req.Image), plan: &Plan{},
		taken: make(map[string]origin), holds: make(map[string]bool), watch: make(map[string]bool),
	}
	for i := range req.Sources {
		src := &req.Sources[i]
		for _, skip := range src.Manifest.Refused {
			skip.Origin, skip.From = src.Origin, src.Kind
			b.plan.Skipped = append(b.plan.Skipped, skip)
		}
		for _, e := range src.Manifest.Entries {
			b.add(origin{src: src, from: src.Kind, path: e.UnsafePath, line: e.Line})
		}
	}
	b.resolveLinks(req.FollowLinks)
	return b.finish(), nil
}

// origin is where an entry comes from.
type origin struct {
	src  *Source
	from string // the source's kind, or SourceLink
	path string
	line int
	by   string // the entry that a SourceLink comes from
}

type builder struct {
	rules   *rules
	host    *Host
	picture *picture
	plan    *Plan
	taken   map[string]origin // by canonical target
	sources []*Source         // of plan.Linked, one by one
	holds   map[string]bool   // directories with links or nodes below them
	watch   map[string]bool
}

func (b *builder) skip(o origin, cause Cause, reason string) {
	b.plan.Skipped = append(b.plan.Skipped, Skip{
		Path: o.path, Origin: o.src.Origin, Line: o.line, Cause: cause, Reason: reason, From: o.from,
	})
}

// add plans one entry or skips it.
func (b *builder) add(o origin) {
	clean, reason := normalise(o.path)
	if reason != "" {
		o.path = shorten(o.path)
		b.skip(o, CauseRefused, reason)
		return
	}
	o.path = clean
	if v := b.rules.judge(o.path); !v.passes() {
		b.skip(o, v.cause, v.reason)
		return
	}
	if o.src.Barred != "" {
		b.skip(o, CausePolicy, o.src.Barred)
		return
	}
	src, err := walk(b.host, o.path, false)
	if err != nil {
		b.skip(o, CauseUnreadable, "host: "+err.Error())
		return
	}
	b.watchPlace(src)
	switch src.st.kind {
	case kindNone:
		b.skip(o, CauseMissing, "the host has no such file")
		return
	case kindOther:
		b.skip(o, CauseType, "FIFO or device on the host")
		return
	}
	dst, err := walk(b.picture, o.path, false)
	if err != nil {
		b.skip(o, CauseUnreadable, "image: "+err.Error())
		return
	}
	if src.path != o.path || dst.path != o.path {
		if v := b.rules.judge(o.path, src.path, dst.path); !v.passes() {
			b.skip(o, v.cause, v.reason)
			return
		}
	}
	if reason := b.refused(o, src, dst); reason != "" {
		b.skip(o, CausePolicy, reason)
		return
	}
	if first, ok := b.taken[dst.path]; ok {
		b.skip(o, CauseDuplicate, fmt.Sprintf("same place as %q, line %d of %s", first.path, first.line, first.src.Origin))
		return
	}
	if v := b.place(o, src, dst); !v.passes() {
		b.skip(o, v.cause, v.reason)
	}
}

// refused asks the entry's source whether it may have the file.
func (b *builder) refused(o origin, src, dst place) string {
	if o.src.Refuse == nil {
		return ""
	}
	return o.src.Refuse(HostFile{
		Path: o.path, Source: src.path, Target: dst.path, Kind: src.st.kind, Public: b.host.public(src),
	})
}

// place puts the host's file at its target, or says why it can't be there.
func (b *builder) place(o origin, src, dst place) verdict {
	if v := b.checkParents(dst.path); !v.passes() {
		return v
	}
	var v verdict
	switch src.st.kind {
	case KindDir:
		v = b.placeDir(o, src, dst)
	case KindSymlink:
		v = b.placeSymlink(o, src, dst)
	default:
		v = b.placeFile(o, src, dst)
	}
	if !v.passes() {
		return v
	}
	b.taken[dst.path] = o
	b.plan.Linked = append(b.plan.Linked, Linked{
		Path: o.path, Target: "/" + dst.path, Source: b.host.abs(src.path), Kind: src.st.kind,
		Origin: o.src.Origin, Line: o.line, From: o.from, For: o.by,
	})
	b.sources = append(b.sources, o.src)
	return verdict{}
}

// placeFile plans a bind mount, with a mount point if the image has none that fits.
func (b *builder) placeFile(o origin, src, dst place) verdict {
	if b.holds[dst.path] {
		return verdict{CauseConflict, "host files below it are linked already"}
	}
	b.makeParents(o, src.path, dst.path)
	if dst.st.kind != KindFile {
		b.node(o, dst, Node{Kind: KindFile, Mode: placeholderMode})
	}
	b.picture.put(dst.path, src.st.kind, true)
	b.plan.Links = append(b.plan.Links, Link{
		Source: b.host.abs(src.path), Target: "/" + dst.path, Kind: src.st.kind,
	})
	return verdict{}
}

// placeDir makes sure that a directory is there; what it holds is not the
// manifest's matter.
func (b *builder) placeDir(o origin, src, dst place) verdict {
	if dst.st.kind == KindSymlink {
		behind, err := walk(b.picture, dst.path, true)
		if err == nil && behind.st.kind == KindDir {
			return verdict{}
		}
	}
	if dst.st.kind == KindDir {
		return verdict{}
	}
	b.makeParents(o, src.path, dst.path)
	b.node(o, dst, Node{Kind: KindDir, Mode: src.st.mode, UID: src.st.uid, GID: src.st.gid})
	b.picture.put(dst.path, KindDir, false)
	return verdict{}
}

// placeSymlink makes the same symlink, unless the image has it already.
func (b *builder) placeSymlink(o origin, src, dst place) verdict {
	text, err := b.host.readlink(src.path)
	if err != nil {
		return verdict{CauseUnreadable, "host: " + err.Error()}
	}
	if b.holds[dst.path] {
		return verdict{CauseConflict, "host files below it are linked already"}
	}
	if dst.st.kind == KindDir {
		// The manifest's author saw a file here: KIWI lists no links to directories.
		behind, err := walk(b.host, src.path, true)
		if err == nil && behind.st.kind == KindDir {
			return verdict{CauseConflict, "the host has a symlink to a directory where the image has the directory itself"}
		}
	}
	b.makeParents(o, src.path, dst.path)
	if dst.st.kind == KindSymlink {
		if has, err := b.picture.readlink(dst.path); err == nil && has == text {
			return verdict{}
		}
	}
	b.node(o, dst, Node{Kind: KindSymlink, Mode: 0o777, UID: src.st.uid, GID: src.st.gid, Target: text, Mtime: src.st.mtime})
	b.picture.put(dst.path, KindSymlink, false)
	b.picture.texts[dst.path] = text
	return verdict{}
}

// node adds an entry of the own layer at dst.
func (b *builder) node(o origin, dst place, n Node) {
	n.Path = "/" + dst.path
	b.plan.Nodes = append(b.plan.Nodes, n)
	if dst.st.kind != kindNone {
		b.plan.Replaced = append(b.plan.Replaced, Replaced{
			Path: n.Path, Was: dst.st.kind, Now: n.Kind, Origin: o.src.Origin, Line: o.line,
		})
	}
}

// checkParents refuses a place below something that another entry put there.
func (b *builder) checkParents(target string) verdict {
	for _, dir := range parents(target) {
		st, err := b.picture.lstat(dir)
		if err != nil {
			return verdict{CauseUnreadable, "image: " + err.Error()}
		}
		switch {
		case st.kind == KindDir:
			continue
		case st.own:
			return verdict{CauseConflict, fmt.Sprintf("another entry puts a %s at %q", st.kind, "/"+dir)}
		}
		return verdict{}
	}
	return verdict{}
}

// makeParents plans the directories above target that the image lacks, or has
// as something else, with the host's mode and owner.
func (b *builder) makeParents(o origin, source, target string) {
	for _, dir := range parents(target) {
		st, err := b.picture.lstat(dir)
		if err != nil || st.kind != KindDir {
			n := b.hostDir(source, target, dir)
			b.node(o, place{path: dir, st: st}, n)
			b.picture.put(dir, KindDir, false)
		}
		b.holds[dir] = true
	}
}

// hostDir describes a missing directory by its counterpart on the host: the
// directory as far above the source as dir is above the target, if it has the
// same name, else the host's directory of that path.
func (b *builder) hostDir(source, target, dir string) Node {
	counterpart := source
	for range strings.Count(target, "/") - strings.Count(dir, "/") {
		counterpart = parent(counterpart)
	}
	if base(counterpart) != base(dir) {
		counterpart = dir
	}
	at, err := walk(b.host, counterpart, true)
	if err != nil || at.st.kind != KindDir {
		return Node{Kind: KindDir, Mode: 0o755}
	}
	return Node{Kind: KindDir, Mode: at.st.mode, UID: at.st.uid, GID: at.st.gid}
}

// parents returns the directories above p, the topmost first, without the root.
func parents(p string) []string {
	var dirs []string
	for i := 0; i < len(p); i++ {
		if p[i] == '/' {
			dirs = append(dirs, p[:i])
		}
	}
	return dirs
}

func (b *builder) watchPlace(p place) {
	b.watch[p.dir] = true
	for _, dir := range p.via {
		b.watch[dir] = true
	}
}

// finish sorts what has no order of its own, so that equal requests give equal plans.
func (b *builder) finish() *Plan {
	p := b.plan
	slices.SortFunc(p.Links, func(x, y Link) int { return cmp.Compare(x.Target, y.Target) })
	slices.SortFunc(p.Nodes, func(x, y Node) int { return cmp.Compare(x.Path, y.Path) })
	for dir := range b.watch {
		p.Watch = append(p.Watch, b.host.watched(dir))
	}
	slices.SortFunc(p.Watch, func(x, y Watched) int { return cmp.Compare(x.Path, y.Path) })
	return p
}
