package integration

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// registered is a sandbox with an image and, by hand, what flake-pilot leaves on a host: registrations in its own
// directory (an ordinary user's is ours, too), and links to its program.
func registered(t *testing.T, by fixture.Caller) (s *fixture.Sandbox, dir, pilot string) {
	t.Helper()
	s = fixture.NewSandbox(t, by)
	s.Load(fixture.ProbeBase(t))
	s.Load(fixture.Delta(t, "delta", `file etc/origin data="delta\n"`))
	dir = s.Registrations
	runas := "any"
	if by.IsRoot() {
		dir, runas = filepath.Join(s.Tmp, "usr-share-flakes"), "root"
	}
	pilot = filepath.Join(s.Home, "podman-pilot")
	s.WriteFile(pilot, "#!/bin/sh\necho podman-pilot\n")
	if err := os.Chmod(pilot, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		s.Mkdir(dir)
	}
	for name, container := range map[string]string{
		"tool":  "probe\n  base_container: ~\n  layers: ~",
		"delta": "delta\n  base_container: probe",
	} {
		s.WriteFile(filepath.Join(dir, name+".yaml"), fmt.Sprintf(`include:
  tar: ~
  path: ~
container:
  name: %s
  target_app_path: /usr/bin/probe
  host_app_path: %s
  check_host_dependencies: false
  runtime:
    runas: %s
    resume: false
    attach: false
    podman: ~
`, container, s.Link(name), runas))
		s.Mkdir(filepath.Join(dir, name+".d"))
		link(t, s, pilot, s.Link(name))
	}
	s.WriteFile(filepath.Join(dir, "tool.d", "10-site"), "# nothing changed\n")
	return s, dir, pilot
}

func link(t *testing.T, s *fixture.Sandbox, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	s.By.Give(t, path)
}

