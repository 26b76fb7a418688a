package pkgdb

import (
	"slices"
	"strings"
)

// relation is what one package says of others.
type relation struct {
	name string
	// needs are to be met one by one, each by any of its alternatives.
	needs [][]string
	// provides are further names by which it is needed.
	provides []string
}

// closure adds to the names all packages that they need. What is needed by nobody's name is left out: a database may be
// incomplete by its administrator's will.
func closure(all []relation, names []string) []string {
	byName, byWord := map[string]*relation{}, map[string]string{}
	for i := range all {
		r := &all[i]
		byName[r.name] = r
		for _, word := range r.provides {
			if byWord[word] == "" {
				byWord[word] = r.name
			}
		}
	}
	seen := map[string]bool{}
	todo := slices.Clone(names)
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		r := byName[name]
		if r == nil || seen[name] {
			continue
		}
		seen[name] = true
		for _, alternatives := range r.needs {
			for _, word := range alternatives {
				if byName[word] == nil {
					word = byWord[word]
				}
				if word != "" {
					todo = append(todo, word)
					break
				}
			}
		}
	}
	var out []string
	for name := range seen {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// bare cuts a version off: "glibc>=2.3", "libc6 (>= 2.3)", "python3:any".
func bare(word string) string {
	word = strings.TrimSpace(word)
	if i := strings.IndexAny(word, " (<>=~"); i >= 0 {
		word = word[:i]
	}
	return word
}
