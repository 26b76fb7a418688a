package hostlink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// show renders what a test compares, one line each: links, nodes, skips
// (without words), replacements and dangling links. %H is the host's root.
func show(p *Plan, host string) []string {
	var out []string
	for _, l := range p.Links {
		out = append(out, fmt.Sprintf("link %s %s -> %s", l.Kind, strings.Replace(l.Source, host, "%H", 1), l.Target))
	}
	for _, n := range p.Nodes {
		line := fmt.Sprintf("node %s %s", n.Kind, n.Path)
		switch n.Kind {
		case KindDir:
			line += fmt.Sprintf(" %o", n.Mode)
		case KindSymlink:
			line += " " + n.Target
		}
		out = append(out, line)
	}
	for _, s := range p.Skipped {
		out = append(out, fmt.Sprintf("skip %s:%d %s %s", s.Origin, s.Line, s.Cause, s.Path))
	}
	for _, r := range p.Replaced {
		out = append(out, fmt.Sprintf("replace %s %s by %s", r.Path, r.Was, r.Now))
	}
	for _, d := range p.Dangling {
		out = append(out, fmt.Sprintf("dangling %s %s needs %s", d.Path, d.Target, d.Missing))
	}
	return out
}

func manifest(t testing.TB, lines ...string) Manifest {
	t.Helper()
	m, err := ParseManifest(strings.NewReader(strings.Join(lines, "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

type resolveCase struct {
	host, image, lines []string
	keep, drop         []string
	want               []string
}

var resolveCases = map[string]resolveCase{
	// Hostile.
	"escapes and kernel file systems": {
		host:  []string{"f etc/shadow", "f proc/1/root", "f dev/mem", "f sys/x", "l into proc"},
		lines: []string{"../../etc/shadow", "etc/shadow", "/etc/./shadow", "proc/1/root", "dev/mem", "sys/x", "into/1/root"},
		keep:  []string{"**"},
		want: []string{
			"skip app:1 refused ../../etc/shadow", "skip app:2 refused etc/shadow", "skip app:3 refused etc/shadow",
			"skip app:4 refused proc/1/root", "skip app:5 refused dev/mem", "skip app:6 refused sys/x",
			"skip app:7 refused into/1/root",
		},
	},
	"the image's parents lead out, into proc, or in circles": {
		host:  []string{"f a/x", "f b/x", "f c/x"},
		image: []string{"l a ../../../../etc", "l b /proc/self", "l c c"},
		lines: []string{"a/x", "b/x", "c/x"},
		want: []string{
			"link file %H/a/x -> /etc/x", "node dir /etc 755", "node file /etc/x",
			"skip app:2 refused b/x", "skip app:3 unreadable c/x",
		},
	},
	"a symlink on the host leads to secrets and databases": {
		host:  []string{"f etc/shadow", "f var/lib/dpkg/status", "l a etc", "l b /var/lib/dpkg", "d var/log/x"},
		lines: []string{"a/shadow", "b/status"},
		want:  []string{"skip app:1 refused a/shadow", "skip app:2 noise b/status"},
	},
	"an absolute symlink stays below the host's root": {
		host:  []string{"l abs /etc", "f etc/only-in-test"},
		lines: []string{"abs/only-in-test", "abs/hostname"},
		want: []string{
			"link file %H/etc/only-in-test -> /abs/only-in-test", "node dir /abs 755", "node file /abs/only-in-test",
			"skip app:2 missing abs/hostname",
		},
	},
	"FIFOs are skipped, sockets bound": {
		host:  []string{"p srv/fifo", "s srv/sock", "s srv/sock2"},
		image: []string{"f srv/sock2"},
		lines: []string{"srv/fifo", "srv/sock", "srv/sock2"},
		want: []string{
			"link socket %H/srv/sock -> /srv/sock", "link socket %H/srv/sock2 -> /srv/sock2",
			"node file /srv/sock", "skip app:1 type srv/fifo",
		},
	},
	"names are taken as they are": {
		host:  []string{"f srv/␠a", "f srv/a␠", "f srv/#x", "f -rf", `f srv/b\040`, "f srv/*"},
		image: []string{"d srv"},
		lines: []string{"srv/ a", "srv/a ", "srv/#x", "-rf", `srv/b\040`, "srv/*"},
		want: []string{
			"link file %H/-rf -> /-rf", "link file %H/srv/ a -> /srv/ a", "link file %H/srv/#x -> /srv/#x",
			"link file %H/srv/* -> /srv/*", "link file %H/srv/a  -> /srv/a ", `link file %H/srv/b\040 -> /srv/b\040`,
			"node file /-rf", "node file /srv/ a", "node file /srv/#x", "node file /srv/*", "node file /srv/a ", `node file /srv/b\040`,
		},
	},

	// What KIWI's manifests are made of.
	"regular files win over the image's": {
		host:  []string{"f usr/bin/x host", "f usr/bin/y host"},
		image: []string{"f usr/bin/x image", "l usr/bin/y x"},
		lines: []string{"usr/bin/x", "usr/bin/y"},
		want: []string{
			"link file %H/usr/bin/x -> /usr/bin/x", "link file %H/usr/bin/y -> /usr/bin/y",
			"node file /usr/bin/y", "replace /usr/bin/y symlink by file",
		},
	},
	"symlinks stay symlinks": {
		host: []string{"l etc/rel ../usr/x", "l etc/abs /usr/x", "l etc/broken nowhere", "l etc/same there", "l etc/other there", "l etc/file there"},
		image: []string{
			"f usr/x", "l etc/same there", "l etc/other elsewhere", "f etc/file",
		},
		lines: []string{"etc/rel", "etc/abs", "etc/broken", "etc/same", "etc/other", "etc/file"},
		want: []string{
			"node symlink /etc/abs /usr/x", "node symlink /etc/broken nowhere", "node symlink /etc/file there",
			"node symlink /etc/other there", "node symlink /etc/rel ../usr/x",
			"replace /etc/other symlink by symlink", "replace /etc/file file by symlink",
		},
	},
	"listed directories are made, not filled": {
		host:  []string{"d opt/new 1770", "f opt/new/inside", "d opt/have", "d lib", "d wasfile 0750", "d dangling"},
		image: []string{"d opt/have", "l lib usr/lib", "d usr/lib", "f wasfile", "l dangling nowhere"},
		lines: []string{"opt/new", "opt/have/", "lib", "wasfile", "dangling"},
		want: []string{
			"node dir /dangling 755", "node dir /opt/new 1770", "node dir /wasfile 750",
			"replace /wasfile file by dir", "replace /dangling symlink by dir",
		},
	},
	"what the host lacks is skipped": {
		host:  []string{"f usr/file"},
		lines: []string{"usr/none", "none/none", "usr/file/below"},
		want:  []string{"skip app:1 missing usr/none", "skip app:2 missing none/none", "skip app:3 missing usr/file/below"},
	},
	"noise, keep and drop": {
		host:  []string{"f var/log/a", "f var/log/b", "f etc/hosts", "f usr/x", "f usr/y", "f opt/p"},
		image: []string{"d var/log", "d usr"},
		lines: []string{"var/log/a", "var/log/b", "etc/hosts", "usr/x", "usr/y", "opt/p/q"},
		keep:  []string{"var/log/b", "usr/y"}, drop: []string{"usr/*"},
		want: []string{
			"link file %H/usr/y -> /usr/y", "link file %H/var/log/b -> /var/log/b",
			"node file /usr/y", "node file /var/log/b",
			"skip app:1 noise var/log/a", "skip app:3 noise etc/hosts", "skip app:4 dropped usr/x", "skip app:6 provided opt/p/q",
		},
	},

	// Where the two trees differ.
	"the image's parent is a symlink": {
		host:  []string{"f lib/x", "f lib/new/deep/y", "d lib/new 0711", "l usr/lib ../lib"},
		image: []string{"l lib usr/lib", "d usr/lib"},
		lines: []string{"lib/x", "usr/lib/x", "lib/new/deep/y"},
		want: []string{
			"link file %H/lib/new/deep/y -> /usr/lib/new/deep/y", "link file %H/lib/x -> /usr/lib/x",
			"node dir /usr/lib/new 711", "node dir /usr/lib/new/deep 755", "node file /usr/lib/new/deep/y", "node file /usr/lib/x",
			"skip app:2 duplicate usr/lib/x",
		},
	},
	"the host's parent is a symlink": {
		host:  []string{"l lib usr/lib", "f usr/lib/x"},
		image: []string{"d lib"},
		lines: []string{"lib/x", "usr/lib/x"},
		want: []string{
			"link file %H/usr/lib/x -> /lib/x", "link file %H/usr/lib/x -> /usr/lib/x",
			"node file /lib/x", "node dir /usr 755", "node dir /usr/lib 755", "node file /usr/lib/x",
		},
	},
	"the image's parent leads nowhere": {
		host:  []string{"f a/d/x", "d a/d 0700"},
		image: []string{"l a /gone/far"},
		lines: []string{"a/d/x"},
		want: []string{
			"link file %H/a/d/x -> /gone/far/d/x",
			"node dir /gone 755", "node dir /gone/far 755", "node dir /gone/far/d 700", "node file /gone/far/d/x",
		},
	},
	"the image's parent is a file": {
		host:  []string{"f a/b/x", "d a 0751", "f a/b/y"},
		image: []string{"f a"},
		lines: []string{"a/b/x", "a/b/y"},
		want: []string{
			"link file %H/a/b/x -> /a/b/x", "link file %H/a/b/y -> /a/b/y",
			"node dir /a 751", "node dir /a/b 755", "node file /a/b/x", "node file /a/b/y", "replace /a file by dir",
		},
	},
	"a file on the host, a directory in the image": {
		host:  []string{"f a"},
		image: []string{"f a/x"},
		lines: []string{"a"},
		want:  []string{"link file %H/a -> /a", "node file /a", "replace /a dir by file"},
	},
	"a symlink to a directory hides no directory": {
		host:  []string{"l lib usr/lib", "f usr/lib/x", "l toFile usr/lib/x"},
		image: []string{"f lib/ld.so", "f toFile/x"},
		lines: []string{"lib", "toFile"},
		want: []string{
			"node symlink /toFile usr/lib/x", "skip app:1 conflict lib", "replace /toFile dir by symlink",
			"dangling /toFile usr/lib/x needs /usr/lib/x",
		},
	},
	"links go through symlinks that came before": {
		host:  []string{"l a c", "f c/x"},
		image: []string{"d c"},
		lines: []string{"a", "a/x", "c/x"},
		want: []string{
			"link file %H/c/x -> /c/x", "node symlink /a c", "node file /c/x", "skip app:3 duplicate c/x",
		},
	},
	"no symlink over directories that links came to need": {
		host:  []string{"l a c", "f c/x"},
		lines: []string{"a/x", "a"},
		want: []string{
			"link file %H/c/x -> /a/x", "node dir /a 755", "node file /a/x", "skip app:2 conflict a",
		},
	},
	"no file where links lie below, none below a file": {
		host:  []string{"f a", "f l/x"},
		image: []string{"l l a", "d a"},
		lines: []string{"l/x", "a"},
		want:  []string{"link file %H/l/x -> /a/x", "node file /a/x", "skip app:2 conflict a"},
	},
	"none below a file": {
		host:  []string{"f a", "f l/x"},
		image: []string{"l l a", "d a"},
		lines: []string{"a", "l/x"},
		want:  []string{"link file %H/a -> /a", "node file /a", "skip app:2 conflict l/x", "replace /a dir by file"},
	},
	"duplicate and empty lines": {
		host:  []string{"f usr/x"},
		image: []string{"f usr/x"},
		lines: []string{"usr/x", "", "/usr/x", "./usr//x", ""},
		want:  []string{"link file %H/usr/x -> /usr/x", "skip app:3 duplicate usr/x", "skip app:4 duplicate usr/x"},
	},

	// Links whose targets no manifest names.
	"targets that only the host has are reported": {
		host: []string{
			"l etc/ssl/certs/X.0 X.pem", "l etc/ssl/certs/X.pem /usr/share/ca/X.crt", "f usr/share/ca/X.crt",
			"l etc/ssl/certs/Y.0 Y.pem", "l etc/ssl/certs/Y.pem /usr/share/ca/Y.crt", "f usr/share/ca/Y.crt",
			"l etc/ssl/certs/Z.0 Z.pem",
		},
		image: []string{"d etc/ssl/certs", "d usr/share"},
		lines: []string{"etc/ssl/certs/X.0", "etc/ssl/certs/Y.0", "etc/ssl/certs/Y.pem", "etc/ssl/certs/Z.0"},
		want: []string{
			"node symlink /etc/ssl/certs/X.0 X.pem", "node symlink /etc/ssl/certs/Y.0 Y.pem",
			"node symlink /etc/ssl/certs/Y.pem /usr/share/ca/Y.crt", "node symlink /etc/ssl/certs/Z.0 Z.pem",
			"dangling /etc/ssl/certs/X.0 X.pem needs /etc/ssl/certs/X.pem",
			"dangling /etc/ssl/certs/Y.0 Y.pem needs /usr/share/ca/Y.crt",
			"dangling /etc/ssl/certs/Y.pem /usr/share/ca/Y.crt needs /usr/share/ca/Y.crt",
		},
	},
	"targets that are linked, or that the launcher mounts, are no report": {
		host:  []string{"l etc/a ../usr/x", "f usr/x", "l etc/b /proc/mounts", "f proc/mounts", "l etc/c /opt/p/q", "f opt/p/q", "l etc/l l"},
		image: []string{"d etc", "d usr"},
		lines: []string{"etc/a", "usr/x", "etc/b", "etc/c", "etc/l"},
		want: []string{
			"link file %H/usr/x -> /usr/x", "node symlink /etc/a ../usr/x", "node symlink /etc/b /proc/mounts",
			"node symlink /etc/c /opt/p/q", "node symlink /etc/l l", "node file /usr/x",
		},
	},
}

func TestResolve(t *testing.T) {
	for name, c := range resolveCases {
		t.Run(name, func(t *testing.T) {
			host, image := grow(t, c.host...), grow(t, c.image...)
			plan, err := Resolve(Request{
				Sources:  []Source{{Origin: "app", Kind: "removed", Manifest: manifest(t, c.lines...)}},
				HostRoot: host, Image: dirImage{t, image}, Provided: []string{"/opt/p"}, Keep: c.keep, Drop: c.drop,
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, show(plan, host)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			checkPlan(t, plan)
		})
	}
}

// checkPlan checks what holds for each plan.
func checkPlan(t *testing.T, p *Plan) {
	t.Helper()
	seen := map[string]bool{}
	for _, n := range p.Nodes {
		if seen[n.Path] {
			t.Errorf("two nodes at %q", n.Path)
		}
		seen[n.Path] = true
	}
	targets := map[string]bool{}
	for _, l := range p.Links {
		if targets[l.Target] {
			t.Errorf("two mounts on %q", l.Target)
		}
		targets[l.Target] = true
	}
	for _, s := range p.Skipped {
		if s.Reason == "" {
			t.Errorf("%q is skipped without a reason", s.Path)
		}
	}
}

func TestResolveAddsUpSources(t *testing.T) {
	host := grow(t, "f usr/a", "f usr/b", "p usr/fifo")
	plan, err := Resolve(Request{
		Sources: []Source{
			{Origin: "base", Manifest: manifest(t, "usr/a", "..", "usr/none")},
			{Origin: "delta", Manifest: manifest(t, "usr/b", "usr/a", "usr/fifo")},
		},
		HostRoot: host, Image: dirImage{t, grow(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Linked{
		{Path: "usr/a", Target: "/usr/a", Source: host + "/usr/a", Kind: KindFile, Origin: "base", Line: 1},
		{Path: "usr/b", Target: "/usr/b", Source: host + "/usr/b", Kind: KindFile, Origin: "delta", Line: 1},
	}
	if diff := cmp.Diff(want, plan.Linked); diff != "" {
		t.Errorf("linked (-want +got):\n%s", diff)
	}
	for cause, n := range map[Cause]int{CauseRefused: 1, CauseMissing: 1, CauseDuplicate: 1, CauseType: 1, CauseNoise: 0} {
		if got := plan.Count(cause); got != n {
			t.Errorf("%d skipped as %s, want %d", got, cause, n)
		}
	}
}

func TestResolveWatch(t *testing.T) {
	host := grow(t, "l lib usr/lib", "f usr/lib/sub/x", "f srv/y", "d opt", "f var/log/z", "l etc/l /mnt/t", "d mnt")
	plan, err := Resolve(Request{
		Sources:  []Source{{Origin: "app", Manifest: manifest(t, "lib/sub/x", "srv/y", "opt/none/at/all", "var/log/z", "etc/l")}},
		HostRoot: host, Image: dirImage{t, grow(t)},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		host,                  // holds the symlink lib
		host + "/etc",         // the symlink itself
		host + "/mnt",         // where its target would appear
		host + "/opt",         // where none would appear
		host + "/srv",         //
		host + "/usr/lib/sub", // the real directory, not lib/sub
	}
	var got []string
	for _, w := range plan.Watch {
		got = append(got, w.Path)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("watch (-want +got):\n%s", diff)
	}
}

func TestResolveHostRoot(t *testing.T) {
	host := grow(t, "f usr/x")
	link := filepath.Join(t.TempDir(), "host")
	if err := os.Symlink(host, link); err != nil {
		t.Fatal(err)
	}
	req := Request{Sources: []Source{{Manifest: manifest(t, "usr/x")}}, HostRoot: link, Image: dirImage{t, grow(t)}}
	plan, err := Resolve(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := plan.Links[0].Source; got != host+"/usr/x" {
		t.Errorf("source %q has a symlink in it", got)
	}
	req.HostRoot = link + "/none"
	if _, err := Resolve(req); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a host root that is not there is no error")
	}
	req.HostRoot = ""
	plan, err = Resolve(req)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range plan.Watch {
		if !strings.HasPrefix(w.Path, "/") || strings.HasPrefix(w.Path, "//") {
			t.Errorf("watched directory %q", w.Path)
		}
	}
}

func TestResolveSamples(t *testing.T) {
	host := grow(t, "f usr/bin/openssl", "l etc/ssl/certs/002c0b4f.0 GlobalSign_Root_R46.pem",
		"l etc/ssl/certs/GlobalSign_Root_R46.pem /usr/share/ca-certificates/mozilla/GlobalSign_Root_R46.crt",
		"f usr/share/ca-certificates/mozilla/GlobalSign_Root_R46.crt", "f var/lib/dpkg/info/openssl.md5sums",
		"f etc/hosts", "f etc/resolv.conf")
	plan, err := Resolve(Request{
		Sources: []Source{
			{Origin: "deb", Manifest: readSample(t, "removed-deb")}, {Origin: "rpm", Manifest: readSample(t, "removed-rpm")},
		},
		HostRoot: host, Image: dirImage{t, grow(t, "d usr/bin", "d etc")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Linked) != 4 || len(plan.Dangling) != 0 {
		t.Errorf("%d linked, %d dangling: %q", len(plan.Linked), len(plan.Dangling), show(plan, host))
	}
	if got := plan.Count(CauseNoise); got != 9 {
		t.Errorf("%d entries are noise, want 9", got)
	}
}

func BenchmarkResolve8000(b *testing.B) {
	var tree, lines []string
	for i := range 8000 {
		name := fmt.Sprintf("usr/share/d%d/e%d/f%d", i%40, i%400, i)
		tree = append(tree, "f "+name)
		lines = append(lines, name)
	}
	req := Request{
		Sources:  []Source{{Manifest: manifest(b, lines...)}},
		HostRoot: grow(b, tree...), Image: dirImage{b, b.TempDir()},
	}
	for b.Loop() {
		if _, err := Resolve(req); err != nil {
			b.Fatal(err)
		}
	}
}
