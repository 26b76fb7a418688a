package explain

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/hostlink/elflink"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

func TestOf(t *testing.T) {
	s, host := subject(t)
	e, err := Of(s, true)
	must(t, err)
	var origins []string
	for _, o := range e.Origins {
		origins = append(origins, fmt.Sprintf("%s %s %d %d", o.Role, o.Name, o.Files, o.Bytes))
	}
	// Of the base: sh, usr/lib/one and two, the symlink lib; of the delta: app, and the symlink loop. The hidden manifest is
	// no file, what is laid over another counts once.
	want := []string{"base b 4 11", "delta d 2 19", "host  2 19", "launcher  2 0"}
	if diff := cmp.Diff(want, origins); diff != "" {
		t.Errorf("origins: %s", diff)
	}
	if diff := cmp.Diff(Strategy{Layer: 1, Bind: 1, Data: []string{"/usr"}, Follow: true}, e.Strategy); diff != "" {
		t.Errorf("strategy: %s", diff)
	}
	if diff := cmp.Diff([]Image{{"base", "b", "sha256:0123456789abcdef"}, {"delta", "d", "sha256:fedcba9876543210"}}, e.Images); diff != "" {
		t.Errorf("images: %s", diff)
	}
	files := map[string]string{}
	for _, f := range e.Files {
		files[f.Path] = f.Role
	}
	for path, role := range map[string]string{
		"/bin/app": "delta", "/bin/sh": "base", "/etc/conf": "host", "/etc/hosts": "launcher", "/etc/link": "launcher", "/opt/gone/x": "", "/removed": "delta",
	} {
		if path == "/removed" {
			role = ""
		}
		if files[path] != role {
			t.Errorf("%s is of %q, not of %q", path, files[path], role)
		}
	}
	for _, d := range e.Directories {
		if d.Path == "/usr/lib" && (len(d.Origins) != 1 || d.Origins[0].Files != 2) || d.Path == "/usr" && len(d.Origins) != 2 {
			t.Errorf("%+v", d)
		}
	}
	if len(e.LeftOut) != 2 || len(e.Dangling) != 1 || len(e.Replaced) != 1 || len(e.Unreadable) != 1 {
		t.Errorf("%+v", e)
	}
	if diff := cmp.Diff(Shares{
		Profile: "native", Home: "/home/x", Cwd: "/", Writable: "tmpfs", Network: true, Protected: []string{}, Copies: []Copy{{host + "/etc/hosts", "/etc/hosts"}},
		Binds: []Bind{{Source: host + "/share", Target: "/mnt/%WHERE"}, {Source: host + "/share/file", Target: "/dev/sub/mine"}, {Target: "/scratch", Tmpfs: true}, {Source: host + "/none", Target: "/no/optional", Optional: true}},
	}, e.Shares); diff != "" {
		t.Errorf("shares: %s", diff)
	}
	if few, err := Of(s, false); err != nil || few.Files != nil {
		t.Errorf("not asked for each: %v, %v", few.Files, err)
	}
}

// Of a directory and a file in one place one shows, and nothing that is in the directory where it is the other.
func TestOfOtherKinds(t *testing.T) {
	s, host := subject(t)
	base := s.Compiled.Root.Layers[0].Dir
	must(t, os.MkdirAll(filepath.Join(base, "srv/dir"), 0o755))
	must(t, os.WriteFile(filepath.Join(base, "srv/dir/x"), nil, 0o644))
	must(t, os.WriteFile(filepath.Join(base, "srv/file"), nil, 0o644))
	s.Compiled.Host.Linked = append(s.Compiled.Host.Linked,
		hostlink.Linked{Path: "srv/dir", Target: "/srv/dir", Source: host + "/usr/bin/tool", Kind: hostlink.KindFile},
		hostlink.Linked{Path: "srv/file", Target: "/srv/file", Source: host + "/usr/bin", Kind: hostlink.KindDir},
		hostlink.Linked{Path: "lib", Target: "/lib", Source: host + "/usr/bin", Kind: hostlink.KindDir}, // the base's symlink stays
	)
	s.Compiled.Root.Nodes = append(s.Compiled.Root.Nodes, hostlink.Node{Path: "/srv/file", Kind: hostlink.KindDir, Mode: 0o755})
	e, err := Of(s, true)
	must(t, err)
	listed := map[string]bool{}
	for _, f := range e.Files {
		listed[f.Path] = true
	}
	for path, want := range map[string]bool{"/srv/dir": true, "/srv/dir/x": false, "/srv/file": false, "/lib": true} {
		if listed[path] != want {
			t.Errorf("%s is listed: %v", path, listed[path])
		}
	}
	for path, kind := range map[string]string{"/srv/dir": "file", "/srv/dir/x": "", "/srv/dir/..": "", "/srv/file": "directory"} {
		got, err := Path(s, path)
		must(t, err)
		if got.Is == nil && kind != "" || got.Is != nil && got.Is.Kind != kind {
			t.Errorf("%s is %+v, not %q", path, got.Is, kind)
		}
	}
}

