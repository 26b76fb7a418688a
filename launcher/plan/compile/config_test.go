package compile

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

func image(cfg ispec.ImageConfig) rootfs.Stored {
	return rootfs.Stored{Image: &rootfs.Image{Config: ispec.Image{Config: cfg}}}
}

func TestMergeConfigs(t *testing.T) {
	base := image(ispec.ImageConfig{
		Env: []string{"PATH=/base", "A=1", "B=1"}, Entrypoint: []string{"/entry"}, Cmd: []string{"base-cmd"}, WorkingDir: "/w", User: "u",
	})
	tests := map[string]struct {
		images []rootfs.Stored
		want   stackConfig
	}{
		"later values win, the place stays": {
			[]rootfs.Stored{base, image(ispec.ImageConfig{Env: []string{"C=3", "A=2"}})},
			stackConfig{env: []string{"PATH=/base", "A=2", "B=1", "C=3"}, entrypoint: []string{"/entry"}, cmd: []string{"base-cmd"}, workdir: "/w", user: "u"},
		},
		"the topmost entrypoint brings its own Cmd, also none": {
			[]rootfs.Stored{base, image(ispec.ImageConfig{Entrypoint: []string{"/top"}}), image(ispec.ImageConfig{Cmd: []string{"delta-cmd"}})},
			stackConfig{env: []string{"PATH=/base", "A=1", "B=1"}, entrypoint: []string{"/top"}, workdir: "/w", user: "u"},
		},
		"without an entrypoint the delta's Cmd counts": {
			[]rootfs.Stored{image(ispec.ImageConfig{Cmd: []string{"a"}}), image(ispec.ImageConfig{Cmd: []string{"b"}, User: "7", WorkingDir: "/d"})},
			stackConfig{cmd: []string{"b"}, workdir: "/d", user: "7"},
		},
		"variables without a name are dropped": {
			[]rootfs.Stored{image(ispec.ImageConfig{Env: []string{"=x", "novalue", "OK=", "N=a\x00b"}})},
			stackConfig{env: []string{"OK="}},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, mergeConfigs(tc.images), cmp.AllowUnexported(stackConfig{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestFollowHost(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"etc", "run/resolve"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "etc/resolv.conf")
	if err := os.Symlink("../run/resolve/stub", link); err != nil {
		t.Fatal(err)
	}
	want := []plan.Check{plan.NewCheck(dir + "/etc"), plan.NewCheck(dir + "/run/resolve")}
	if real, dirs := followHost(link); real != "" || !cmp.Equal(dirs, append(want, plan.NewCheck(dir+"/run"))) {
		t.Errorf("dangling: %q, %+v", real, dirs)
	}
	if err := os.WriteFile(filepath.Join(dir, "run/resolve/stub"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	want[1] = plan.NewCheck(dir + "/run/resolve")
	if real, dirs := followHost(link); real != dir+"/run/resolve/stub" || !cmp.Equal(dirs, want) {
		t.Errorf("found: %q, %+v", real, dirs)
	}
}

func TestCommand(t *testing.T) {
	stack := stackConfig{entrypoint: []string{"/e"}, cmd: []string{"c"}, workdir: "srv/../w"}
	var p plan.Plan
	if err := command(&p, Request{Flake: &flake.Flake{}}, stack); err != nil {
		t.Fatal(err)
	}
	if p.Cwd != "/w" || !cmp.Equal(p.Env, []string{"PATH=" + defaultPath}) || !cmp.Equal(p.Entrypoint, []string{"/e"}) {
		t.Errorf("own entrypoint: %+v", p)
	}
	p = plan.Plan{}
	if err := command(&p, Request{Flake: &flake.Flake{}, Target: "/t"}, stack); err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(p.Entrypoint, []string{"/t"}) || p.Cmd != nil {
		t.Errorf("target: %+v", p)
	}
	if err := command(&plan.Plan{}, Request{Flake: &flake.Flake{}}, stackConfig{}); err == nil {
		t.Error("an image without a command was accepted")
	}
	if err := command(&plan.Plan{}, Request{Flake: &flake.Flake{}, AdHoc: true}, stackConfig{}); err != nil {
		t.Errorf("ad hoc: %v", err)
	}
}

// Layers are shared by their nodes' keys: no field of a node may be without consequence.
func TestNodeKey(t *testing.T) {
	keys := map[string]string{string(nodeKey(nil, hostlink.Node{})): "nothing"}
	count := func(field string, n hostlink.Node) {
		t.Helper()
		key := string(nodeKey(nil, n))
		if other := keys[key]; other != "" {
			t.Errorf("%s gives the key of %s", field, other)
		}
		keys[key] = field
	}
	for i := range reflect.TypeFor[hostlink.Node]().NumField() {
		var n hostlink.Node
		field := reflect.ValueOf(&n).Elem().Field(i)
		name := reflect.TypeFor[hostlink.Node]().Field(i).Name
		switch field.Kind() {
		case reflect.String:
			field.SetString("x")
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Int, reflect.Int64:
			field.SetInt(7)
		case reflect.Uint32, reflect.Uint64:
			field.SetUint(7)
		case reflect.Array:
			for j := range field.Len() {
				field.Index(j).SetUint(7)
				count(fmt.Sprint(name, j), n)
			}
			continue
		case reflect.Struct:
			for j := range field.NumField() {
				field.Field(j).SetInt(7)
				count(fmt.Sprint(name, j), n)
			}
			continue
		default:
			t.Fatalf("%s is of a kind that this test does not know", name)
		}
		count(name, n)
	}
	// Names are an image's: none may look like another.
	for _, path := range []string{"/a\xff", "/a\xfe", "/a\ufffd", "/a\"\"b", "/a\n"} {
		count(path, hostlink.Node{Path: path})
	}
}

// A directory that may have changed without a trace is no ground to trust a plan on.
func TestWatched(t *testing.T) {
	dir := t.TempDir()
	now := plan.NewCheck(dir)
	w := hostlink.Watched{Path: dir, Dev: now.Dev, Ino: now.Ino, Mtime: unix.NsecToTimespec(now.Mtime)}
	if !watched(w).Holds() {
		t.Errorf("nothing has changed: %+v", w)
	}
	w.Racy = true
	if watched(w).Holds() {
		t.Error("a racy look is trusted")
	}
	w.Racy = false
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(dir, time.Time{}, time.Unix(0, now.Mtime+1)); err != nil {
		t.Fatal(err)
	}
	if watched(w).Holds() {
		t.Error("a change is not seen")
	}
}
