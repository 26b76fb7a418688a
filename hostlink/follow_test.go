package hostlink

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// certs are hashed names of certificates as a host has them.
var certs = []string{
	"l etc/ssl/certs/1.0 A.pem", "l etc/ssl/certs/A.pem B.pem", "l etc/ssl/certs/B.pem /usr/share/ca/B.crt",
	"f usr/share/ca/B.crt", "l etc/ssl/certs/2.0 C.pem", "f etc/ssl/certs/C.pem",
}

func TestFollowLinks(t *testing.T) {
	cases := map[string]struct {
		host, image, lines, drop []string
		want                     []string
	}{
		"a target beside the link": {
			host: certs, image: []string{"d etc/ssl/certs"}, lines: []string{"etc/ssl/certs/2.0"},
			want: []string{"link file %H/etc/ssl/certs/C.pem -> /etc/ssl/certs/C.pem", "node symlink /etc/ssl/certs/2.0 C.pem", "node file /etc/ssl/certs/C.pem"},
		},
		"symlinks on the way, as far as the directories are the same": {
			host: certs, image: []string{"d etc/ssl/certs"}, lines: []string{"etc/ssl/certs/1.0"},
			want: []string{
				"node symlink /etc/ssl/certs/1.0 A.pem", "node symlink /etc/ssl/certs/A.pem B.pem", "node symlink /etc/ssl/certs/B.pem /usr/share/ca/B.crt",
				"dangling /etc/ssl/certs/1.0 A.pem needs /usr/share/ca/B.crt",
				"dangling /etc/ssl/certs/A.pem B.pem needs /usr/share/ca/B.crt",
				"dangling /etc/ssl/certs/B.pem /usr/share/ca/B.crt needs /usr/share/ca/B.crt",
			},
		},
		"libraries below the same two directories": {
			host:  []string{"l usr/lib/arch/libx.so ../other/libx.so.1", "f usr/lib/other/libx.so.1", "l usr/bin/vi ../lib/vi", "f usr/lib/vi"},
			lines: []string{"usr/lib/arch/libx.so", "usr/bin/vi"},
			want: []string{
				"link file %H/usr/lib/other/libx.so.1 -> /usr/lib/other/libx.so.1", "node dir /usr 755", "node dir /usr/bin 755", "node symlink /usr/bin/vi ../lib/vi",
				"node dir /usr/lib 755", "node dir /usr/lib/arch 755", "node symlink /usr/lib/arch/libx.so ../other/libx.so.1", "node dir /usr/lib/other 755", "node file /usr/lib/other/libx.so.1",
				"dangling /usr/bin/vi ../lib/vi needs /usr/lib/vi",
			},
		},
		"never from the root, never secrets, noise or what is dropped": {
			host:  []string{"l vmlinuz boot/vmlinuz", "f boot/vmlinuz", "l etc/a shadow", "f etc/shadow", "l var/b log/b", "f var/log/b", "l etc/c d/x", "f etc/d/x"},
			lines: []string{"vmlinuz", "etc/a", "var/b", "etc/c"}, drop: []string{"etc/d/**"},
			want: []string{
				"node dir /etc 755", "node symlink /etc/a shadow", "node symlink /etc/c d/x", "node dir /var 755", "node symlink /var/b log/b", "node symlink /vmlinuz boot/vmlinuz",
				"dangling /vmlinuz boot/vmlinuz needs /boot/vmlinuz", "dangling /var/b log/b needs /var/log/b", "dangling /etc/c d/x needs /etc/d/x",
			},
		},
		"a directory is not filled, nor a circle followed": {
			host:  []string{"l etc/x/dir data", "d etc/x/data", "f etc/x/data/f", "l etc/x/loop loop", "l etc/x/p fifo", "p etc/x/fifo"},
			image: []string{"d etc/x"}, lines: []string{"etc/x/dir", "etc/x/loop", "etc/x/p"},
			want: []string{
				"node symlink /etc/x/dir data", "node symlink /etc/x/loop loop", "node symlink /etc/x/p fifo",
				"dangling /etc/x/dir data needs /etc/x/data", "dangling /etc/x/p fifo needs /etc/x/fifo",
			},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			host, image := grow(t, c.host...), grow(t, c.image...)
			plan, err := Resolve(Request{
				Sources:  []Source{{Origin: "app", Kind: SourceRemoved, Manifest: manifest(t, c.lines...)}},
				HostRoot: host, Image: dirImage{t, image}, Drop: c.drop, FollowLinks: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, show(plan, host)); diff != "" {
				t.Errorf("plan (-want +got):\n%s", diff)
			}
			checkPlan(t, plan)
			for _, d := range plan.Dangling {
				if d.Reason == "" {
					t.Errorf("%s dangles without a reason", d.Path)
				}
			}
		})
	}
}