// Each behaviour is a line that is there, of an explanation that was made for it.
func TestWrite(t *testing.T) {
	many := func(n int, from string) (out []HostFile) {
		for i := range n {
			place := fmt.Sprintf("/usr/bin/f%d", i)
			out = append(out, HostFile{Place: place, Source: place, Strategy: ByLayer, Because: Because{From: from, Image: "d", Line: i + 1, Entry: place[1:]}})
		}
		return out
	}
	for behaviour, test := range map[string]struct {
		make func(e *Explanation)
		all  bool
		want []string
		not  string
	}{
		"a fresh plan": {func(e *Explanation) { e.Plan.State = "fresh" }, false, []string{"plan: fresh\n"}, ""},
		"no plan":      {func(e *Explanation) { e.Plan.State = "none" }, false, []string{"plan: none yet; the next start compiles it\n"}, ""},
		"a stale one":  {func(e *Explanation) { e.Plan = PlanState{"stale", "/usr/bin"} }, false, []string{"plan: stale, /usr/bin changed; the next start compiles it again"}, ""},
		"some of many host files": {
			func(e *Explanation) { e.HostFiles = many(5, hostlink.SourceRemoved) }, false,
			[]string{"     5  layer, asked for by the manifest of d: /usr/bin/f0, /usr/bin/f1, /usr/bin/f2, …\n"}, "/usr/bin/f3",
		},
		"each of many": {
			func(e *Explanation) { e.HostFiles = many(5, hostlink.SourceScript) }, true,
			[]string{"  /usr/bin/f4  layer, /systemfiles of d, line 5\n"}, "",
		},
		"a file from elsewhere": {func(e *Explanation) {
			e.HostFiles = []HostFile{{Place: "/bin/x", Source: "/usr/bin/x", Strategy: ByBind, Because: Because{From: hostlink.SourcePackage, Image: "p", Line: 1}}}
		}, true, []string{"  /bin/x  bind of /usr/bin/x, host package p, line 1\n"}, ""},
		"a library": {func(e *Explanation) {
			e.HostFiles = []HostFile{{Place: "/l", Source: "/l", Strategy: ByBind, Because: Because{From: hostlink.SourceLibrary, For: "usr/bin/x", Why: string(elflink.WhyAbsent)}}}
		}, true, []string{"  /l  bind, usr/bin/x, which needs it: the images have none\n"}, ""},
		"behind a symlink": {func(e *Explanation) {
			e.HostFiles = []HostFile{{Place: "/l", Source: "/l", Strategy: ByBind, Because: Because{From: hostlink.SourceLink, Image: "d", For: "etc/l"}}}
		}, true, []string{"  /l  bind, the symlink etc/l (d)\n"}, ""},
		"no layer, strictly": {func(e *Explanation) { e.Strategy.NoLayer, e.Strategy.Strict = "not supported", true }, false,
			[]string{"  no host layer: not supported\n", "  freshness: strict"}, ""},
		"left out, the larger groups first": {func(e *Explanation) {
			for _, path := range []string{"a", "b", "c"} {
				cause := "noise"
				if path == "a" {
					cause = "missing"
				}
				e.LeftOut = append(e.LeftOut, LeftOut{cause, "why", Because{Entry: path}})
			}
		}, false, []string{"left out: 3 entries of manifests\n       2  noise: why: b, c\n       1  missing: why: a\n"}, ""},
		"duplicates in one group": {func(e *Explanation) {
			e.LeftOut = []LeftOut{{"duplicate", "same place as x", Because{Entry: "a"}}, {"duplicate", "same place as y", Because{Entry: "b"}}}
		}, false, []string{"       2  duplicate: a, b\n"}, ""},
		"what is missing": {func(e *Explanation) {
			e.Libraries.Missing = []elflink.Missing{{Need: elflink.Need{File: "/x", Name: "libz.so.1"}, Reason: "neither the images nor the host have it"}}
		}, false, []string{"what files of the host need: 0 from the images, 0 from the host besides, 1 missing\n  missing: /x needs libz.so.1: neither"}, ""},
		"no needs": {func(*Explanation) {}, false, nil, "what files of the host need"},
		"the rest of long lists": {func(e *Explanation) { e.Unreadable = []string{"/1", "/2", "/3", "/4", "/5"} }, false,
			[]string{"not yours to read, nor the app's: 5\n  /1\n  /2\n  /3\n  and 2 more\n"}, "/4"},
		"all of them": {func(e *Explanation) { e.Unreadable = []string{"/1", "/2", "/3", "/4", "/5"} }, true, []string{"  /5\n"}, "more"},
		"shares": {func(e *Explanation) {
			e.Shares = Shares{Profile: "project", Home: "/h", Cwd: "/w", Binds: []Bind{{Source: "/a", Target: "/b", ReadOnly: true, Optional: true}, {Target: "/t", Tmpfs: true}}}
		}, false, []string{"profile project: HOME /h, starts in /w, no network", "  shares /a at /b, read-only, if it is there\n", "  an empty file system at /t\n"}, ""},
		"names that would move the cursor": {func(e *Explanation) {
			e.HostFiles, e.Unreadable = []HostFile{{Place: "/a\x1b[2J", Strategy: ByDir}}, []string{"/b\nplan: fresh"}
		}, true, []string{`"/a\x1b[2J"`, `"/b\nplan: fresh"`}, "\x1b"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			e := &Explanation{Flake: "app", Plan: PlanState{State: "none"}}
			test.make(e)
			var b bytes.Buffer
			must(t, e.Write(&b, test.all))
			for _, want := range test.want {
				if !strings.Contains(b.String(), want) {
					t.Errorf("no %q in:\n%s", want, b.String())
				}
			}
			if test.not != "" && strings.Contains(b.String(), test.not) {
				t.Errorf("%q in:\n%s", test.not, b.String())
			}
		})
	}
}

