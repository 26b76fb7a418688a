package hostlink

import (
	"path"
	"strings"
)

// anyDirs stands for any number of components, none included: "var/log/**"
// is var/log and all below it.
const anyDirs = "**"

// glob is a pattern cut into components; each is matched by path.Match.
// It is anchored at the root.
type glob []string

func parseGlob(pattern string) (glob, error) {
	clean, reason := normalise(pattern)
	if reason != "" {
		return nil, &PatternError{Pattern: pattern, Reason: reason}
	}
	g := glob(strings.Split(clean, "/"))
	for _, name := range g {
		if _, err := path.Match(name, ""); err != nil {
			return nil, &PatternError{Pattern: pattern, Reason: err.Error()}
		}
	}
	return g, nil
}

// match backtracks to the last "**" only, which is enough for globs and keeps
// the time quadratic at worst, whatever the pattern.
func (g glob) match(names []string) bool {
	p, n := 0, 0
	star, resume := -1, 0
	for n < len(names) {
		switch {
		case p < len(g) && g[p] == anyDirs:
			star, resume = p, n
			p++
		case p < len(g) && nameMatches(g[p], names[n]):
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	for p < len(g) && g[p] == anyDirs {
		p++
	}
	return p == len(g)
}

func nameMatches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

// rule is a pattern with what to say when it matches.
type rule struct {
	pattern string
	glob    glob
	reason  string
}

// ruleset finds the first matching rule. Rules whose first component is plain
// text are found by it, since most are, and most paths match none.
type ruleset struct {
	byFirst map[string][]rule
	rest    []rule
}

func (s *ruleset) add(pattern, reason string) error {
	g, err := parseGlob(pattern)
	if err != nil {
		return err
	}
	r := rule{pattern: pattern, glob: g, reason: reason}
	if strings.ContainsAny(g[0], `*?[\`) {
		s.rest = append(s.rest, r)
		return nil
	}
	if s.byFirst == nil {
		s.byFirst = make(map[string][]rule)
	}
	s.byFirst[g[0]] = append(s.byFirst[g[0]], r)
	return nil
}

func (s *ruleset) find(names []string) *rule {
	for _, rules := range [][]rule{s.byFirst[names[0]], s.rest} {
		for i := range rules {
			if rules[i].glob.match(names) {
				return &rules[i]
			}
		}
	}
	return nil
}

// Patterns is a list of path patterns: path.Match for each component, ** for any number of components, anchored at the
// root. The zero value matches nothing.
type Patterns struct{ set ruleset }

// ParsePatterns reads patterns. Errors: [*PatternError].
func ParsePatterns(list []string) (*Patterns, error) {
	p := &Patterns{}
	for _, pattern := range list {
		if err := p.set.add(pattern, ""); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Match returns a pattern that matches the path, which has no "." and ".." components; a leading slash makes no difference.
func (p *Patterns) Match(path string) (pattern string, ok bool) {
	path = strings.TrimPrefix(path, "/")
	if p == nil || path == "" {
		return "", false
	}
	if hit := p.set.find(strings.Split(path, "/")); hit != nil {
		return hit.pattern, true
	}
	return "", false
}
