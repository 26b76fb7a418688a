package elflink

import (
	"fmt"
	"strings"
)

// NeedKind is what kind of thing a file needs.
type NeedKind string

// The kinds of needs.
const (
	NeedLibrary     NeedKind = "library"
	NeedInterpreter NeedKind = "interpreter" // of a program or script, by path
	NeedProgram     NeedKind = "program"     // by name, through env
)

// Need is one thing that one file needs. File is its place in the app's root.
type Need struct {
	File     string   `json:"file"`
	Kind     NeedKind `json:"kind"`
	Name     string   `json:"name"`
	Versions []string `json:"versions,omitempty"`
}

func (n Need) String() string {
	if len(n.Versions) > 0 {
		return fmt.Sprintf("%s needs %s of %s", n.File, strings.Join(n.Versions, ", "), n.Name)
	}
	return fmt.Sprintf("%s needs %s", n.File, n.Name)
}

// Use is a need of a host file that the images satisfy, with what at Path.
type Use struct {
	Need
	Path string `json:"path"`
}

// Why says why something comes from the host.
type Why string

// The reasons, which end a sentence about the images.
const (
	WhyAbsent  Why = "the images have none"
	WhyOld     Why = "the images' lacks a version"
	WhyForeign Why = "the images' belongs to another C library"
	WhyFamily  Why = "the C library comes from the host, and its parts have to be of one build"
)

// Taken is an entry of the manifest of libraries, with the reason for it. Line is the entry's there; 0 is a node.
type Taken struct {
	Need
	Line int    `json:"line,omitempty"`
	Path string `json:"path"`           // as the manifest has it; of a node its place
	Host string `json:"host,omitempty"` // file of the host; of a node what it leads to
	Why  Why    `json:"why"`
	// Has is what the images have there, and Lost are versions of it that the host's lacks: what needs them will not start.
	Has  string   `json:"has,omitempty"`
	Lost []string `json:"lost,omitempty"`
}

func (t Taken) String() string {
	s := fmt.Sprintf("%v: %s", t.Need, t.Why)
	if len(t.Lost) > 0 {
		s += fmt.Sprintf("; the host's lacks %s, which the images' has", strings.Join(t.Lost, ", "))
	}
	return s
}

// Missing is a need that nobody satisfies.
type Missing struct {
	Need
	// Has is what lies in the app's root but is not enough, or not where the loader looks.
	Has    string `json:"has,omitempty"`
	Reason string `json:"reason"`
}

func (m Missing) String() string { return fmt.Sprintf("%v: %s", m.Need, m.Reason) }

// Report is what became of all needs of the host files, each part sorted.
type Report struct {
	Used    []Use     `json:"used,omitempty"`
	Host    []Taken   `json:"host,omitempty"`
	Missing []Missing `json:"missing,omitempty"`
}

// Warning is one line about what nobody has, with a few names; "" if there is nothing.
func (r *Report) Warning() string {
	const shown = 3
	if len(r.Missing) == 0 {
		return ""
	}
	var parts []string
	for _, m := range r.Missing[:min(shown, len(r.Missing))] {
		parts = append(parts, m.Need.String())
	}
	if more := len(r.Missing) - shown; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more", more))
	}
	noun := "needs"
	if len(r.Missing) == 1 {
		noun = "need"
	}
	return fmt.Sprintf("%d %s of host files that neither images nor host satisfy: %s", len(r.Missing), noun, strings.Join(parts, "; "))
}
