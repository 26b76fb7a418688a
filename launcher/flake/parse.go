package flake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds one YAML file; a registration has some hundred bytes.
const maxFile = 1 << 20

var (
	// ErrNotContainer is returned for a YAML file that describes no container flake, for example one of
	// flake-pilot's firecracker registrations.
	ErrNotContainer error = &refusal{"not a container flake", "it needs a section 'container:'; or remove the file and register the flake again"}
	// ErrPlanted is returned for a file that neither root nor the caller owns, or that others may write.
	ErrPlanted error = &refusal{"could have been written by another user", "remove it, or, only if you know what is in it, make it yours (chown) and writable for nobody else (chmod go-w); with sudo use sudo -H"}
)

// refusal is a sentinel with a remedy.
type refusal struct{ cause, fix string }

func (r *refusal) Error() string  { return r.cause }
func (r *refusal) Remedy() string { return r.fix }

// SyntaxError is a mistake in a registration or in settings, with the place the user has to look at.
type SyntaxError struct {
	File string
	Line int // 0 when the mistake belongs to the whole file
	Msg  string
	Fix  string // what to do about it, where that is more than to correct the file
}

func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Msg)
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Msg)
}

// Remedy implements the CLI's second line.
func (e *SyntaxError) Remedy() string {
	if e.Fix != "" {
		return e.Fix
	}
	return "correct the file, or register the flake again with --force"
}

// Parse reads the registration at file and its drop-ins (NAME.d/*.yaml beside NAME.yaml, in the order of their
// names) and merges them deeply: mappings key by key, a later scalar or list replaces the earlier one.
// The files that were read are returned too, as Files gives them.
func Parse(file string) (*Flake, []string, error) {
	dropins, dir, err := dropIns(file)
	if err != nil {
		return nil, nil, err
	}
	var merged *yaml.Node
	for _, f := range append([]string{file}, dropins...) {
		node, err := readNode(f)
		if err != nil {
			return nil, nil, err
		}
		if node != nil {
			merged = merge(merged, node)
		}
	}
	if merged == nil || lookup(merged, "container") == nil {
		return nil, nil, fmt.Errorf("%s: %w", file, ErrNotContainer)
	}
	var fl Flake
	if err := merged.Decode(&fl); err != nil {
		return nil, nil, NewSyntaxError(file, err)
	}
	if err := fl.validate(file, merged); err != nil {
		return nil, nil, err
	}
	return &fl, append([]string{file, dir}, dropins...), nil
}

// Link is the link that the registration at file names, whatever else is in it, flake-pilot's keys and mistakes included;
// pinned says that it pins images, as ours do.
func Link(file string) (link string, pinned bool) {
	var loose struct {
		Container struct {
			Link    string    `yaml:"host_app_path"`
			Digests yaml.Node `yaml:"digests"`
		} `yaml:"container"`
	}
	b, err := ReadOwned(file)
	if err != nil || yaml.Unmarshal(b, &loose) != nil {
		return "", false
	}
	return loose.Container.Link, len(loose.Container.Digests.Content) > 0
}

// Files are the registration at file, its directory of drop-ins, which may be missing, and these: whoever fingerprints
// them before Parse reads them sees any change made since.
func Files(file string) ([]string, error) {
	dropins, dir, err := dropIns(file)
	return append([]string{file, dir}, dropins...), err
}

func dropIns(file string) (files []string, dir string, err error) {
	dir = strings.TrimSuffix(file, ".yaml") + ".d"
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, dir, fmt.Errorf("read drop-ins: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".yaml") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	sort.Strings(files)
	return files, dir, nil
}

// readNode reads one file, checks it strictly by itself, so that a mistake is reported with its own file and
// line, and returns its top mapping, or nil for an empty file.
func readNode(file string) (*yaml.Node, error) {
	b, err := ReadOwned(file)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		return nil, NewSyntaxError(file, err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, &SyntaxError{File: file, Line: top.Line, Msg: "a mapping is wanted here"}
	}
	if lookup(top, "vm") != nil || lookup(top, "container") == nil && otherEngine(lookup(top, "engine")) {
		return nil, fmt.Errorf("%s: %w", file, ErrNotContainer)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	var strict Flake
	if err := dec.Decode(&strict); err != nil {
		return nil, NewSyntaxError(file, err)
	}
	if err := dec.Decode(new(Flake)); !errors.Is(err, io.EOF) {
		return nil, &SyntaxError{File: file, Msg: "more than one YAML document"}
	}
	return top, nil
}

// otherEngine reports whether the key names an engine that is none of ours, as a drop-in may well do.
func otherEngine(n *yaml.Node) bool {
	return n != nil && n.Value != "direct" && n.Value != "libcontainer"
}

// ReadOwned reads a small regular file that nobody but root and the caller can have written; ErrPlanted otherwise.
func ReadOwned(file string) ([]byte, error) {
	// Not waiting for a writer, should it be a FIFO.
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open registration: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat registration: %w", err)
	}
	if !st.Mode().IsRegular() {
		return nil, &SyntaxError{File: file, Msg: "not a regular file"}
	}
	if planted(st) {
		return nil, fmt.Errorf("%s: %w", file, ErrPlanted)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read registration: %w", err)
	}
	if len(b) > maxFile {
		return nil, &SyntaxError{File: file, Msg: fmt.Sprintf("larger than %d bytes", maxFile)}
	}
	return b, nil
}

// merge lays b over a: keys of mappings are merged, everything else is replaced.
func merge(a, b *yaml.Node) *yaml.Node {
	if a == nil || a.Kind != yaml.MappingNode || b.Kind != yaml.MappingNode {
		return b
	}
	for i := 0; i+1 < len(b.Content); i += 2 {
		if old := lookup(a, b.Content[i].Value); old != nil {
			*old = *merge(old, b.Content[i+1])
			continue
		}
		a.Content = append(a.Content, b.Content[i], b.Content[i+1])
	}
	return a
}

func lookup(m *yaml.Node, key string) *yaml.Node {
	for i := 0; m.Kind == yaml.MappingNode && i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}

var (
	lineOf      = regexp.MustCompile(`line (\d+): `)
	unknownKey  = regexp.MustCompile(`field (\S+) not found in type \S+`)
	cannotParse = regexp.MustCompile("cannot unmarshal !!(\\S+) (`[^`]*` )?into (\\S+)")
)

// NewSyntaxError turns the YAML library's message into ours: the first mistake only, in the user's words.
func NewSyntaxError(file string, err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	var te *yaml.TypeError
	if errors.As(err, &te) && len(te.Errors) > 0 {
		msg = te.Errors[0]
	}
	out := &SyntaxError{File: file}
	if m := lineOf.FindStringSubmatch(msg); m != nil {
		fmt.Sscan(m[1], &out.Line)
		msg = strings.Replace(msg, m[0], "", 1)
	}
	msg = unknownKey.ReplaceAllString(msg, "unknown key \"$1\"")
	msg = cannotParse.ReplaceAllString(msg, "a $1 ${2}stands where a $3 is wanted")
	out.Msg = strings.TrimSpace(msg)
	return out
}
