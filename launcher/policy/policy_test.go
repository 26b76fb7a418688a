package policy

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

func read(t *testing.T, text string) *Policy {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// file is a host file that lies where its name says.
func file(path string, public bool) hostlink.HostFile {
	return hostlink.HostFile{Path: path, Source: path, Target: path, Kind: hostlink.KindFile, Public: public}
}

func TestBuiltin(t *testing.T) {
	none, err := Read(filepath.Join(t.TempDir(), "none"))
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*Policy{"no file": none, "nil": nil, "an empty file": read(t, "")} {
		r := p.For(Image{Names: []string{"docker.io/library/x:latest"}})
		if ok, why := r.AllowsSystemFiles(); !ok {
			t.Errorf("%s: %s", name, why)
		}
		for path, allowed := range map[string]bool{
			"usr/bin/openssl": true, "etc/ssl/certs/x.pem": true, "usr/share/private/readme": true, "etc/ssh/ssh_config": true,
			"etc/shadow": false, "etc/gshadow-": false, "etc/ssl/private/x": false, "etc/pki/tls/private/x.crt": false, "etc/ssh/ssh_host_rsa_key": false,
			"opt/app/private/deep/x.key": false, "root/x": false, "home/u/.ssh/config": false, "etc/sudoers.d/x": false,
		} {
			if got := r.Refuse(file(path, true)); (got == "") != allowed {
				t.Errorf("%s: %s: %q", name, path, got)
			}
		}
		if r.Refuse(file("usr/x", false)) == "" {
			t.Errorf("%s: a file that not everybody may read is allowed", name)
		}
	}
}

const sample = `
default:
  deny: [srv/**, opt/closed, home/]
images:
  - image: registry.example/team/**
    allow: [usr/**, srv/own]
    deny: usr/share/secret/**
  - image: ["sha256:aaaa*", "*/evil"]
    host_files: deny
  - image: "docker.io/library/scripted:1"
    systemfiles: deny
`

func TestEntries(t *testing.T) {
	p := read(t, sample)
	for name, c := range map[string]struct {
		image       Image
		file        hostlink.HostFile
		allowed     bool
		host, files bool
	}{
		"the default":                           {Image{Names: []string{"x"}}, file("usr/x", true), true, true, true},
		"the default's pattern":                 {Image{Names: []string{"x"}}, file("srv/x", true), false, true, true},
		"what is in a denied directory":         {Image{Names: []string{"x"}}, file("opt/closed/a/b", true), false, true, true},
		"a directory with a slash":              {Image{Names: []string{"x"}}, file("home/x", true), false, true, true},
		"what begins like it":                   {Image{Names: []string{"x"}}, file("opt/closed-not", true), true, true, true},
		"allowed though not public":             {Image{Names: []string{"registry.example/team/a/b:2"}}, file("usr/x", false), true, true, true},
		"nothing else is allowed":               {Image{Names: []string{"registry.example/team/a"}}, file("etc/x", true), false, true, true},
		"denied is stronger":                    {Image{Names: []string{"registry.example/team/a"}}, file("usr/share/secret/x", true), false, true, true},
		"denied patterns add up":                {Image{Names: []string{"registry.example/team/a"}}, file("srv/own", true), false, true, true},
		"the place on the host counts":          {Image{Names: []string{"registry.example/team/a"}}, hostlink.HostFile{Path: "usr/x", Source: "opt/x", Target: "usr/x", Public: true}, false, true, true},
		"the place inside may be denied":        {Image{Names: []string{"x"}}, hostlink.HostFile{Path: "usr/x", Source: "usr/x", Target: "srv/x", Public: true}, false, true, true},
		"barred by digest":                      {Image{Names: []string{"x"}, Digest: "sha256:aaaabbbb"}, file("usr/x", true), false, false, false},
		"barred by name, whatever its tag":      {Image{Names: []string{"localhost/evil:9"}}, file("usr/x", true), false, false, false},
		"a name of several":                     {Image{Names: []string{"good", "localhost/evil"}}, file("usr/x", true), false, false, false},
		"the port of a registry is no tag":      {Image{Names: []string{"registry.example:5000/evil:1"}}, file("usr/x", true), false, false, false},
		"no scripts":                            {Image{Names: []string{"docker.io/library/scripted:1"}}, file("usr/x", true), true, true, false},
		"a pattern with a tag means that alone": {Image{Names: []string{"docker.io/library/scripted:2"}}, file("usr/x", true), true, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := p.For(c.image)
			why := r.Refuse(c.file)
			if (why == "") != c.allowed || why != "" && !strings.Contains(why, p.file+":") && !strings.Contains(why, "default") {
				t.Errorf("file: %q", why)
			}
			if ok, why := r.AllowsHostFiles(); ok != c.host || ok == (why != "") {
				t.Errorf("host files: %v, %q", ok, why)
			}
			if ok, why := r.AllowsSystemFiles(); ok != c.files || ok == (why != "") {
				t.Errorf("systemfiles: %v, %q", ok, why)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no yaml":                    {"images: [\n", ":"},
		"a list":                     {"- x\n", ":1"},
		"an unknown key":             {"defualt: {}\n", `:1: unknown key "defualt"`},
		"an unknown key in an entry": {"images:\n- image: x\n  hostfiles: deny\n", `:3: unknown key "hostfiles"`},
		"an unknown key in default":  {"default:\n  hosts: deny\n", `:2: unknown key "hosts"`},
		"another word":               {"default:\n  host_files: no\n", `:2: "no" stands where allow or deny is wanted`},
		"a bad pattern":              {"default:\n  deny:\n  - usr/**\n  - ../x\n", `:4: read pattern "../x"`},
		"** in a component":          {"images:\n- image: registry.example/**:1\n  host_files: deny\n", `:2: read pattern "registry.example/**:1": ** stands`},
		"a pattern that is none":     {"default:\n  allow:\n  - {a: b}\n", ":3: a pattern"},
		"nothing for a pattern":      {"default:\n  allow:\n", ":2: allow is empty"},
		"an entry for no image":      {"images:\n- host_files: deny\n", ":2: image is missing"},
		"an image in default":        {"default:\n  image: x\n", ":2: the default entry"},
		"two documents":              {"default: {}\n---\nimages: []\n", "more than one"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "policy.yaml")
			if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Read(file)
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) || e.Remedy() == "" {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPlanted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); !errors.Is(err, flake.ErrPlanted) {
		t.Errorf("got %v", err)
	}
	if _, err := Read(t.TempDir()); err == nil {
		t.Error("a directory is read")
	}
}

// Somebody has put a policy there: that it is out of reach does not mean that there is none.
func TestDanglingLink(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.Symlink("not-mounted/policy.yaml", file); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if p, err := Read(file); !errors.As(err, &e) || e.Remedy() == "" {
		t.Errorf("got %v, %v", p, err)
	}
}
