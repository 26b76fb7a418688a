package ctl

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/flake-launcher/flake-launcher/launcher"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// TestMain stands in for an installation: commands look for the launcher that links point to.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ctl-libexec-")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "flake-launcher"), nil, 0o755)
	}
	if err != nil {
		panic(err)
	}
	launcher.Libexec = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// call runs flake-ctl in this process over an empty FLAKES_ROOT.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main(context.Background(), args, Streams{Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	t.Setenv("FLAKES_ROOT", filepath.Join(t.TempDir(), "root"))
	tests := map[string]struct {
		args []string
		code int
		want string
	}{
		"nothing":                 {nil, 2, "expected one of"},
		"unknown command":         {[]string{"fetch"}, 2, "fetch"},
		"unknown flag":            {[]string{"list", "--bad"}, 2, "--bad"},
		"unknown format":          {[]string{"list", "--format", "xml"}, 2, "--format"},
		"pull without an image":   {[]string{"pull"}, 2, "an image is wanted"},
		"load without a file":     {[]string{"load"}, 2, "a file is wanted"},
		"register without --app":  {[]string{"register", "--container", "x"}, 2, "--app is wanted"},
		"layer without a base":    {[]string{"register", "--container", "x", "--app", "/x", "--layer", "l"}, 2, "--layer needs a --base"},
		"empty include":           {[]string{"register", "--container", "x", "--app", "/x", "--include-tar", ""}, 2, "--include-tar: the path is empty"},
		"relative target":         {[]string{"register", "--container", "x", "--app", "/x", "--target", "x"}, 2, "not an absolute path"},
		"remove nothing":          {[]string{"remove"}, 2, "either flakes or --container"},
		"remove both":             {[]string{"remove", "a", "--container", "b"}, 2, "either flakes or --container"},
		"force without container": {[]string{"remove", "a", "--force"}, 2, "--force goes with --container"},
		"unknown image":           {[]string{"register", "--container", "x", "--app", "/x"}, 1, "not in the store"},
		"import two directories":  {[]string{"import", "/a", "/b"}, 2, "one directory"},
		"undo a dry run":          {[]string{"import", "--undo", "--dry-run"}, 2, "--undo goes with"},
		"import as csv":           {[]string{"import", "--format", "csv"}, 2, "--format"},
		"import what is not":      {[]string{"import", "/no/such"}, 1, "no directory /no/such"},
		"undo what was not":       {[]string{"import", "--undo", "x"}, 1, "was not imported"},
		"remove unknown":          {[]string{"remove", "x"}, 1, "no flake named"},
		"remove unknown image":    {[]string{"remove", "--container", "x"}, 1, "not in the store"},
		"old spelling of remove":  {[]string{"podman", "remove", "--app", "/usr/bin/x"}, 1, "no flake named"},
		"old spelling of load":    {[]string{"podman", "load", "--oci", "/no/such/file"}, 1, "no such file"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			code, out, errs := call(t, tc.args...)
			if code != tc.code || !strings.Contains(errs, tc.want) || out != "" {
				t.Errorf("%d, stdout %q, stderr %q; want %d and %q", code, out, errs, tc.code, tc.want)
			}
			if n := strings.Count(errs, "flake-ctl: "); n != 2 {
				t.Errorf("not one cause and one remedy: %q", errs)
			}
		})
	}
}

func TestHelpHasAnExampleForEachCommand(t *testing.T) {
	for _, cmd := range []string{"pull", "load", "register", "list", "images", "remove", "gc", "import"} {
		code, out, errs := call(t, cmd, "--help")
		if code != 0 || errs != "" || !strings.Contains(out, "flake-ctl "+cmd) || !strings.Contains(out, "Example") {
			t.Errorf("%s: %d, %q, %q", cmd, code, out, errs)
		}
	}
}

func TestListFormats(t *testing.T) {
	root := t.TempDir()
	t.Setenv("FLAKES_ROOT", root)
	dir := filepath.Join(root, "registrations")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"a": "container: {name: i, host_app_path: /h/a, target_app_path: /t}\n", "b": "container: [\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string][]string{
		"table": {"NAME", "a     flake-launcher  /t", "b     flake-launcher  -"},
		"json":  {`"target_app_path": "/t"`, `"host_app_path": null`},
		"csv":   {"a,flake-launcher,/t,/h/a," + dir + "/a.yaml\nb,flake-launcher,,," + dir + "/b.yaml\n"},
	}
	for format, want := range tests {
		code, out, errs := call(t, "list", "--format", format)
		if code != 0 || !strings.Contains(errs, "warning: "+dir+"/b.yaml") {
			t.Errorf("%s: %d, %q", format, code, errs)
		}
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: %q lacks %q", format, out, w)
			}
		}
	}
}

func TestEmptyStoreIsNoError(t *testing.T) {
	t.Setenv("FLAKES_ROOT", filepath.Join(t.TempDir(), "root"))
	for format, want := range map[string]string{"json": "[]\n", "csv": "", "table": "NAME  ID  LAYERS  SIZE  PULLED\n"} {
		if code, out, errs := call(t, "images", "--format", format); code != 0 || out != want || errs != "" {
			t.Errorf("%s: %d, %q, %q", format, code, out, errs)
		}
	}
}

// An image is listed by each of its names.
func TestImagesOfSeveralNames(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	t.Setenv("FLAKES_ROOT", root)
	s, err := rootfs.Create(root)
	if err != nil {
		t.Fatal(err)
	}
	tmp, err := s.Temp("test")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	layer, manifest := filepath.Join(tmp.Dir(), "l"), []byte("{}")
	id, d := digest.FromString("layer"), digest.FromBytes(manifest)
	err = errors.Join(os.Mkdir(layer, 0o755), s.CommitLayer(layer, id.Encoded()),
		s.PutImage(rootfs.Record{Digest: d, Layers: []rootfs.LayerRecord{{ID: id.Encoded(), DiffID: id}}}, manifest, []byte("{}")),
		s.SetRef("localhost/a:latest", d), s.SetRef("localhost/b:latest", d))
	if err != nil {
		t.Fatal(err)
	}
	for format, want := range map[string]int{"table": 2, "csv": 2, "json": 1} {
		code, out, errs := call(t, "images", "--format", format)
		if code != 0 || strings.Count(out, d.Encoded()[:12]) != want || !strings.Contains(out, "localhost/b:latest") {
			t.Errorf("%s: %d, %q, %q", format, code, out, errs)
		}
	}
}

func TestImportThatIsDryMakesNoStore(t *testing.T) {
	dir := t.TempDir()
	root, link := filepath.Join(dir, "root"), filepath.Join(dir, "x")
	t.Setenv("FLAKES_ROOT", root)
	err := os.WriteFile(filepath.Join(dir, "x.yaml"), []byte("container: {name: none, target_app_path: /t, host_app_path: "+link+"}\n"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs := call(t, "import", "--dry-run", "--format", "json", dir)
	if code != 1 || !strings.Contains(out, `"state": "cannot"`) || !strings.Contains(errs, "can't import x") {
		t.Errorf("%d, %q, %q", code, out, errs)
	}
	if _, err := os.Lstat(root); err == nil {
		t.Error("a store was made")
	}
	if code, out, errs = call(t, "import", "--format", "json", t.TempDir()); code != 0 || !strings.Contains(out, `"flakes": []`) {
		t.Errorf("nothing to import: %d, %q, %q", code, out, errs)
	}
}

func TestHumanSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1 kB", 5140000: "5.14 MB", 205e6: "205 MB", 3e12: "3 TB"} {
		if got := humanSize(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
