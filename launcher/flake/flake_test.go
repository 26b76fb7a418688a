package flake

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct {
		files map[string]string
		want  string // part of the message, $ stands for the directory
	}{
		"not yaml":             {map[string]string{"a.yaml": "container: [\n"}, "$/a.yaml:"},
		"a list":               {map[string]string{"a.yaml": "- x\n"}, "$/a.yaml:1: a mapping is wanted here"},
		"unknown key":          {map[string]string{"a.yaml": "container:\n  name: x\n  nmae: y\n"}, `$/a.yaml:3: unknown key "nmae"`},
		"unknown top key":      {map[string]string{"a.yaml": "container:\n  name: x\nshraed: 1\n"}, `$/a.yaml:3: unknown key "shraed"`},
		"wrong type":           {map[string]string{"a.yaml": "container:\n  name: x\n  layers: y\n"}, "$/a.yaml:3: a str `y` stands where a []string is wanted"},
		"mistake in a drop-in": {map[string]string{"a.yaml": "container: {name: x}\n", "a.d/1.yaml": "\n\ncontainer: {nam: z}\n"}, `$/a.d/1.yaml:3: unknown key "nam"`},
		"duplicate key":        {map[string]string{"a.yaml": "container:\n  name: x\n  name: y\n"}, "$/a.yaml:3: mapping key"},
		"two documents":        {map[string]string{"a.yaml": "container: {name: x}\n---\ncontainer: {name: y}\n"}, "more than one YAML document"},
		"no name":              {map[string]string{"a.yaml": "container:\n  host_app_path: /x\n"}, "$/a.yaml:2: container.name is missing"},
		"relative target":      {map[string]string{"a.yaml": "container:\n  name: x\n  target_app_path: bin/x\n"}, "$/a.yaml:3: container.target_app_path must be absolute"},
		"layers but no base":   {map[string]string{"a.yaml": "container:\n  name: x\n  layers: [y]\n"}, "$/a.yaml:3: container.layers need"},
		"resume and attach":    {map[string]string{"a.yaml": "container:\n  name: x\n  runtime: {resume: true, attach: true}\n"}, "exclude each other"},
		"bad writable":         {map[string]string{"a.yaml": "container: {name: x}\nwritable: ram\n"}, "$/a.yaml:2: writable is"},
		"firecracker":          {map[string]string{"a.yaml": "vm:\n  name: x\n"}, "not a container flake"},
		"empty":                {map[string]string{"a.yaml": ""}, "not a container flake"},
		"huge":                 {map[string]string{"a.yaml": strings.Repeat("#\n", maxFile)}, "larger than"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, tc.files)
			_, _, err := Parse(filepath.Join(dir, "a.yaml"))
			want := strings.ReplaceAll(tc.want, "$", dir)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Fatalf("got %v, want %q", err, want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
		})
	}
}

func TestParseRefusesPlantedFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.yaml": "container: {name: x}\n"})
	file := filepath.Join(dir, "a.yaml")
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Parse(file); !errors.Is(err, ErrPlanted) {
		t.Errorf("world-writable: got %v", err)
	}
}

func TestParseMergesDeeply(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"a.yaml":       "container:\n  name: x\n  host_app_path: /usr/bin/a\n  base_container: b\n  layers: [l1, l2]\n  digests: {x: d1}\n  runtime: {runas: root}\n",
		"a.d/20.yaml":  "container:\n  layers: [l3]\n  digests: {b: d2}\n",
		"a.d/10.yaml":  "container:\n  layers: [zz]\n  target_app_path: /t\ninclude:\n  path: [/p]\n",
		"a.d/.30.yaml": "container: {name: hidden}\n", "a.d/readme": "no yaml: [",
		"a.d/40.yaml": "engine: direct\n",
	})
	got, files, err := Parse(filepath.Join(dir, "a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Flake{
		Container: Container{
			Name: "x", HostAppPath: "/usr/bin/a", BaseContainer: "b", Layers: []string{"l3"}, TargetAppPath: "/t",
			Digests: map[string]string{"x": "d1", "b": "d2"}, Runtime: Runtime{RunAs: "root"},
		},
		Include: Include{Path: []string{"/p"}}, Engine: "direct",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if len(files) != 5 {
		t.Errorf("files read: %q", files)
	}
}

func TestFlakePilotsOwnTemplateParses(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"aws.yaml": `include:
  tar: ~
  path: ~
container:
  name: aws
  target_app_path: /
  host_app_path: /usr/bin/aws
  check_host_dependencies: false
  runtime:
    runas: root
    resume: false
    attach: false
    podman:
      - --rm
      - -ti
`})
	f, _, err := Parse(filepath.Join(dir, "aws.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if !f.OwnEntrypoint() {
		t.Errorf("got %+v", f)
	}
}

func TestFindFirstDirectoryWins(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"u/python3.11.yaml": "container: {name: mine}\n",
		"s/python3.11.yaml": "container: {name: system}\n",
		"u/fc.yaml":         "vm: {name: x}\n",
		"s/fc.yaml":         "container: {name: c}\n",

		"s/container-flake.yaml": "container: {name: name}\n",
	})
	dirs := []string{filepath.Join(dir, "missing"), filepath.Join(dir, "u"), filepath.Join(dir, "s")}
	for name, want := range map[string]string{"python3.11": "u/python3.11.yaml", "fc": "s/fc.yaml"} {
		got, err := Find(dirs, name)
		if err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", "../s/fc", "container-flake", ".hidden", strings.Repeat("x", 300)} {
		if _, err := Find(dirs, bad); err == nil {
			t.Errorf("name %q was accepted", bad)
		}
	}
	var nf *NotFoundError
	if _, err := Find(dirs, "none"); !errors.As(err, &nf) {
		t.Errorf("got %v", err)
	}
	list, err := List(dirs)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name+map[bool]string{true: "(shadowed)"}[e.Shadowed])
	}
	if d := cmp.Diff([]string{"fc", "python3.11", "python3.11(shadowed)"}, names); d != "" {
		t.Error(d)
	}
}
