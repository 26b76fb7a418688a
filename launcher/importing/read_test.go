package importing

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"python3.11.yaml": "container: {name: py}\n", "aws.yaml": template,
		"aws.d/20": "container: {name: b}\n", "aws.d/10.conf": "container: {name: a}\n", "aws.d/.hidden": "container: {base_container: h}\n",
		"broken.yaml": "a: [\n", "planted.yaml": "container: {name: x}\n",
		// no registrations
		"container-flake.yaml": template, "firecracker-flake.yaml": "vm: {name: x}\n", "storage.conf": "[storage]\n", ".x.yaml": "a: b\n", "y.yaml/z": "",
	})
	if err := os.Chmod(filepath.Join(dir, "planted.yaml"), 0o666); err != nil {
		t.Fatal(err)
	}
	regs, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range regs {
		got[r.Name] = "cannot be read"
		if r.Err == nil {
			name, _ := r.Keys["container.name"].(string)
			base, _ := r.Keys["container.base_container"].(string)
			got[r.Name] = name + "/" + base
		}
	}
	want := map[string]string{"python3.11": "py/", "aws": "b/h", "broken": "cannot be read", "planted": "cannot be read"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if _, err := Read(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestReadSite(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{
		"flakes.yml":                  "generic:\n  flakes_dir: /srv/flakes\n  podman_ids_dir: ~\n  podman_storage_conf: /etc/flakes/storage.conf\n  new: 1\n",
		"flakes/container-flake.yaml": template, "broken.yml": "generic: [\n", "empty.yml": "",
	})
	site, err := ReadSite(filepath.Join(dir, "flakes.yml"), filepath.Join(dir, "flakes"))
	if err != nil || site.Flakes != "/srv/flakes" {
		t.Fatalf("%+v, %v", site, err)
	}
	var all []string
	for _, n := range site.Notes {
		all = append(all, n.Note)
	}
	text := strings.Join(all, "\n")
	for _, part := range []string{"read from there", "podman save", "new: 1: not known", "template"} {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in %s", part, text)
		}
	}
	if len(all) != 4 {
		t.Errorf("got %s", text)
	}
	for _, file := range []string{"missing.yml", "empty.yml"} {
		if site, err := ReadSite(filepath.Join(dir, file), dir+"/none"); err != nil || site.Flakes != "" || len(site.Notes) > 0 {
			t.Errorf("%s: %+v, %v", file, site, err)
		}
	}
	var syntax *flake.SyntaxError
	if _, err := ReadSite(filepath.Join(dir, "broken.yml"), dir); !errors.As(err, &syntax) {
		t.Errorf("broken: %v", err)
	}
}

func TestLinkAt(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{"usr/podman-pilot": "", "file": ""})
	for name, target := range map[string]string{
		"direct": "/usr/bin/podman-pilot", "real": filepath.Join(dir, "usr/podman-pilot"), "relative": "usr/podman-pilot",
		"through": "alternative", "alternative": "usr/podman-pilot", "vm": "/usr/bin/firecracker-pilot", "other": "/bin/true", "loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]Link{
		"direct": {Target: "/usr/bin/podman-pilot", Pilot: "podman-pilot", There: true}, "real": {Target: filepath.Join(dir, "usr/podman-pilot"), Pilot: "podman-pilot", There: true},
		"relative": {Target: "usr/podman-pilot", Pilot: "podman-pilot", There: true}, "through": {Target: "alternative", Pilot: "podman-pilot", There: true},
		"vm": {Target: "/usr/bin/firecracker-pilot", Pilot: "firecracker-pilot", There: true}, "other": {Target: "/bin/true", There: true},
		"loop": {Target: "loop", There: true}, "file": {There: true}, "nothing": {}, "none/x": {Locked: "there is no directory " + dir + "/none"},
	} {
		if d := cmp.Diff(want, LinkAt(filepath.Join(dir, name))); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}