// The tree has a line for a directory of several origins, and one for many that are of one alone.
func TestTree(t *testing.T) {
	s, _ := subject(t)
	e, err := Of(s, false)
	must(t, err)
	e.Directories = append(e.Directories, Directory{"/var", []Origin{{Role: "base", Files: 9}, {Role: "layer", Name: "l", Files: 1}}})
	for _, name := range []string{"a", "b", "c", "d"} {
		e.Directories = append(e.Directories, Directory{"/var/" + name, []Origin{{Role: "base", Files: 2}}})
	}
	var b bytes.Buffer
	must(t, e.Write(&b, false))
	for _, want := range []string{
		"/  base 4, delta 2, host 2, launcher 2\n", "  bin/  base 1, delta 1\n", "  var/  base 9, layer l 1\n", "    a/ … d/  4 directories, base alone\n",
		"  delta            2      19 B  d  fedcba987654\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in:\n%s", want, b.String())
		}
	}
}

func TestStateOf(t *testing.T) {
	dir := t.TempDir()
	file := dir + "/plan"
	if got, p := StateOf(file); got.State != "none" || p != nil {
		t.Errorf("there is no plan: %+v", got)
	}
	p := &plan.Plan{Build: plan.Build, Kernel: plan.Kernel(), Name: "app", Checks: []plan.Check{plan.NewCheck(dir + "/watched")}}
	must(t, p.Write(file))
	if got, p := StateOf(file); got.State != "fresh" || p == nil {
		t.Errorf("nothing has changed: %+v", got)
	}
	p.Checks[0].Absent = false
	must(t, p.Write(file))
	if got, p := StateOf(file); got != (PlanState{"stale", dir + "/watched"}) || p == nil {
		t.Errorf("something has changed: %+v", got)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_500_000: "1.5 MB", 2e9: "2.0 GB", 3e15: "3000.0 TB"} {
		if got := size(n); got != want {
			t.Errorf("%d: %s, not %s", n, got, want)
		}
	}
}
