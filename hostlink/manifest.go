package hostlink

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// KIWI's largest seen manifest has 451 lines; the whole of a /usr some 400,000.
// The limits leave room for that and bound memory to about 100 MB.
const (
	MaxManifest      = 32 << 20 // the most bytes that a manifest may have
	maxManifestLines = 1_000_000

	maxPath = 4095 // PATH_MAX without its NUL
	maxName = 255  // NAME_MAX

	maxShown = 200 // of a refused name, in reports
)

// Entry is one line of a manifest.
type Entry struct {
	// UnsafePath is relative to the root, without "", "." or ".." components.
	// An image wrote it: it says nothing about where its symlinks lead.
	UnsafePath string
	Line       int // counted from 1
}

// Manifest is what an image asks of the host, in the manifest's order.
// Duplicates are kept; [Resolve] reports them.
type Manifest struct {
	Entries []Entry
	Refused []Skip // lines that name nothing below the root
}

// SystemFiles is the script by which rpm images ask for host files.
const SystemFiles = "/systemfiles"

// RemovedManifests are the places of manifests in an image: KIWI's, and the
// name that older builds gave it.
var RemovedManifests = []string{"/removed", "/vanished"}

// ParseManifest reads a list of removed files as KIWI writes it: one path
// relative to "/" a line, raw bytes, nothing quoted or escaped, so that spaces,
// tabs, backslashes, "#" and a leading "-" belong to the name. A leading "/" or
// "./" is accepted. Empty lines mean nothing. If each line ends in a carriage
// return, the file was written elsewhere and the returns are no part of the
// names. Lines with ".." components, or longer than a path can be, are returned
// as refused.
//
// Errors: [*LimitError], [*ManifestError] (a NUL byte: binary content), or what
// r said. Never reads more than 32 MiB.
func ParseManifest(r io.Reader) (Manifest, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxManifest+1))
	if err != nil {
		return Manifest{}, fmt.Errorf("read manifest: %w", err)
	}
	if len(data) > MaxManifest {
		return Manifest{}, &LimitError{What: "bytes", Limit: MaxManifest}
	}
	lines := bytes.Count(data, []byte{'\n'})
	if lines > maxManifestLines {
		return Manifest{}, &LimitError{What: "lines", Limit: maxManifestLines}
	}
	if nul := bytes.IndexByte(data, 0); nul >= 0 {
		line := 1 + bytes.Count(data[:nul], []byte{'\n'})
		return Manifest{}, &ManifestError{Line: line, Reason: "NUL byte: binary content"}
	}
	return parseLines(string(data), lines+1), nil
}

func parseLines(text string, lines int) Manifest {
	m := Manifest{Entries: make([]Entry, 0, lines)}
	crlf := everyLineEndsInCR(text)
	for n := 1; text != ""; n++ {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if crlf {
			line = strings.TrimSuffix(line, "\r")
		}
		if line == "" {
			continue
		}
		unsafePath, reason := normalise(line)
		if reason != "" {
			m.Refused = append(m.Refused, Skip{Path: shorten(line), Line: n, Cause: CauseRefused, Reason: reason})
			continue
		}
		m.Entries = append(m.Entries, Entry{UnsafePath: unsafePath, Line: n})
	}
	return m
}

func everyLineEndsInCR(text string) bool {
	text = strings.TrimSuffix(text, "\n")
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if !strings.HasSuffix(line, "\r") {
			return false
		}
	}
	return true
}

// normalise returns the path without "" and "." components, or the reason why
// it is refused.
func normalise(unsafePath string) (clean, reason string) {
	if len(unsafePath) > maxPath {
		return "", "longer than a path can be"
	}
	if strings.IndexByte(unsafePath, 0) >= 0 {
		return "", "holds a NUL byte"
	}
	changed := false
	names := 0
	for name := range strings.SplitSeq(unsafePath, "/") {
		switch {
		case name == "" || name == ".":
			changed = true
			continue
		case name == "..":
			return "", `has a ".." component`
		case len(name) > maxName:
			return "", "holds a name longer than a name can be"
		}
		names++
	}
	if names == 0 {
		return "", "names the root itself"
	}
	if !changed {
		return unsafePath, ""
	}
	kept := make([]string, 0, names)
	for name := range strings.SplitSeq(unsafePath, "/") {
		if name != "" && name != "." {
			kept = append(kept, name)
		}
	}
	return strings.Join(kept, "/"), ""
}

func shorten(s string) string {
	if len(s) <= maxShown {
		return s
	}
	return s[:maxShown] + "..."
}
