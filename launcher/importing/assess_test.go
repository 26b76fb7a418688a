package importing

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

// facts is a host with podman-pilot's links, and two images.
func facts() Facts {
	return Facts{
		Image: func(name string) Image {
			switch name {
			case "aws", "basesystem", "localhost/layer":
				return Image{Stored: true, Own: true}
			case "root-user":
				return Image{Stored: true, Own: true, User: "0:0"}
			case "other-user":
				return Image{Stored: true, Own: true, User: "app"}
			case "of-root":
				return Image{Stored: true}
			case "two-meanings":
				return Image{Err: errors.New("image two-meanings is ambiguous")}
			}
			return Image{}
		},
		Link: func(path string) Link {
			switch path {
			case "/usr/bin/missing":
				return Link{}
			case "/usr/bin/file":
				return Link{There: true}
			case "/usr/bin/vm":
				return Link{There: true, Target: "/usr/bin/firecracker-pilot", Pilot: "firecracker-pilot"}
			case "/ro/locked":
				return Link{There: true, Target: "/usr/bin/podman-pilot", Pilot: "podman-pilot", Locked: "you can't write to /ro"}
			}
			return Link{There: true, Target: "/usr/bin/podman-pilot", Pilot: "podman-pilot"}
		},
		Effective: effective,
	}
}

// effective stands in for the table of podman's options.
func effective(f *flake.Flake) (*flake.Flake, error) {
	out := *f
	out.Container.Runtime.Podman = nil
	for _, o := range f.Container.Runtime.Podman {
		switch o {
		case "-ti", "--rm":
		case "--net host", "--net=host":
			out.Network = "host"
		case "--net none":
			out.Network = "none"
		case "--user 0":
			out.User = "0"
		case "--userns keep-id", "-v %HOME:%HOME", "-v %XDG_RUNTIME_DIR:/run/x", "-e a=%home":
		default:
			return nil, errors.New("no such option of podman's: " + o)
		}
	}
	return &out, nil
}

const template = `include:
  tar: ~
  path: ~
container:
  name: aws
  target_app_path: /usr/bin/aws
  host_app_path: /usr/bin/aws
  base_container: ~
  check_host_dependencies: false
  layers: ~
  runtime:
    runas: root
    resume: false
    attach: false
    podman:
      - "-ti"
`

func read(t *testing.T, name string, texts ...string) Registration {
	t.Helper()
	r := Registration{Name: name, File: "/usr/share/flakes/" + name + ".yaml"}
	files, bytes := []string{r.File}, [][]byte{}
	for n, text := range texts {
		if n > 0 {
			files = append(files, "/usr/share/flakes/"+name+".d/"+string(rune('0'+n)))
		}
		bytes = append(bytes, []byte(text))
	}
	r.Keys, r.Odd, r.Err = mergeTexts(files, bytes)
	return r
}

// container is the template with lines changed or added, by their keys.
func container(lines ...string) string {
	out := template
	for _, line := range lines {
		key, _, _ := strings.Cut(line, ":")
		rows := strings.Split(out, "\n")
		found := false
		for n, row := range rows {
			if strings.HasPrefix(row, key+":") {
				rows[n], found = line, true
			}
		}
		out = strings.Join(rows, "\n")
		if !found {
			out += line + "\n"
		}
	}
	return out
}

