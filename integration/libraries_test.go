package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/hostlink/elflink"
	"github.com/flake-launcher/flake-launcher/integration/fixture"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// A host program with some forty libraries, in a base that has a few of them.
func TestRealLibrariesOfHostFiles(t *testing.T) { fixture.Each(t, testRealLibrariesOfHostFiles) }

func testRealLibrariesOfHostFiles(t *testing.T, by fixture.Caller) {
	base := fixture.Real(t, "bookworm")
	fixture.RequireProgram(t, "zypper")
	out, err := exec.Command(fixture.RequireProgram(t, "dpkg-query"), "-L", "zypper", "zypper-common").Output()
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for line := range strings.Lines(string(out)) { // as an image's manifest has it: no directories
		name := strings.TrimSpace(line)
		if fi, err := os.Stat(name); err == nil && !fi.IsDir() {
			files = append(files, name)
		}
	}
	view, err := rootfs.NewView([]string{filepath.Join(base.Dir, "rootfs")})
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	manifest, err := hostlink.ParseManifest(strings.NewReader(strings.Join(files, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	plan, err := hostlink.Resolve(hostlink.Request{Sources: []hostlink.Source{{Manifest: manifest}}, Image: view})
	if err != nil {
		t.Fatal(err)
	}
	r, err := elflink.Link(elflink.Request{Image: view, Linked: plan})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v", took)
	}
	if len(r.Report.Missing) > 0 || len(r.Sources) != 1 || len(r.Nodes) > 0 {
		t.Fatalf("%s, %d sources, nodes %v", r.Report.Warning(), len(r.Sources), r.Nodes)
	}
	for _, e := range r.Sources[0].Manifest.Entries {
		if strings.Contains(e.UnsafePath, "libc.so.6") {
			t.Errorf("%s comes from the host, the base's own would do", e.UnsafePath)
		}
		files = append(files, e.UnsafePath)
	}
	s := real(t, by)
	s.MustCtl("load", s.Share(base.Archive))
	s.Load(fixture.Delta(t, "tool", "file removed data="+quote(strings.Join(files, "\n")+"\n")))
	s.Register("zypper", "tool", "--base", "bookworm", "--target", "/usr/bin/zypper", "--profile", "isolated")
	if res := s.MustApp("zypper", "--version"); res.Stdout != hostSays(t, "zypper", "--version") {
		t.Errorf("%v", res)
	}
	if res := s.MustApp("zypper", "--help"); !strings.Contains(res.Stdout, "install, in") {
		t.Errorf("%v", res)
	}
}
