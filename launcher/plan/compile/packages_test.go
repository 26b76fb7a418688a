package compile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
	"github.com/flake-launcher/flake-launcher/nsexec/seccomp"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// newCompiler is one over an empty store, and over a host of dpkg's with the package "tool".
func newCompiler(t *testing.T) *Compiler {
	t.Helper()
	if _, err := seccomp.Compile(nil); errors.Is(err, seccomp.ErrUnavailable) {
		t.Skip("needs cgo: plans hold a compiled seccomp profile")
	}
	s, err := rootfs.Create(filepath.Join(t.TempDir(), "root"))
	must(t, err)
	images, err := rootfs.OpenSet(s, nil)
	must(t, err)
	host := t.TempDir()
	grow(t, host, map[string]string{
		"usr/bin/tool": "x", "etc/tool.conf": "x", "usr/lib/libtool.so": "x", "usr/bin/stray": "x",
		"var/lib/dpkg/status": "Package: tool\nStatus: install ok installed\nArchitecture: all\nDepends: lib\nConffiles:\n /etc/tool.conf 00\n\n" +
			"Package: lib\nStatus: install ok installed\nArchitecture: all\n",
		"var/lib/dpkg/info/tool.list": "/.\n/usr\n/usr/bin\n/usr/bin/tool\n/etc\n/etc/tool.conf\n/usr/share/doc/tool\n",
		"var/lib/dpkg/info/lib.list":  "/.\n/usr\n/usr/lib\n/usr/lib/libtool.so\n",
	})
	return &Compiler{Store: s, Images: images, HostRoot: host, Caller: Caller{UID: os.Geteuid(), GID: os.Getegid(), Privileged: rootfs.Privileged()}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func grow(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o755))
	}
}

// put stores an image of one layer.
func (c *Compiler) put(t *testing.T, name string, files map[string]string) {
	t.Helper()
	tmp, err := c.Store.Temp("test")
	must(t, err)
	defer tmp.Close()
	layer := filepath.Join(tmp.Dir(), "l")
	must(t, os.Mkdir(layer, 0o755))
	grow(t, layer, files)
	id := digest.FromString(name + fmt.Sprint(files))
	must(t, c.Store.CommitLayer(layer, id.Encoded()))
	config, err := json.Marshal(ispec.Image{Config: ispec.ImageConfig{Cmd: []string{"/bin/app"}}})
	must(t, err)
	manifest := []byte(`{"name":"` + id.String() + `"}`)
	d := digest.FromBytes(manifest)
	must(t, c.Store.PutImage(rootfs.Record{Digest: d, Layers: []rootfs.LayerRecord{{ID: id.Encoded(), DiffID: id}}}, manifest, config))
	must(t, c.Store.SetRef("localhost/"+name+":latest", d))
}

// try compiles the images, the first of which is the base.
func (c *Compiler) try(t *testing.T, adjust func(f *flake.Flake), names ...string) (*Result, error) {
	t.Helper()
	f := &flake.Flake{Container: flake.Container{Name: names[len(names)-1], TargetAppPath: "/bin/app"}}
	if len(names) > 1 {
		f.Container.BaseContainer, f.Container.Layers = names[0], names[1:len(names)-1]
	}
	if adjust != nil {
		adjust(f)
	}
	req, err := FromFlake("test", f)
	must(t, err)
	return c.Compile(context.Background(), req)
}

func linkedFrom(res *Result, from string) []string {
	var out []string
	for _, l := range res.Host.Linked {
		if l.From == from && l.Kind != hostlink.KindDir {
			out = append(out, l.Path+" "+l.Origin)
		}
	}
	slices.Sort(out)
	return out
}

var app = map[string]string{"bin/app": "#!/bin/sh\n"}