func TestAssessMaps(t *testing.T) {
	tests := map[string]struct {
		name     string
		texts    []string
		ordinary bool
		want     func(f *flake.Flake) // what is different from the template's
		differs  []string             // keys, besides profile and network
	}{
		"the template": {texts: []string{template}},
		"base, layers, dependencies": {texts: []string{container("  base_container: basesystem", "  layers: [localhost/layer]", "  check_host_dependencies: true")}, want: func(f *flake.Flake) {
			f.Container.BaseContainer, f.Container.Layers, f.Container.CheckHostDependencies = "basesystem", []string{"localhost/layer"}, true
		}},
		"layers without a base": {texts: []string{container("  layers: [localhost/layer]")}, differs: []string{"container.layers"}},
		"the image's entrypoint": {texts: []string{container("  target_app_path: /")}, want: func(f *flake.Flake) {
			f.Container.TargetAppPath = "/"
		}},
		"no target":  {texts: []string{container("  target_app_path: ~")}, differs: []string{"container.target_app_path"}},
		"no runtime": {texts: []string{"container:\n  name: aws\n  target_app_path: /usr/bin/aws\n  host_app_path: /usr/bin/aws\n"}, want: caller, differs: []string{"user"}},
		"runas any":  {texts: []string{container("    runas: any")}, want: func(f *flake.Flake) { f.Container.Runtime.RunAs = "" }, differs: []string{"user"}},
		"runas of who registered": {texts: []string{container("    runas: tux")}, want: func(f *flake.Flake) { f.Container.Runtime.RunAs = "" },
			differs: []string{"container.runtime.runas", "user"}},
		"a user's own": {texts: []string{container("    runas: tux")}, ordinary: true, want: func(f *flake.Flake) {
			f.Container.Runtime.RunAs, f.User = "", "root"
		}, differs: []string{"container.runtime.runas"}},
		"of an image that says root": {texts: []string{container("    runas: any", "  name: root-user")}, ordinary: true, want: func(f *flake.Flake) {
			f.Container.Runtime.RunAs, f.Container.Name, f.User = "", "root-user", "root"
		}},
		"of an image that says who": {texts: []string{container("    runas: any", "  name: other-user")}, ordinary: true, want: func(f *flake.Flake) {
			f.Container.Runtime.RunAs, f.Container.Name = "", "other-user"
		}, differs: []string{"user"}},
		"of root's image": {texts: []string{container("    runas: any", "  name: of-root")}, ordinary: true, want: func(f *flake.Flake) {
			f.Container.Runtime.RunAs, f.Container.Name = "", "of-root"
		}, differs: []string{"user"}},
		"with its user in the options": {texts: []string{options("any", "--user 0")}, ordinary: true, want: func(f *flake.Flake) {
			f.Container.Runtime.RunAs, f.Container.Runtime.Podman = "", []string{"--user 0"}
		}},
		"with keep-id": {texts: []string{options("any", "--userns keep-id")}, ordinary: true, want: func(f *flake.Flake) {
			f.Container.Runtime.RunAs, f.Container.Runtime.Podman = "", []string{"--userns keep-id"}
		}},
		"a network in the options": {texts: []string{options("root", "--net none")}, want: func(f *flake.Flake) {
			f.Network, f.Container.Runtime.Podman = "", []string{"--net none"}
		}, differs: []string{"-network"}},
		"an option in two entries": {texts: []string{options("root", "--net", "host", "-ti")}, want: func(f *flake.Flake) {
			f.Network, f.Container.Runtime.Podman = "", []string{"--net host", "-ti"}
		}, differs: []string{"-network"}},
		"variables": {texts: []string{options("root", "-v %HOME:%HOME", "-v %XDG_RUNTIME_DIR:/run/x", "-e a=%home")}, want: func(f *flake.Flake) {
			f.Container.Runtime.Podman = []string{"-v %HOME:%HOME", "-v %XDG_RUNTIME_DIR:/run/x", "-e a=%home"}
		}, differs: []string{"container.runtime.podman", "container.runtime.podman"}},
		"no link": {name: "missing", texts: []string{container("  host_app_path: /usr/bin/missing")}, want: func(f *flake.Flake) {
			f.Container.HostAppPath = "/usr/bin/missing"
		}, differs: []string{"container.host_app_path"}},
		"a drop-in that repeats all": {texts: []string{template, "container: {name: root-user, target_app_path: /usr/bin/aws, host_app_path: /usr/bin/aws, check_host_dependencies: false, runtime: {runas: root, resume: false, attach: false, podman: [-ti]}}\n"}, want: func(f *flake.Flake) {
			f.Container.Name = "root-user"
		}},
		"a drop-in that adds": {texts: []string{template, "container: {base_container: basesystem}\n"}, want: func(f *flake.Flake) {
			f.Container.BaseContainer = "basesystem"
		}, differs: []string{"container.check_host_dependencies", "container.host_app_path", "container.name", "container.runtime.attach", "container.runtime.podman", "container.runtime.resume", "container.runtime.runas", "container.target_app_path"}},
		"a drop-in that goes on with the list": {texts: []string{template, "      - --rm\n"}, want: func(f *flake.Flake) {
			f.Container.Runtime.Podman = []string{"-ti", "--rm"}
		}},
		"a second document": {texts: []string{template, "---\ncontainer: {name: root-user}\n"}, want: func(f *flake.Flake) {
			f.Container.Name = "root-user"
		}, differs: []string{"container.name"}},
		"an empty drop-in": {texts: []string{template, "", "# nothing\n"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if tc.name == "" {
				tc.name = "aws"
			}
			fs := facts()
			fs.Ordinary = tc.ordinary
			r := Assess(read(t, tc.name, tc.texts...), fs)
			if !r.Importable() {
				t.Fatalf("can't be imported: %+v", r.Findings)
			}
			want := &flake.Flake{Profile: "isolated", Network: "host", PilotArguments: true, Container: flake.Container{
				Name: "aws", HostAppPath: "/usr/bin/aws", TargetAppPath: "/usr/bin/aws",
				Runtime: flake.Runtime{RunAs: "root", Podman: []string{"-ti"}},
			}}
			if tc.want != nil {
				tc.want(want)
			}
			if d := cmp.Diff(want, r.Flake); d != "" {
				t.Error(d)
			}
			keys := append(tc.differs, "network", "profile")
			if keys[0] == "-network" {
				keys = []string{"profile"}
			}
			if d := cmp.Diff(keys, with(r, Differs), cmp.Transformer("sort", sorted)); d != "" {
				t.Errorf("differs: %s\n%+v", d, r.Findings)
			}
		})
	}
}

