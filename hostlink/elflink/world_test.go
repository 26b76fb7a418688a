package elflink

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

const (
	interp64  = "/lib64/ld-linux-x86-64.so.2"
	interpM   = "/lib/ld-musl-x86_64.so.1"
	multiarch = "/usr/lib/x86_64-linux-gnu"
)

// world is an image and a host.
type world struct {
	t         *testing.T
	img, host dirImage
	files     []string // that are linked
	drop      []string
	path      []string
}

func newWorld(t *testing.T) *world {
	return &world{t: t, img: dirImage(t.TempDir()), host: dirImage(t.TempDir())}
}

// debian lays out a root as Debian does, with a glibc that defines versions up to 2.N.
func (w *world) debian(d dirImage, minor int) {
	w.t.Helper()
	d.link(w.t, "lib", "usr/lib")
	d.link(w.t, "lib64", "usr/lib64")
	d.link(w.t, "usr/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
	w.glibc(d, multiarch, minor, "/lib/x86_64-linux-gnu/\x00"+multiarch+"/\x00/lib/\x00/usr/lib/")
}

// fedora lays out a root with everything in lib64.
func (w *world) fedora(d dirImage, minor int) {
	w.t.Helper()
	d.link(w.t, "lib", "usr/lib")
	d.link(w.t, "lib64", "usr/lib64")
	d.write(w.t, "usr/lib/os-release", []byte("fedora"))
	w.glibc(d, "/usr/lib64", minor, "/lib64/\x00/usr/lib64/")
}

// alpine lays out a root of musl.
func (w *world) alpine(d dirImage) {
	w.t.Helper()
	d.write(w.t, interpM, spec{soname: "libc.musl-x86_64.so.1"}.build())
	d.write(w.t, "usr/lib/libz.so.1", spec{soname: "libz.so.1", needed: []string{"libc.musl-x86_64.so.1"}}.build())
	d.write(w.t, "bin/sh", spec{interp: interpM, needed: []string{"libc.musl-x86_64.so.1"}}.build())
}

func (w *world) glibc(d dirImage, dir string, minor int, trusted string) {
	w.t.Helper()
	versions := []string{"GLIBC_2.2.5"}
	for i := 30; i <= minor; i++ {
		versions = append(versions, fmt.Sprintf("GLIBC_2.%d", i))
	}
	versions = append(versions, "GLIBC_PRIVATE")
	private := needsOf("libc.so.6", "GLIBC_2.2.5", "GLIBC_PRIVATE")
	d.write(w.t, dir+"/ld-linux-x86-64.so.2", spec{soname: "ld-linux-x86-64.so.2", defs: versions, tail: "\x00" + trusted + "\x00"}.build())
	d.write(w.t, dir+"/libc.so.6", spec{
		soname: "libc.so.6", defs: versions, interp: interp64, needed: []string{"ld-linux-x86-64.so.2"},
		needs: needsOf("ld-linux-x86-64.so.2", "GLIBC_2.2.5", "GLIBC_PRIVATE"),
	}.build())
	for _, name := range []string{"libm.so.6", "libresolv.so.2"} {
		d.write(w.t, dir+"/"+name, spec{soname: name, defs: versions, needed: []string{"libc.so.6"}, needs: private}.build())
	}
}

// lib is a library of glibc's world, behind a symlink as its soname.
func (w *world) lib(d dirImage, dir, soname string, s spec) {
	w.t.Helper()
	s.soname = soname
	if !slices.Contains(s.needed, "libc.so.6") && s.machine == 0 {
		s.needed = append(s.needed, "libc.so.6")
	}
	d.write(w.t, dir+"/"+soname+".0.1", s.build())
	d.link(w.t, dir+"/"+soname, soname+".0.1")
}

// program is a host file that is linked.
func (w *world) program(path string, s spec) {
	w.t.Helper()
	if s.interp == "" {
		s.interp = interp64
	}
	if !slices.Contains(s.needed, "libc.so.6") && s.interp == interp64 {
		s.needed = append(s.needed, "libc.so.6")
	}
	w.file(path, string(s.build()))
}

func (w *world) file(path, content string) {
	w.t.Helper()
	w.host.write(w.t, path, []byte(content))
	w.files = append(w.files, path)
}

func (w *world) sources(more ...hostlink.Source) []hostlink.Source {
	w.t.Helper()
	m, err := hostlink.ParseManifest(strings.NewReader(strings.Join(w.files, "\n")))
	if err != nil {
		w.t.Fatal(err)
	}
	return append([]hostlink.Source{{Origin: "files", Kind: hostlink.SourcePackage, Manifest: m}}, more...)
}

func (w *world) resolve(sources []hostlink.Source) *hostlink.Plan {
	w.t.Helper()
	p, err := hostlink.Resolve(hostlink.Request{Sources: sources, HostRoot: string(w.host), Image: w.img, Drop: w.drop})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

// outcome is what came of a world: the entries, the nodes, and what is missing, in short.
type outcome struct {
	Entries, Nodes, Missing []string
}

// link links, and checks by [Check] that the finished root has everything that was promised.
func (w *world) link() (*Result, outcome) {
	w.t.Helper()
	r, err := Link(Request{Image: w.img, HostRoot: string(w.host), Linked: w.resolve(w.sources()), Drop: w.drop, Path: w.path})
	if err != nil {
		w.t.Fatal(err)
	}
	var out outcome
	for _, s := range r.Sources {
		for i, e := range s.Manifest.Entries {
			out.Entries = append(out.Entries, e.UnsafePath)
			if e.Line != i+1 {
				w.t.Errorf("entry %d has line %d", i, e.Line)
			}
		}
	}
	for _, n := range r.Nodes {
		out.Nodes = append(out.Nodes, fmt.Sprintf("%s %s", n.Path, n.Target))
	}
	for _, m := range r.Report.Missing {
		out.Missing = append(out.Missing, m.String())
	}
	for _, t := range r.Report.Host {
		if t.Line > 0 && out.Entries[t.Line-1] != t.Path {
			w.t.Errorf("line %d is %q, not %q", t.Line, out.Entries[t.Line-1], t.Path)
		}
	}
	w.checkPlan(r, len(out.Missing) == 0)
	slices.Sort(out.Entries)
	return r, out
}

func (w *world) checkPlan(r *Result, complete bool) {
	w.t.Helper()
	plan := w.resolve(w.sources(r.Sources...))
	r.AddNodes(plan)
	missing, err := Check(context.Background(), Request{Image: w.img, Linked: plan})
	if err != nil {
		w.t.Fatal(err)
	}
	if complete && len(missing) > 0 {
		w.t.Errorf("in the finished root: %v", missing)
	}
	layer := w.t.TempDir()
	if err := hostlink.WriteLayer(layer, plan.Nodes, w.img); err != nil {
		w.t.Errorf("write layer: %v", err)
	}
	again, err := Link(Request{Image: w.img, HostRoot: string(w.host), Linked: plan, Drop: w.drop, Path: w.path})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(again.Sources) > 0 || len(again.Nodes) > 0 {
		w.t.Errorf("not finished: %+v, %+v", again.Sources, again.Nodes)
	}
}