func TestHostSystem(t *testing.T) {
	c := newCompiler(t)
	c.put(t, "app", app)
	time.Sleep(60 * time.Millisecond) // a directory that has only just changed is not trusted
	for deps, want := range map[string][]string{
		"": {"etc/tool.conf tool", "usr/bin/tool tool"}, DepsFiles: {"etc/tool.conf tool", "usr/bin/tool tool"},
		DepsPackages: {"etc/tool.conf tool", "usr/bin/tool tool", "usr/lib/libtool.so lib"},
	} {
		res, err := c.try(t, func(f *flake.Flake) { f.HostSystem, f.HostFiles.Deps = []string{"tool"}, deps }, "app")
		must(t, err)
		if got := linkedFrom(res, hostlink.SourcePackage); !slices.Equal(got, want) {
			t.Errorf("deps %q: %q", deps, got)
		}
		missing := 0
		for _, s := range res.Host.Skipped {
			if s.Cause == hostlink.CauseMissing {
				missing++ // the documentation
			}
		}
		if missing != 1 {
			t.Errorf("deps %q: %+v", deps, res.Host.Skipped)
		}
		if ok, changed := res.Plan.Fresh(); !ok {
			t.Errorf("stale at once: %s", changed)
		}
	}
	res, err := c.try(t, nil, "app")
	must(t, err)
	if slices.ContainsFunc(res.Plan.Checks, func(ch plan.Check) bool { return strings.HasPrefix(ch.Path, c.HostRoot+"/var/lib/dpkg") }) {
		t.Error("a plan without host files depends on the package database")
	}
}

// An update of the database has the plan compiled again, whatever it changed.
func TestHostSystemFreshness(t *testing.T) {
	c := newCompiler(t)
	c.put(t, "app", app)
	want := func(f *flake.Flake) { f.HostSystem = []string{"tool"} }
	res, err := c.try(t, want, "app")
	must(t, err)
	status := filepath.Join(c.HostRoot, "var/lib/dpkg/status")
	b, err := os.ReadFile(status)
	must(t, err)
	must(t, os.WriteFile(status+"-new", b, 0o644))
	must(t, os.Rename(status+"-new", status))
	if ok, _ := res.Plan.Fresh(); ok {
		t.Error("a new state of the database is not seen")
	}
}

func TestMissingPackages(t *testing.T) {
	c := newCompiler(t)
	c.put(t, "base", map[string]string{"bin/app": "#!/bin/sh\n", "systemfiles": "set -e\nrpm --noghost -ql tool\n"})
	c.put(t, "layer", map[string]string{"systemfiles": "set -e\nrpm --noghost -ql lib\nrpm --noghost -ql gone\n\n"})
	c.put(t, "delta", map[string]string{"systemfiles": "set -e\nrpm --noghost -ql none\n"})
	c.put(t, "app", app)
	both := func(f *flake.Flake) { f.HostSystem = []string{"tool", "never"} }
	ignore := func(f *flake.Flake) { both(f); f.HostFiles.IgnoreMissing = true }

	var missing *PackageError
	_, err := c.try(t, nil, "base", "layer", "delta")
	if !errors.As(err, &missing) || missing.By != `image "layer"` || missing.Missing[0] != "gone" || !strings.Contains(err.Error(), `"test"`) {
		t.Errorf("%v", err)
	}
	if _, err = c.try(t, both, "app"); !errors.As(err, &missing) || missing.By != "hostsystem" || !slices.Equal(missing.Missing, []string{"never"}) {
		t.Errorf("%v", err)
	}
	res, err := c.try(t, ignore, "base", "layer", "delta")
	must(t, err)
	if got := res.Host.MissingPackages(); !slices.Equal(got, []string{"never", "gone", "none"}) {
		t.Errorf("left out: %q", got)
	}
	if got := linkedFrom(res, hostlink.SourceScript); !slices.Equal(got, []string{"usr/lib/libtool.so layer"}) {
		t.Errorf("linked for images: %q", got)
	}
	// What the flake names itself too is its own: then its needs are looked for.
	if got := linkedFrom(res, hostlink.SourcePackage); !slices.Equal(got, []string{"etc/tool.conf tool", "usr/bin/tool tool"}) {
		t.Errorf("linked for the flake: %q", got)
	}
	// Without a base, images are not asked.
	if _, err := c.try(t, nil, "base"); err != nil {
		t.Errorf("%v", err)
	}
	c.HostRoot = t.TempDir()
	if _, err := c.try(t, both, "app"); err == nil || !strings.Contains(err.Error(), "no package database") {
		t.Errorf("without a database: %v", err)
	}
	if res, err = c.try(t, ignore, "app"); err != nil || len(res.Host.MissingPackages()) != 2 {
		t.Errorf("without a database: %v", err)
	}
}

