package importing

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

// Registration is one of flake-pilot's as it was found.
type Registration struct {
	Name string
	File string
	// Keys are the file and its drop-ins, merged key by key: "container.name" and so on, lists in one piece.
	Keys map[string]any
	// Odd are the keys to which flake-pilot gives another value, since a section in a drop-in replaces the whole
	// section there, and a second YAML document is not read.
	Odd []string
	// Err says why the files can't be read; Keys is nil then.
	Err error
}

// templates are flake-pilot's patterns for new registrations, which lie in /etc/flakes.
var templates = map[string]bool{"container-flake": true, "firecracker-flake": true}

// Read returns the registrations of a directory, sorted by name. A registration that can't be read does not keep the
// others from being returned.
func Read(dir string) ([]Registration, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read registrations: %w", err)
	}
	var out []Registration
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".yaml")
		if !ok || templates[name] || e.IsDir() || strings.HasPrefix(name, ".") {
			continue
		}
		r := Registration{Name: name, File: filepath.Join(dir, e.Name())}
		if r.Err = flake.CheckName(name); r.Err == nil {
			r.Keys, r.Odd, r.Err = readKeys(r.File)
		}
		out = append(out, r)
	}
	return out, nil
}

// readKeys merges NAME.yaml and all files of NAME.d, whatever they are called: flake-pilot takes them all.
func readKeys(file string) (keys map[string]any, odd []string, err error) {
	files := []string{file}
	dir := strings.TrimSuffix(file, ".yaml") + ".d"
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("read drop-ins: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	sort.Strings(files[1:])
	var texts [][]byte
	for _, f := range files {
		text, err := flake.ReadOwned(f)
		if err != nil {
			return nil, nil, err
		}
		texts = append(texts, text)
	}
	return mergeTexts(files, texts)
}

// mergeTexts is readKeys without the files. A drop-in that only makes sense behind the file before it, as a part of its
// last section, is taken as flake-pilot takes it.
func mergeTexts(files []string, texts [][]byte) (keys map[string]any, odd []string, err error) {
	var merged map[string]any
	for n, text := range texts {
		one, err := parse(files[n], text)
		if err != nil && n > 0 {
			if joined, jerr := parse(files[0], bytes.Join(texts, nil)); jerr == nil {
				return flatten(joined), nil, nil
			}
		}
		if err != nil {
			return nil, nil, err
		}
		merged = merge(merged, one)
	}
	keys = flatten(merged)
	theirs := map[string]any{}
	if joined, err := parse(files[0], bytes.Join(texts, nil)); err == nil {
		theirs = flatten(joined)
	}
	for key, value := range keys {
		if !reflect.DeepEqual(value, theirs[key]) {
			odd = append(odd, key)
		}
	}
	sort.Strings(odd)
	return keys, odd, nil
}

// parse reads the first document of a text; of a key that comes twice the last one counts.
func parse(file string, text []byte) (map[string]any, error) {
	var doc yaml.Node
	err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, flake.NewSyntaxError(file, err)
	}
	v, err := value(doc.Content[0])
	if err != nil {
		return nil, flake.NewSyntaxError(file, err)
	}
	if v == nil {
		return nil, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, &flake.SyntaxError{File: file, Line: doc.Content[0].Line, Msg: "a mapping is wanted here"}
	}
	return m, nil
}

func value(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, err := value(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			m[n.Content[i].Value] = v
		}
		return m, nil
	case yaml.SequenceNode:
		list := []any{}
		for _, c := range n.Content {
			v, err := value(c)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.AliasNode: // a small file could become a large one
		return nil, fmt.Errorf("line %d: an alias, which is not taken here", n.Line)
	}
	var v any
	return v, n.Decode(&v)
}

// merge lays b over a, key by key.
func merge(a, b map[string]any) map[string]any {
	if a == nil {
		return b
	}
	for key, v := range b {
		old, isMap := a[key].(map[string]any)
		if more, ok := v.(map[string]any); ok && isMap {
			a[key] = merge(old, more)
			continue
		}
		a[key] = v
	}
	return a
}

// flatten names each leaf by its path. What is null counts as not there.
func flatten(m map[string]any) map[string]any {
	out := map[string]any{}
	var walk func(prefix string, m map[string]any)
	walk = func(prefix string, m map[string]any) {
		for key, v := range m {
			if below, ok := v.(map[string]any); ok {
				walk(prefix+key+".", below)
			} else if v != nil {
				out[prefix+key] = v
			}
		}
	}
	walk("", m)
	return out
}