func caller(f *flake.Flake) { f.Container.Runtime = flake.Runtime{} }

// options is the template with other options.
func options(runas string, list ...string) string {
	head := strings.TrimSuffix(container("    runas: "+runas), "      - \"-ti\"\n")
	for _, o := range list {
		head += "      - \"" + o + "\"\n"
	}
	return head
}

func TestAssessRefuses(t *testing.T) {
	tests := map[string]struct {
		name, text string
		ordinary   bool
		key, note  string
	}{
		"firecracker":                        {"vm", "vm:\n  name: x\n  host_app_path: /usr/bin/vm\n  runtime: {firecracker: {overlay_size: 20GiB}}\n", false, "engine", "firecracker"},
		"neither":                            {"x", "engine: other\n", false, "engine", "neither"},
		"empty":                              {"x", "", false, "engine", "neither"},
		"a text":                             {"x", "hello\n", false, "file", "a mapping is wanted"},
		"no YAML":                            {"x", "container: [\n", false, "file", "x.yaml"},
		"an alias":                           {"x", "a: &a [x]\ncontainer: {layers: *a}\n", false, "file", "alias"},
		"no name":                            {"aws", container("  name: ~"), false, "container.name", "missing"},
		"an image not stored":                {"aws", container("  name: nowhere"), false, "container.name", "flake-ctl load"},
		"two images":                         {"aws", container("  name: two-meanings"), false, "container.name", "ambiguous"},
		"a base not stored":                  {"aws", container("  base_container: nowhere"), false, "container.base_container", "nowhere"},
		"another name":                       {"other", template, false, "container.host_app_path", "of the name aws"},
		"a relative path":                    {"aws", container("  host_app_path: bin/aws"), false, "container.host_app_path", "absolute"},
		"a relative target":                  {"aws", container("  target_app_path: aws"), false, "container.target_app_path", "absolute"},
		"a file":                             {"file", container("  host_app_path: /usr/bin/file"), false, "container.host_app_path", "no link"},
		"another pilot":                      {"vm", container("  host_app_path: /usr/bin/vm"), false, "container.host_app_path", "firecracker-pilot"},
		"out of reach":                       {"locked", container("  host_app_path: /ro/locked"), false, "container.host_app_path", "can't write"},
		"root's, by a user":                  {"aws", template, true, "container.runtime.runas", "as root"},
		"resume and attach":                  {"aws", container("    resume: true", "    attach: true"), false, "container.runtime.attach", "excludes"},
		"an unknown key":                     {"aws", container("pilot_options: [x]"), false, "pilot_options", "no key"},
		"an unknown key below":               {"aws", container("  static: true"), false, "container.static", "no key"},
		"an option of podman's that is none": {"aws", options("root", "-ti", "--gremlins 3"), false, "container.runtime.podman", "--gremlins 3"},
		"a number for a text":                {"aws", container("  name: 12"), false, "container.name", "12 where a text"},
		"a text for a list":                  {"aws", container("  layers: x"), false, "container.layers", "x where a list"},
		"a map in a list":                    {"aws", container("  layers: [{a: b}]"), false, "container.layers", "where a text"},
		"a text for a truth":                 {"aws", container("  check_host_dependencies: maybe"), false, "container.check_host_dependencies", "true or false"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			fs := facts()
			fs.Ordinary = tc.ordinary
			r := Assess(read(t, tc.name, tc.text), fs)
			if r.Importable() {
				t.Fatalf("was taken: %+v", r.Flake)
			}
			for _, f := range r.Findings {
				if f.Verdict == Cannot && f.Key == tc.key && strings.Contains(f.Note, tc.note) {
					return
				}
			}
			t.Errorf("no %q with %q in %+v", tc.key, tc.note, r.Findings)
		})
	}
}

func TestAssessWithPull(t *testing.T) {
	fs := facts()
	fs.Pull = true
	r := Assess(read(t, "aws", container("  name: nowhere", "  base_container: far")), fs)
	if d := cmp.Diff([]string{"far", "nowhere"}, r.Missing); d != "" || !r.Importable() {
		t.Errorf("%s, %+v", d, r.Findings)
	}
}

func TestIncludesOfAPlainImageDiffer(t *testing.T) {
	for base, want := range map[string]Verdict{"~": Differs, "basesystem": Same} {
		r := Assess(read(t, "aws", container("  path: [/etc/x]", "  tar: [/srv/x.tar]", "  base_container: "+base)), facts())
		for _, f := range r.Findings {
			if strings.HasPrefix(f.Key, "include.") && f.Verdict != Cannot && f.Verdict != want {
				t.Errorf("base %s: %+v", base, f)
			}
		}
	}
}

func with(r Report, v Verdict) (keys []string) {
	for _, f := range r.Findings {
		if f.Verdict == v {
			keys = append(keys, f.Key)
		}
	}
	return keys
}

func sorted(in []string) map[string]int {
	out := map[string]int{}
	for _, s := range in {
		out[s]++
	}
	return out
}
