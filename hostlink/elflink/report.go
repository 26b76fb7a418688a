package elflink

import (
	"fmt"
	"slices"
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

// Missing is a need that nothing in the app's root satisfies.
type Missing struct {
	Need
	// Has is what lies in the app's root but is not enough, or not where the loader looks.
	Has string `json:"has,omitempty"`
	// Host is the host's file that would satisfy it, and is not linked: see [Lacks].
	Host   string `json:"host,omitempty"`
	Reason string `json:"reason"`
}

func (m Missing) String() string { return fmt.Sprintf("%v: %s", m.Need, m.Reason) }

// Report is what became of all needs of the host files, each part sorted.
type Report struct {
	Used    []Use     `json:"used,omitempty"`
	Host    []Taken   `json:"host,omitempty"`
	Missing []Missing `json:"missing,omitempty"`
}

// Warnings are lines about what is missing, each with a few names: what nobody has, and what only the host has.
func (r *Report) Warnings() []string {
	var nobody, host []string
	for _, m := range r.Missing {
		if m.Host == "" {
			nobody = append(nobody, m.Need.String())
			continue
		}
		host = append(host, fmt.Sprintf("%v (%s)", m.Need, m.Host))
	}
	var out []string
	if len(nobody) > 0 {
		out = append(out, fmt.Sprintf("%s of host files that neither images nor host satisfy: %s", needs(len(nobody)), few(nobody)))
	}
	if len(host) > 0 {
		out = append(out, fmt.Sprintf("%s of host files that only the host satisfies, and no list asks for: %s: --host-package with the package of such a file brings what it needs",
			needs(len(host)), few(host)))
	}
	return out
}

func needs(n int) string {
	if n == 1 {
		return "1 need"
	}
	return fmt.Sprintf("%d needs", n)
}

// few are the first of a list, and how many more there are.
func few(list []string) string {
	const shown = 3
	if more := len(list) - shown; more > 0 {
		list = append(slices.Clone(list[:shown]), fmt.Sprintf("%d more", more))
	}
	return strings.Join(list, "; ")
}