// What files of packages need comes behind everything else; what is wrong with it is reported.
func TestLibrariesOfPackages(t *testing.T) {
	c := newCompiler(t)
	c.put(t, "app", app)
	grow(t, c.HostRoot, map[string]string{"usr/bin/tool": "#!/usr/bin/env interp\n", "usr/bin/interp": "x", "usr/bin/env": "#!/no/such\n"})
	want := func(deps string) func(f *flake.Flake) {
		return func(f *flake.Flake) { f.HostSystem, f.HostFiles.Deps = []string{"tool"}, deps }
	}
	res, err := c.try(t, want(""), "app")
	must(t, err)
	if got := linkedFrom(res, hostlink.SourceLibrary); !slices.Equal(got, []string{"usr/bin/env libraries", "usr/bin/interp libraries"}) {
		t.Errorf("%q", got)
	}
	r := res.Host.Libraries
	if len(r.Missing) != 1 || r.Missing[0].Need.String() != "/usr/bin/env needs /no/such" || len(r.Host) != 2 || r.Host[0].File != "/usr/bin/tool" {
		t.Errorf("%+v", r)
	}
	for deps, packages := range map[string][]string{DepsFiles: {"tool"}, DepsLibs: nil} {
		res, err = c.try(t, func(f *flake.Flake) { f.HostSystem, f.HostFiles.Deps = packages, deps }, "app")
		must(t, err)
		if got := linkedFrom(res, hostlink.SourceLibrary); len(got)+len(res.Host.Libraries.Missing) > 0 {
			t.Errorf("%s of %v: %q", deps, packages, got)
		}
	}
}

// What files need that an image asks for is told, and left at that.
func TestNeedsOfListedFiles(t *testing.T) {
	c := newCompiler(t)
	c.put(t, "base", app)
	c.put(t, "app", map[string]string{"removed": "usr/bin/tool\nusr/bin/lost\n"})
	grow(t, c.HostRoot, map[string]string{"usr/bin/tool": "#!/usr/bin/interp\n", "usr/bin/lost": "#!/no/such\n", "usr/bin/interp": "x"})
	for needs, want := range map[bool][]string{
		true: {"/usr/bin/lost needs /no/such ", "/usr/bin/tool needs /usr/bin/interp " + c.HostRoot + "/usr/bin/interp"}, false: nil,
	} {
		c.Needs = needs
		res, err := c.try(t, func(*flake.Flake) {}, "base", "app")
		must(t, err)
		var got []string
		for _, m := range res.Host.Libraries.Missing {
			got = append(got, m.Need.String()+" "+m.Host)
		}
		if !slices.Equal(got, want) || len(linkedFrom(res, hostlink.SourceLibrary)) > 0 {
			t.Errorf("%v: want %q, got %q", needs, want, got)
		}
		if res, err = c.try(t, func(f *flake.Flake) { f.HostFiles.Deps = DepsFiles }, "base", "app"); err != nil || len(res.Host.Libraries.Missing) > 0 {
			t.Errorf("no more than files: %v, %v", res.Host.Libraries.Missing, err)
		}
		// The package's own are seen to, and once.
		res, err = c.try(t, func(f *flake.Flake) { f.HostSystem = []string{"tool"} }, "base", "app")
		must(t, err)
		if got := linkedFrom(res, hostlink.SourceLibrary); !slices.Equal(got, []string{"usr/bin/interp libraries"}) {
			t.Errorf("%v, as a package: %q", needs, got)
		}
	}
}

// The images' PATH and the flake's say where programs are looked for; one that depends on the caller says nothing.
func TestSearchPath(t *testing.T) {
	c := newCompiler(t)
	c.put(t, "app", app)
	grow(t, c.HostRoot, map[string]string{"usr/bin/tool": "#!/usr/bin/env interp\n", "usr/bin/interp": "x", "usr/bin/env": "x"})
	for path, want := range map[string]int{"/opt/bin:relative": 1, "/usr/bin": 0, "%PATH": 0} {
		res, err := c.try(t, func(f *flake.Flake) {
			f.HostSystem, f.Env.Set = []string{"tool"}, map[string]string{"PATH": path}
		}, "app")
		must(t, err)
		n := 0
		for _, h := range res.Host.Libraries.Host {
			if h.Path == "/opt/bin/interp" && h.Host == "/usr/bin/interp" && h.Line == 0 {
				n++
			}
		}
		if n != want {
			t.Errorf("%s: %+v", path, res.Host.Libraries.Host)
		}
	}
}

