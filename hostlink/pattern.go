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
type glob []component

type component struct {
	text  string
	plain bool // matches itself alone
}

// magic are the characters that path.Match does not take as they are.
const magic = `*?[\`

func parseGlob(pattern string) (glob, error) {
	clean, reason := normalise(pattern)
	if reason != "" {
		return nil, &PatternError{Pattern: pattern, Reason: reason}
	}
	var g glob
	for name := range strings.SplitSeq(clean, "/") {
		if _, err := path.Match(name, ""); err != nil {
			return nil, &PatternError{Pattern: pattern, Reason: err.Error()}
		}
		g = append(g, component{name, !strings.ContainsAny(name, magic)})
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
		case p < len(g) && g[p].text == anyDirs:
			star, resume = p, n
			p++
		case p < len(g) && g[p].matches(names[n]):
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	for p < len(g) && g[p].text == anyDirs {
		p++
	}
	return p == len(g)
}

func (c component) matches(name string) bool {
	if c.plain {
		return c.text == name
	}
	ok, err := path.Match(c.text, name)
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
	if !g[0].plain {
		s.rest = append(s.rest, r)
		return nil
	}
	if s.byFirst == nil {
		s.byFirst = make(map[string][]rule)
	}
	s.byFirst[g[0].text] = append(s.byFirst[g[0].text], r)
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