func TestFollowedLinksSayWhatLedToThem(t *testing.T) {
	plan, err := Resolve(Request{
		Sources:  []Source{{Origin: "app", Kind: SourceRemoved, Manifest: manifest(t, "", "etc/ssl/certs/2.0")}},
		HostRoot: grow(t, certs...), Image: dirImage{t, grow(t)}, FollowLinks: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if l := plan.Linked[1]; l.From != SourceLink || l.For != "etc/ssl/certs/2.0" || l.Line != 2 || l.Origin != "app" {
		t.Errorf("%+v", l)
	}
}

func TestRefusedBySource(t *testing.T) {
	host := grow(t, "f usr/open", "f usr/secret", "f etc/closed/x", "d etc/closed 0700", "l usr/link secret", "f usr/x/target", "l usr/x/link target")
	for path, mode := range map[string]os.FileMode{"usr/secret": 0o640, "usr/x/target": 0o600} {
		if err := os.Chmod(filepath.Join(host, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	refuse := func(f HostFile) string {
		if !f.Public {
			return "not public"
		}
		return ""
	}
	lines := []string{"usr/open", "usr/secret", "etc/closed/x", "usr/link", "usr/x/link", "usr/none"}
	plan, err := Resolve(Request{
		Sources: []Source{
			{Origin: "some", Kind: SourceRemoved, Manifest: manifest(t, lines...), Refuse: refuse},
			{Origin: "none", Kind: SourceRemoved, Manifest: manifest(t, "usr/open", "etc/hosts", "../x"), Barred: "barred"},
		},
		HostRoot: host, Image: dirImage{t, grow(t, "d usr/x")}, Keep: []string{"**"}, FollowLinks: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"link file %H/usr/open -> /usr/open", "node symlink /usr/link secret", "node file /usr/open", "node symlink /usr/x/link target",
		"skip some:2 policy usr/secret", "skip some:3 policy etc/closed/x", "skip some:6 missing usr/none",
		"skip none:3 refused ../x", "skip none:1 policy usr/open", "skip none:2 policy etc/hosts",
		"dangling /usr/link secret needs /usr/secret", "dangling /usr/x/link target needs /usr/x/target",
	}
	if diff := cmp.Diff(want, show(plan, host)); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	for _, d := range plan.Dangling {
		if !strings.HasPrefix(d.Reason, "policy: ") {
			t.Errorf("%s is not followed: %s", d.Path, d.Reason)
		}
	}
}

// The manifests that KIWI made of real images, over a host that has all of it, as Debian has it.
func TestRealManifests(t *testing.T) {
	for name, want := range map[string]struct {
		image                    []string
		linked, followed, dangle int
		skipped                  map[string]int // by reason
	}{
		"removed-yamllint3": {
			image: []string{"f etc/ssl/certs/ca-certificates.crt", "f etc/ssl/openssl.cnf"}, linked: 438,
			skipped: map[string]int{
				"left over by the image builder (kiwi_*)": 1, "the launcher provides it": 2, "package database of the host (dpkg) (var/lib/dpkg/**)": 10,
			},
		},
		"removed-odd": {
			linked: 33,
			skipped: map[string]int{
				"left over by the image builder (kiwi_*)": 1, "the launcher provides it": 2, "package database of the host (dpkg) (var/lib/dpkg/**)": 5,
				"FIFO or device on the host": 1, "the host has no such file": 1,
			},
		},
		"removed-rpm": {skipped: map[string]int{"left over by the image builder (kiwi_*)": 2, "the launcher provides it": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			m := readSample(t, name)
			host := grow(t, debian(m)...)
			plan, err := Resolve(Request{
				Sources:  []Source{{Origin: "app", Kind: SourceRemoved, Manifest: m}},
				HostRoot: host, Image: dirImage{t, grow(t, want.image...)}, Provided: []string{"/etc/hosts", "/etc/resolv.conf"}, FollowLinks: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			skipped, followed := map[string]int{}, 0
			for _, s := range plan.Skipped {
				skipped[s.Reason]++
			}
			for _, l := range plan.Linked {
				if l.From == SourceLink {
					followed++
				}
			}
			if diff := cmp.Diff(want.skipped, skipped); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}
			if len(plan.Linked) != want.linked || followed != want.followed || len(plan.Dangling) != want.dangle {
				t.Errorf("%d linked, %d of them followed, %d dangling: %+v", len(plan.Linked), followed, len(plan.Dangling), plan.Dangling)
			}
		})
	}
}

// debian is a host that has what the manifest names, with the links that Debian has there.
func debian(m Manifest) []string {
	known := map[string]string{
		"usr/lib/ssl/cert.pem": "/etc/ssl/certs/ca-certificates.crt", "usr/lib/ssl/openssl.cnf": "/etc/ssl/openssl.cnf", "usr/lib/ssl/misc/tsget": "tsget.pl",
		"opt/odd/link-to-file": "with space.txt", "opt/odd/abs-link-on-buildhost": "/usr/bin/ping",
		"usr/bin/ping4": "ping", "usr/bin/ping6": "ping",
	}
	var pems, out []string
	for _, e := range m.Entries {
		if name, ok := strings.CutPrefix(e.UnsafePath, "etc/ssl/certs/"); ok && strings.HasSuffix(name, ".pem") {
			pems = append(pems, name)
		}
	}
	for i, e := range m.Entries {
		name := strings.ReplaceAll(e.UnsafePath, " ", "␠")
		pem, isPem := strings.CutSuffix(e.UnsafePath, ".pem")
		switch {
		case known[e.UnsafePath] != "":
			out = append(out, "l "+name+" "+known[e.UnsafePath])
		case strings.HasPrefix(name, "etc/ssl/certs/") && isPem:
			out = append(out, "l "+name+" /usr/share/ca-certificates/mozilla/"+filepath.Base(pem)+".crt")
		case strings.HasPrefix(name, "etc/ssl/certs/"):
			out = append(out, "l "+name+" "+pems[i%len(pems)])
		case strings.HasSuffix(name, "/fifo"):
			out = append(out, "p "+name)
		case strings.HasSuffix(name, "/deep"): // not on this host
		default:
			out = append(out, "f "+name)
		}
	}
	return out
}
