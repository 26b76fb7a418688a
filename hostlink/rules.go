package hostlink

import (
	"fmt"
	"strings"
)

// verdict is why an entry is left out; the zero value lets it pass.
type verdict struct {
	cause  Cause
	reason string
}

func (v verdict) passes() bool { return v.cause == "" }

// rules judges entries by their names alone.
type rules struct {
	never, provided, keep, drop, noise ruleset
}

func newRules(req *Request) (*rules, error) {
	r := &rules{}
	for _, list := range []struct {
		into   *ruleset
		groups []reasoned
	}{
		{&r.never, never},
		{&r.noise, noise},
		{&r.keep, []reasoned{{"", req.Keep}}},
		{&r.drop, []reasoned{{"dropped by the flake", req.Drop}}},
	} {
		for _, group := range list.groups {
			for _, pattern := range group.patterns {
				if err := list.into.add(pattern, group.reason); err != nil {
					return nil, err
				}
			}
		}
	}
	for _, p := range req.Provided {
		clean, reason := normalise(p)
		if reason != "" {
			return nil, &PatternError{Pattern: p, Reason: reason}
		}
		below := literal(clean) + "/" + anyDirs
		if err := r.provided.add(below, "the launcher provides it"); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// literal quotes what path.Match would take for a pattern.
func literal(p string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}

// judge looks at an entry by the name its manifest has for it, and by the
// places where that name leads: on the host and in the image, once they are
// known. A symlink on the way must not bring in what the name would not: an
// entry "a/shadow" with a host where "a" leads to /etc is /etc/shadow.
// Keep patterns apply to the manifest's name.
func (r *rules) judge(entry string, places ...string) verdict {
	all := make([][]string, 0, 1+len(places))
	all = append(all, strings.Split(entry, "/"))
	for _, p := range places {
		if p != entry {
			all = append(all, strings.Split(p, "/"))
		}
	}
	for _, names := range all {
		if reason, ok := mountedAreas[names[0]]; ok {
			return verdict{CauseRefused, reason + whence(entry, names)}
		}
		if hit := r.never.find(names); hit != nil {
			return verdict{CauseRefused, hit.reason + whence(entry, names)}
		}
		if r.provided.find(names) != nil {
			return verdict{CauseProvided, "the launcher provides it" + whence(entry, names)}
		}
	}
	if r.keep.find(all[0]) != nil {
		return verdict{}
	}
	for _, names := range all {
		if hit := r.drop.find(names); hit != nil {
			return verdict{CauseDropped, fmt.Sprintf("dropped by the flake's pattern %q", hit.pattern) + whence(entry, names)}
		}
		if hit := r.noise.find(names); hit != nil {
			return verdict{CauseNoise, fmt.Sprintf("%s (%s)", hit.reason, hit.pattern) + whence(entry, names)}
		}
	}
	return verdict{}
}

func whence(entry string, names []string) string {
	if place := strings.Join(names, "/"); place != entry {
		return fmt.Sprintf(": it leads to %q", "/"+place)
	}
	return ""
}
