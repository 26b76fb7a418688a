package hostlink

import "strings"

// resolveLinks looks at each symlink that was linked: real manifests lack the targets that another package of the build
// host owned. With follow, what such a symlink needs and only the host has is linked as well where the symlink may bring
// it in; what is left is reported as dangling. See decisions/0006.
func (b *builder) resolveLinks(follow bool) {
	for i := 0; i < len(b.plan.Linked); i++ { // followed ones are added, and have their turn
		l := b.plan.Linked[i]
		if l.Kind != KindSymlink {
			continue
		}
		for range maxSymlinks {
			d, there := b.dangling(l)
			if there {
				break
			}
			d.Reason = "host_files.follow_links is off"
			if follow {
				d.Cause, d.Reason = b.follow(l, b.sources[i], strings.TrimPrefix(d.Missing, "/"))
			}
			if d.Reason != "" {
				b.plan.Dangling = append(b.plan.Dangling, d)
				break
			}
		}
	}
}

// dangling finds what a linked symlink lacks in the app's root, if the host has it.
func (b *builder) dangling(l Linked) (d Dangling, there bool) {
	inside, err := walk(b.picture, strings.TrimPrefix(l.Target, "/"), true)
	if err != nil || inside.st.kind != kindNone {
		return d, true
	}
	// What the launcher mounts or writes is there at run time.
	if v := b.rules.judge(inside.path); v.cause == CauseProvided || v.cause == CauseRefused {
		return d, true
	}
	outside, err := walk(b.host, inside.path, true)
	if err != nil {
		return d, true
	}
	b.watchPlace(outside)
	if outside.st.kind == kindNone {
		return d, true
	}
	text, err := b.picture.readlink(strings.TrimPrefix(l.Target, "/"))
	if err != nil {
		return d, true
	}
	return Dangling{Path: l.Target, Target: text, Missing: "/" + inside.path, Origin: l.Origin, Line: l.Line, From: l.From}, false
}

// follow links what a symlink needs, or says why not.
func (b *builder) follow(l Linked, src *Source, missing string) (cause Cause, reason string) {
	told := func(cause Cause, reason string) (Cause, string) { return cause, string(cause) + ": " + reason }
	if v := b.rules.judge(missing); !v.passes() {
		return told(v.cause, v.reason)
	}
	place := strings.TrimPrefix(l.Target, "/")
	if top := linkScope(place); top == "" || !strings.HasPrefix(missing, top+"/") {
		return "", "it lies elsewhere than the link"
	}
	if at, err := walk(b.host, missing, false); err == nil && at.st.kind == KindDir {
		return "", "a directory on the host: what it holds is not linked"
	}
	linked, skipped := len(b.plan.Linked), len(b.plan.Skipped)
	b.add(origin{src: src, from: SourceLink, path: missing, line: l.Line, by: l.Path})
	if len(b.plan.Linked) > linked {
		return "", ""
	}
	if len(b.plan.Skipped) == skipped {
		return "", "it can't be linked"
	}
	last := b.plan.Skipped[skipped]
	b.plan.Skipped = b.plan.Skipped[:skipped] // told by the dangling link
	return told(last.Cause, last.Reason)
}

// linkScope is the directory below which a symlink's target has to lie to be followed: the first two components of the
// symlink's own directory (etc/ssl, usr/lib), or the one that there is. Nothing is followed from the root itself.
func linkScope(link string) string {
	dir := parent(link)
	if first := strings.IndexByte(dir, '/'); first >= 0 {
		if second := strings.IndexByte(dir[first+1:], '/'); second >= 0 {
			return dir[:first+1+second]
		}
	}
	return dir
}