// files lists all below the directories: kind and mode, owner, time (but a link's), content.
func files(t *testing.T, dirs ...string) (out []string) {
	t.Helper()
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			st, err := e.Info()
			if err != nil {
				return err
			}
			line := fmt.Sprintf("%s %v", path, st.Mode())
			switch {
			case st.Mode().IsRegular():
				content, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				line += fmt.Sprintf(" %v %q", st.ModTime(), content)
			case st.Mode()&fs.ModeSymlink != 0:
				target, _ := os.Readlink(path)
				line += " " + target
			}
			out = append(out, line)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// imported is the JSON of flake-ctl import.
type imported struct {
	Flakes []struct {
		Name, File, Engine, State string
		Findings                  []struct{ Key, Verdict, Note string }
	}
}

func reported(t *testing.T, res *fixture.Result) map[string]string {
	t.Helper()
	var got imported
	if err := json.Unmarshal([]byte(res.Stdout), &got); err != nil {
		t.Fatalf("%v in %v", err, res)
	}
	states := map[string]string{}
	for _, f := range got.Flakes {
		states[f.Name] = f.State
	}
	return states
}

func TestImport(t *testing.T) { fixture.Each(t, testImport) }

func testImport(t *testing.T, by fixture.Caller) {
	s, dir, pilot := registered(t, by)
	all := []string{s.Root, s.Home, dir, s.Links}
	before := files(t, all...)
	res := s.MustCtl("import", "--dry-run", "--format", "json", dir)
	if d := cmp.Diff(map[string]string{"tool": "importable", "delta": "importable"}, reported(t, res)); d != "" {
		t.Errorf("dry run: %s", d)
	}
	if d := cmp.Diff(before, files(t, all...)); d != "" {
		t.Errorf("a dry run changed something: %s", d)
	}
	theirs := files(t, dir, s.Links)

	args := []string{"import", "--format", "json"}
	if by.IsRoot() {
		args = append(args, dir) // an ordinary user's is found by itself
	}
	if d := cmp.Diff(map[string]string{"tool": "imported", "delta": "imported"}, reported(t, s.MustCtl(args...))); d != "" {
		t.Errorf("import: %s", d)
	}
	got := s.MustApp("tool", "args", "@one", "%remove", "x", "@@y", "%%z", "%interactive").JSON(t)
	if d := cmp.Diff([]string{"x", "@y", "%z"}, got); d != "" {
		t.Errorf("arguments: %s", d)
	}
	if res := s.MustApp("delta", "cat", "/etc/origin"); res.Stdout != "delta\n" {
		t.Errorf("delta: %v", res)
	}
	if res := s.App("tool", "exit", "7"); res.Code != 7 {
		t.Errorf("status: %v", res)
	}
	if id := s.MustApp("tool", "id"); id.Stdout != "0:0 root\n" {
		t.Errorf("flake-pilot's apps are root inside: %v", id)
	}
	if d := cmp.Diff(map[string]string{"tool": "imported before", "delta": "imported before"}, reported(t, s.MustCtl(args...))); d != "" {
		t.Errorf("again: %s", d)
	}
	s.NoLeaks()
	s.MustCtl("gc")

	s.MustCtl("import", "--undo", "tool")
	if res := s.MustApp("tool"); res.Stdout != "podman-pilot\n" {
		t.Errorf("not given back: %v", res)
	}
	s.MustApp("delta", "exit", "0")
	s.MustCtl("remove", "delta")
	if d := cmp.Diff(theirs, files(t, dir, s.Links)); d != "" {
		t.Errorf("not as it was: %s", d)
	}
	s.Refused(s.Ctl("import", "--undo", "tool"), "not imported")
	s.MustCtl("import", dir)
	s.MustCtl("import", "--undo")
	if d := cmp.Diff(theirs, files(t, dir, s.Links)); d != "" {
		t.Errorf("not as it was: %s", d)
	}
	forget(t, s, dir, pilot)
}

// forget ends flake-pilot's life in the sandbox, which has to end empty.
func forget(t *testing.T, s *fixture.Sandbox, dir, pilot string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Remove(pilot)
}

func TestImportLeavesWhatItCannot(t *testing.T) { fixture.Each(t, testImportLeavesWhatItCannot) }

func testImportLeavesWhatItCannot(t *testing.T, by fixture.Caller) {
	s, dir, pilot := registered(t, by)
	for name, text := range map[string]string{
		"vm":      "vm:\n  name: x\n  host_app_path: " + s.Link("vm") + "\n",
		"broken":  "container: [\n",
		"nowhere": "container:\n  name: nowhere\n  target_app_path: /x\n  host_app_path: " + s.Link("nowhere") + "\n",
		"target":  "container:\n  name: probe\n  target_app_path: /no/such\n  host_app_path: " + s.Link("target") + "\n",
		"foreign": "container:\n  name: probe\n  target_app_path: /usr/bin/probe\n  host_app_path: " + s.Link("foreign") + "\n",
		"odd\x1b": "container:\n  name: probe\n  host_app_path: /odd\n  \"a\\tb\\e[31m\": 1\n",
	} {
		s.WriteFile(filepath.Join(dir, name+".yaml"), text)
		if name != "foreign" {
			link(t, s, pilot, s.Link(name))
		}
	}
	s.WriteFile(s.Link("foreign"), "mine\n")
	before := files(t, dir, s.Links)
	res := s.Ctl("import", "--format", "json", dir)
	s.Refused(res, "vm", "broken", "nowhere", "foreign", "target")
	if res.Code != 1 {
		t.Errorf("want status 1, got %v", res)
	}
	want := map[string]string{"tool": "imported", "delta": "imported", "vm": "cannot", "broken": "cannot", "nowhere": "cannot", "target": "cannot", "foreign": "cannot", "odd\x1b": "cannot"}
	if d := cmp.Diff(want, reported(t, res)); d != "" {
		t.Error(d)
	}
	table := s.Ctl("import", "--dry-run", dir)
	for _, part := range []string{"container.name", "nowhere is not in the store", "firecracker", "is no link to podman-pilot"} {
		if !strings.Contains(table.Stdout, part) {
			t.Errorf("no word of %q in %v", part, table)
		}
	}
	if strings.ContainsAny(table.Stdout, "\x1b\t") {
		t.Errorf("control characters in %q", table.Stdout)
	}
	s.MustCtl("import", "--undo")
	if d := cmp.Diff(before, files(t, dir, s.Links)); d != "" {
		t.Errorf("not as it was: %s", d)
	}
	forget(t, s, dir, pilot)
}

// cut is an import that ended without a word, as after a power cut: everything but the link is done.
func cut(t *testing.T, s *fixture.Sandbox, name, pilot string) {
	t.Helper()
	path := filepath.Join(s.Root, "ledger", name+".json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var entry map[string]any
	if err := json.Unmarshal(text, &entry); err != nil {
		t.Fatal(err)
	}
	delete(entry["import"].(map[string]any), "done")
	if text, err = json.Marshal(entry); err != nil {
		t.Fatal(err)
	}
	s.WriteFile(path, string(text))
	if err := os.Remove(s.Link(name)); err != nil {
		t.Fatal(err)
	}
	link(t, s, pilot, s.Link(name))
}

func TestImportHeals(t *testing.T) { fixture.Each(t, testImportHeals) }

func testImportHeals(t *testing.T, by fixture.Caller) {
	s, dir, pilot := registered(t, by)
	theirs := files(t, dir, s.Links)
	s.MustCtl("import", dir)
	cut(t, s, "tool", pilot)
	before := files(t, s.Root, s.Home, dir, s.Links)
	res := s.MustCtl("import", "--dry-run", "--format", "json", dir)
	if d := cmp.Diff(map[string]string{"tool": "cut short", "delta": "imported before"}, reported(t, res)); d != "" || !strings.Contains(res.Stderr, "import of tool was cut short") {
		t.Errorf("%s, %v", d, res)
	}
	if d := cmp.Diff(before, files(t, s.Root, s.Home, dir, s.Links)); d != "" {
		t.Errorf("a dry run changed something: %s", d)
	}
	if d := cmp.Diff(map[string]string{"tool": "imported", "delta": "imported before"}, reported(t, s.MustCtl("import", "--format", "json", dir))); d != "" {
		t.Error(d)
	}
	s.MustApp("tool", "exit", "0")
	cut(t, s, "delta", pilot)
	s.MustCtl("import", "--undo")
	if d := cmp.Diff(theirs, files(t, dir, s.Links)); d != "" {
		t.Errorf("not as it was: %s", d)
	}
	forget(t, s, dir, pilot)
}

func TestImportPulls(t *testing.T) { fixture.Each(t, testImportPulls) }

func testImportPulls(t *testing.T, by fixture.Caller) {
	s, dir, pilot := registered(t, by)
	reg := fixture.NewRegistry(t, nil)
	s.Trust(reg)
	ref := reg.Push(t, "team/far:1.0", fixture.Delta(t, "far", `file etc/origin data="far\n"`))
	forget(t, s, dir, "")
	for name, image := range map[string]string{"tool": ref, "delta": reg.Host + "/team/none:1.0"} {
		s.WriteFile(filepath.Join(dir, name+".yaml"), "container:\n  name: "+image+"\n  base_container: probe\n  target_app_path: /bin/probe\n  host_app_path: "+s.Link(name)+"\n")
	}
	if d := cmp.Diff(map[string]string{"tool": "cannot", "delta": "cannot"}, reported(t, s.Ctl("import", "--format", "json", dir))); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]string{"tool": "imported", "delta": "cannot"}, reported(t, s.Ctl("import", "--pull", "--format", "json", dir))); d != "" {
		t.Error(d)
	}
	if res := s.MustApp("tool", "cat", "/etc/origin"); res.Stdout != "far\n" {
		t.Errorf("%v", res)
	}
	s.MustCtl("remove", "tool")
	forget(t, s, dir, pilot)
}
