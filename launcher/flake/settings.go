package flake

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v3"
)

// Settings are what is configured for all flakes, in the administrator's file or in a user's own.
type Settings struct {
	// AdditionalStores are read where they are, after the caller's own, in this order.
	AdditionalStores []string `yaml:"additional_stores"`
	Defaults         Defaults `yaml:"defaults"`
}

// Defaults stand for the keys of the same names where neither the flake nor the command line has them. They are wishes:
// what can't be had is left out, while a flake that names the key itself is refused.
type Defaults struct {
	Writable string `yaml:"writable"`
	Engine   string `yaml:"engine"`
	IDs      string `yaml:"ids"`
}

// Or takes from other what d lacks.
func (d Defaults) Or(other Defaults) Defaults {
	for _, k := range []struct{ value, other *string }{{&d.Writable, &other.Writable}, {&d.Engine, &other.Engine}, {&d.IDs, &other.IDs}} {
		if *k.value == "" {
			*k.value = *k.other
		}
	}
	return d
}

// wrong names the first key whose value is none that it may have, and says so.
func (d Defaults) wrong() (key, msg string) {
	for _, k := range []struct {
		key, value string
		known      []string
	}{
		{"writable", d.Writable, []string{"tmpfs", "disk", "none"}},
		{"engine", d.Engine, []string{"direct", "libcontainer"}},
		{"ids", d.IDs, []string{"single", "range"}},
	} {
		if k.value != "" && !slices.Contains(k.known, k.value) {
			last := len(k.known) - 1
			return k.key, fmt.Sprintf("%s is %q, not %s or %s", k.key, k.value, strings.Join(k.known[:last], ", "), k.known[last])
		}
	}
	return "", ""
}

// SettingsError says that a settings file can't be read.
type SettingsError struct{ Err error }

func (e *SettingsError) Error() string { return fmt.Sprintf("read settings: %v", e.Err) }

// Unwrap gives the cause.
func (e *SettingsError) Unwrap() error { return e.Err }

// Remedy implements the CLI's second line.
func (e *SettingsError) Remedy() string { return "let its readers read it (chmod a+r), or remove it" }

// ParseSettings reads a settings file; one that is not there gives settings without any. A mistake is *[SyntaxError], a
// file that others could have written ErrPlanted.
func ParseSettings(file string) (Settings, error) {
	b, err := ReadOwned(file)
	var path *fs.PathError
	var syntax *SyntaxError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG):
		return Settings{}, nil // nor can one be there, below a HOME like /dev/null
	case errors.As(err, &path):
		return Settings{}, &SettingsError{path}
	case err == nil:
		var out Settings
		if out, err = parseSettings(file, b); err == nil {
			return out, nil
		}
	}
	if errors.As(err, &syntax) {
		syntax.Fix = "correct the file"
	}
	return Settings{}, err
}

func parseSettings(file string, b []byte) (Settings, error) {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	var out Settings
	if err := dec.Decode(&out); errors.Is(err, io.EOF) {
		return out, nil
	} else if err != nil {
		return out, NewSyntaxError(file, err)
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return out, &SyntaxError{File: file, Msg: "more than one YAML document"}
	}
	for _, dir := range out.AdditionalStores {
		if !filepath.IsAbs(dir) {
			return out, &SyntaxError{File: file, Line: lineOfKey(b, "additional_stores"), Msg: fmt.Sprintf("additional store %q: not an absolute path", dir)}
		}
	}
	if key, msg := out.Defaults.wrong(); key != "" {
		return out, &SyntaxError{File: file, Line: lineOfKey(b, "defaults", key), Msg: msg}
	}
	return out, nil
}

// lineOfKey is where the value of a key stands, 0 if that is not known.
func lineOfKey(b []byte, keys ...string) int {
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil || len(doc.Content) == 0 {
		return 0
	}
	at := doc.Content[0]
	for _, key := range keys {
		if at = lookup(at, key); at == nil {
			return 0
		}
	}
	return at.Line
}
