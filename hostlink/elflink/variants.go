package elflink

import (
	"path"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// hideVariants hides what the images have of a library for newer processors: glibc's loader would take that instead of the
// host's plain one, and it is as old as the library that did not do.
func (l *linker) hideVariants() {
	names := map[string]bool{}
	for _, t := range l.fromHost {
		if t.Kind == NeedLibrary {
			names[path.Base(t.Name)] = true
		}
	}
	for _, ld := range l.app.loaders {
		if ld.libc != glibc {
			continue
		}
		for name := range names {
			dirs := ld.dirs
			for _, p := range ld.first[name] {
				dirs = append(dirs[:len(dirs):len(dirs)], path.Dir(p))
			}
			for _, dir := range dirs {
				l.hideVariant(dir, name)
			}
		}
	}
}

func (l *linker) hideVariant(dir, name string) {
	for _, processor := range []string{"x86-64-v2", "x86-64-v3", "x86-64-v4", "power9", "power10", "z13", "z14", "z15", "z16"} {
		above := follow(l.appTree, path.Join(dir, "glibc-hwcaps", processor))
		if above.kind != hostlink.KindDir {
			continue
		}
		at := join(above.path, name)
		if e := l.appTree.entry(at); e.kind != "" && e.source == "" {
			l.nodes[at] = hostlink.Node{Path: at, Kind: hostlink.KindWhiteout}
		}
	}
}
