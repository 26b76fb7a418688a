package flake

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func settingsFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestParseSettings(t *testing.T) {
	tests := map[string]struct {
		text string
		want Settings
	}{
		"empty":          {"", Settings{}},
		"only a comment": {"# nothing yet\n", Settings{}},
		"empty defaults": {"defaults:\n", Settings{}},
		"all": {
			"additional_stores: [/a, /b]\ndefaults: {ids: range, writable: disk, engine: direct}\n",
			Settings{AdditionalStores: []string{"/a", "/b"}, Defaults: Defaults{IDs: "range", Writable: "disk", Engine: "direct"}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseSettings(settingsFile(t, tc.text))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	// Below a HOME like /dev/null there is none, either.
	for behaviour, file := range map[string]string{
		"no file": filepath.Join(t.TempDir(), "none"), "below a file": filepath.Join(settingsFile(t, ""), "none"), "too long": "/" + strings.Repeat("x", 5000),
	} {
		if got, err := ParseSettings(file); err != nil || cmp.Diff(Settings{}, got) != "" {
			t.Errorf("%s: %v, %v", behaviour, got, err)
		}
	}
}

func TestParseSettingsRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"no YAML":              {"defaults: [\n", "config.yaml:"},
		"unknown key":          {"additional_shops: []\n", `config.yaml:1: unknown key "additional_shops"`},
		"unknown default":      {"defaults:\n  ids: single\n  user: root\n", `config.yaml:3: unknown key "user"`},
		"unknown ids":          {"defaults:\n  ids: all\n", `config.yaml:2: ids is "all", not single or range`},
		"unknown writable":     {"defaults: {writable: ram}\n", `config.yaml:1: writable is "ram", not tmpfs, disk or none`},
		"unknown engine":       {"\ndefaults:\n\n  engine: podman\n", `config.yaml:4: engine is "podman", not direct or libcontainer`},
		"a list":               {"- defaults\n", "config.yaml:1"},
		"defaults of no keys":  {"defaults: range\n", "config.yaml:1"},
		"a relative store":     {"additional_stores:\n- srv\n", "config.yaml:2"},
		"more than one":        {"defaults: {}\n---\ndefaults: {}\n", "more than one"},
		"something behind it":  {"defaults: {}\n---\n[\n", "more than one"},
		"a key that is a list": {"defaults: {ids: [range]}\n", "config.yaml:1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseSettings(settingsFile(t, tc.text))
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "\n") || syntax.Remedy() != "correct the file" {
				t.Errorf("%q, remedy %q", err, syntax.Remedy())
			}
		})
	}
}

// A file that others could have written is not taken, nor is one ignored that can't be read.
func TestSettingsOfOthers(t *testing.T) {
	file := settingsFile(t, "defaults: {ids: range}\n")
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseSettings(file); !errors.Is(err, ErrPlanted) {
		t.Errorf("writable by everybody: %v", err)
	}
	dir := t.TempDir()
	if _, err := ParseSettings(dir); err == nil {
		t.Error("a directory")
	}
	circle := filepath.Join(dir, "circle")
	if err := os.Symlink(circle, circle); err != nil {
		t.Fatal(err)
	}
	var unread *SettingsError
	if _, err := ParseSettings(circle); !errors.As(err, &unread) || unread.Remedy() == "" {
		t.Errorf("a link to itself: %v", err)
	}
}

func TestDefaultsOr(t *testing.T) {
	got := Defaults{IDs: "single"}.Or(Defaults{IDs: "range", Writable: "disk"}).Or(Defaults{Writable: "none", Engine: "direct"})
	if d := cmp.Diff(Defaults{IDs: "single", Writable: "disk", Engine: "direct"}, got); d != "" {
		t.Error(d)
	}
}