// A script is run once for each state of host and database.
func TestScriptRunsOnce(t *testing.T) {
	if _, err := initproc.Binary(); errors.Is(err, initproc.ErrNotBuilt) {
		t.Skip("needs `make programs`")
	}
	if !rootfs.Privileged() {
		t.Skip("needs root: the host is a directory with the machine's own programs in it")
	}
	c := newCompiler(t)
	host := c.HostRoot
	c.HostRoot = "/"
	dir := t.TempDir()
	must(t, os.Chmod(filepath.Dir(dir), 0o755))
	must(t, os.Chmod(dir, 0o755))
	grow(t, dir, map[string]string{"one": "x"})
	// What it prints depends on what is there, so a second run would show.
	c.put(t, "base", map[string]string{"bin/app": "#!/bin/sh\n", "systemfiles": "cat /proc/uptime >/dev/null; date +/nowhere/%N; echo " + dir + "/one\n"})
	c.put(t, "delta", map[string]string{"etc/x": ""})
	p := &packages{root: host}
	run := func() string {
		t.Helper()
		m, err := c.script(context.Background(), p, "test", "base", []byte("date +/nowhere/%N; id -u >&2\n"))
		must(t, err)
		return fmt.Sprint(m)
	}
	first := run()
	if second := run(); second != first {
		t.Errorf("run again: %s, then %s", first, second)
	}
	must(t, os.WriteFile(filepath.Join(host, "var/lib/dpkg/status"), []byte("Package: other\nStatus: install ok installed\n"), 0o644))
	p = &packages{root: host}
	third := run()
	if third == first {
		t.Error("not run again in another state")
	}
	files, err := filepath.Glob(filepath.Join(c.Store.SystemFilesDir(), "*"))
	if must(t, err); len(files) != 1 {
		t.Errorf("kept: %q", files)
	}
	// A file that was cut short counts for nothing.
	b, err := os.ReadFile(files[0])
	must(t, err)
	must(t, os.WriteFile(files[0], b[:len(b)-2], 0o600))
	if run() == third {
		t.Error("a damaged file was taken")
	}
	res, err := c.try(t, func(f *flake.Flake) { f.HostFiles.Keep = []string{"tmp/**"} }, "base", "delta")
	must(t, err)
	if got := linkedFrom(res, hostlink.SourceScript); len(got) != 1 || !strings.HasSuffix(got[0], "/one base") {
		t.Errorf("%q", got)
	}
}

func TestEdited(t *testing.T) {
	c := newCompiler(t)
	host := &hostFiles{resolved: &hostlink.Plan{}, packages: &packages{root: c.HostRoot}}
	grow(t, c.HostRoot, map[string]string{
		"var/lib/dpkg/info/tool.list": "/usr/bin/tool\n/usr/share/tool.conf\n/usr/local/bin/tool\n",
		"var/lib/dpkg/status":         "Package: tool\nStatus: install ok installed\nConffiles:\n /usr/share/tool.conf 00\n",
	})
	for _, path := range []string{"/usr/bin/tool", "/usr/bin/stray", "/usr/share/tool.conf", "/usr/local/bin/tool"} {
		host.resolved.Links = append(host.resolved.Links, hostlink.Link{Source: path})
	}
	for n := range minLayer {
		host.resolved.Links = append(host.resolved.Links, hostlink.Link{Source: fmt.Sprintf("/usr/bin/more%d", n)})
	}
	c.HostRoot = "/" // where data directories are
	edited := c.edited(host)
	for path, want := range map[string]bool{"/usr/bin/tool": false, "/usr/bin/stray": true, "/usr/share/tool.conf": true, "/usr/local/bin/tool": true} {
		if edited(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
	if len(host.packages.checks) == 0 {
		t.Error("the database was asked, and nothing tells of its next state")
	}
	host.packages = &packages{root: t.TempDir()}
	if edited = c.edited(host); edited("/usr/bin/stray") || !edited("/usr/local/bin/tool") {
		t.Error("without a database only /usr/local is edited")
	}
}
