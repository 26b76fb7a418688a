package flake

import (
	"fmt"
	"strings"
)

// ShareForm says how an entry of share: is written.
const ShareForm = "write PATH or PATH:ro, with ? behind it where it may be missing; PATH is absolute, or begins with ~/ or %NAME"

// Share is one path of share:. Its fields are those of a bind at start.
type Share struct {
	Source, Target     string
	ReadOnly, Optional bool
	Devices            bool
}

// ParseShare reads PATH[:ro][?] or PATH[?][:ro].
func ParseShare(entry string) (Share, error) {
	var s Share
	rest := entry
	for again := true; again; {
		again = false
		if cut, ok := strings.CutSuffix(rest, "?"); ok && !s.Optional {
			rest, s.Optional, again = cut, true, true
		}
		if cut, ok := strings.CutSuffix(rest, ":ro"); ok && !s.ReadOnly {
			rest, s.ReadOnly, again = cut, true, true
		}
	}
	if rest != "~" && !strings.HasPrefix(rest, "/") && !strings.HasPrefix(rest, "~/") && !strings.HasPrefix(rest, "%") || strings.ContainsAny(rest, "\x00\n") {
		return s, fmt.Errorf("share %q: neither a path nor a name that is known", entry)
	}
	s.Source, s.Target = rest, rest
	return s, nil
}
