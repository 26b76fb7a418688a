package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

// document is the file's schema.
type document struct {
	Default entry   `yaml:"default"`
	Images  []entry `yaml:"images"`
}

// entry says what images may do. A key that is not there leaves it to the default entry, and there to what is built in.
type entry struct {
	// Image are patterns of names and digests; not in the default entry.
	Image       patterns `yaml:"image"`
	HostFiles   answer   `yaml:"host_files"`
	SystemFiles answer   `yaml:"systemfiles"`
	// Allow are the files that may be linked, as the host has them; without it, what every user may read. Deny is stronger.
	Allow patterns `yaml:"allow"`
	Deny  patterns `yaml:"deny"`

	line int
}

// UnmarshalYAML notes the line; the file's strictness does not reach in here, so unknown keys are looked for.
func (e *entry) UnmarshalYAML(n *yaml.Node) error {
	type plain entry
	if n.Kind == yaml.MappingNode {
		for i := 0; i < len(n.Content); i += 2 {
			switch key := n.Content[i]; key.Value {
			case "image", "host_files", "systemfiles", "allow", "deny":
			default:
				return fmt.Errorf("line %d: unknown key %q", key.Line, key.Value)
			}
			if value := n.Content[i+1]; value.Tag == "!!null" {
				return fmt.Errorf("line %d: %s is empty: leave it out, or say []", value.Line, n.Content[i].Value)
			}
		}
	}
	if err := n.Decode((*plain)(e)); err != nil {
		return err
	}
	e.line = n.Line
	return nil
}

// answer is allow or deny; "" is no answer.
type answer string

const (
	allow answer = "allow"
	deny  answer = "deny"
)

// UnmarshalYAML takes the two words and nothing else.
func (a *answer) UnmarshalYAML(n *yaml.Node) error {
	switch answer(n.Value) {
	case allow, deny:
		*a = answer(n.Value)
		return nil
	}
	return fmt.Errorf("line %d: %q stands where allow or deny is wanted", n.Line, n.Value)
}

// patterns are one pattern or a list of them.
type patterns struct {
	set *hostlink.Patterns
	// below matches what lies below what set does: to deny a directory is to deny what is in it.
	below *hostlink.Patterns
	given bool
}

// UnmarshalYAML reads each pattern by itself, for the line of a bad one.
func (p *patterns) UnmarshalYAML(n *yaml.Node) error {
	nodes := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		nodes = n.Content
	}
	var list, below []string
	for _, one := range nodes {
		if one.Kind != yaml.ScalarNode || one.Tag == "!!null" {
			return fmt.Errorf("line %d: a pattern, or a list of them, is wanted", one.Line)
		}
		if _, err := hostlink.ParsePatterns([]string{one.Value}); err != nil {
			return fmt.Errorf("line %d: %w", one.Line, err)
		}
		if misplaced(one.Value) {
			return fmt.Errorf("line %d: read pattern %q: ** stands for whole components only, as in a/**/b", one.Line, one.Value)
		}
		list, below = append(list, one.Value), append(below, one.Value+"/**")
	}
	p.given = true
	var err, errBelow error
	p.set, err = hostlink.ParsePatterns(list)
	p.below, errBelow = hostlink.ParsePatterns(below)
	return errors.Join(err, errBelow)
}

// misplaced says that ** is but a part of a component. It would mean what * does, and the entry would not be for what the
// administrator had in mind.
func misplaced(pattern string) bool {
	for name := range strings.SplitSeq(pattern, "/") {
		if name != "**" && strings.Contains(name, "**") {
			return true
		}
	}
	return false
}

// Read reads the policy at file; a file that is not there, and "", is the built-in policy. A file that root or the caller
// has not written alone, that can't be read, that a symlink leads to in vain or that has a mistake in it is an [*Error]:
// nothing may be linked then.
func Read(file string) (*Policy, error) {
	p := &Policy{file: file}
	if file == "" {
		return p, nil
	}
	b, err := flake.ReadOwned(file)
	if errors.Is(err, fs.ErrNotExist) {
		if _, link := os.Lstat(file); errors.Is(link, fs.ErrNotExist) {
			return p, nil
		}
	}
	if err != nil {
		return nil, &Error{File: file, Err: err}
	}
	var doc document
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, &Error{File: file, Err: flake.NewSyntaxError(file, err)}
	}
	if err := dec.Decode(new(document)); !errors.Is(err, io.EOF) {
		return nil, &Error{File: file, Err: &flake.SyntaxError{File: file, Msg: "more than one YAML document"}}
	}
	if doc.Default.Image.given {
		return nil, &Error{File: file, Err: &flake.SyntaxError{File: file, Line: doc.Default.line, Msg: "the default entry is for all images: it has no image"}}
	}
	for _, e := range doc.Images {
		if !e.Image.given {
			return nil, &Error{File: file, Err: &flake.SyntaxError{File: file, Line: e.line, Msg: "image is missing: patterns of names, or a digest"}}
		}
	}
	p.images, p.standard = doc.Images, doc.Default
	return p, nil
}

// Error says what is wrong with the file.
type Error struct {
	File string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("read policy: %v", e.Err) }
func (e *Error) Unwrap() error { return e.Err }

// Remedy implements the CLI's second line.
func (e *Error) Remedy() string {
	switch {
	case errors.Is(e.Err, flake.ErrPlanted):
		return "have root own " + e.File + ", writable for nobody else"
	case errors.Is(e.Err, fs.ErrPermission):
		return "have everybody read " + e.File + ": chmod a+r"
	}
	return "have the administrator correct it; until then no image gets host files"
}
