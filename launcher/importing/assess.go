package importing

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

// Image is what is known of an image.
type Image struct {
	Stored bool
	// Own says that it lies in the importer's own store.
	Own bool
	// User is that of its config.
	User string
	// Err says why it can't be told which image is meant.
	Err error
}

// Facts are what Assess asks of the host.
type Facts struct {
	// Ordinary says that the importer is not root.
	Ordinary bool
	// Pull says that images that are not stored will be fetched.
	Pull  bool
	Image func(name string) Image
	Link  func(path string) Link
	// Effective is the flake with podman's options as keys of ours (flake.Effective); nil leaves them alone.
	Effective func(*flake.Flake) (*flake.Flake, error)
}

// assessment is one registration under way.
type assessment struct {
	Report
	keys  map[string]any
	facts Facts
	f     flake.Flake
}

// Assess says what becomes of a registration. Report.Flake is complete but for the images' digests.
func Assess(r Registration, facts Facts) Report {
	a := &assessment{Report: Report{Name: r.Name, File: r.File}, keys: map[string]any{}, facts: facts}
	for key, v := range r.Keys {
		a.keys[key] = v
	}
	if r.Err != nil {
		a.Refuse("file", r.Err.Error())
		return a.Report
	}
	if a.Engine = engine(a.keys); a.Engine != "podman" {
		a.Refuse("engine", map[string]string{
			"firecracker": "a virtual machine of firecracker's: only containers are started here",
			"":            "there is neither a section container nor a section vm",
		}[a.Engine])
		return a.Report
	}
	a.images()
	a.paths()
	a.runtime()
	a.include()
	a.options()
	a.profile()
	for _, key := range r.Odd {
		a.add(key, Differs, "taken from another file than flake-pilot takes it from: a section in a drop-in replaces the whole section there, here it adds to it")
	}
	a.unknown()
	a.finish()
	return a.Report
}

func engine(keys map[string]any) string {
	has := func(section string) bool {
		for key := range keys {
			if strings.HasPrefix(key, section+".") {
				return true
			}
		}
		return false
	}
	switch {
	case has("vm"):
		return "firecracker"
	case has("container"):
		return "podman"
	}
	return ""
}

func (a *assessment) images() {
	c := &a.f.Container
	c.Name, c.BaseContainer, c.Layers = a.text("container.name"), a.text("container.base_container"), a.list("container.layers")
	if c.Name == "" {
		a.Refuse("container.name", "is missing")
	}
	if len(c.Layers) > 0 && c.BaseContainer == "" {
		a.add("container.layers", Differs, "left out: without a base_container flake-pilot does not use them either")
		c.Layers = nil
	}
	a.image("container.base_container", c.BaseContainer)
	for _, l := range c.Layers {
		a.image("container.layers", l)
	}
	a.image("container.name", c.Name)
	if c.CheckHostDependencies = a.yes("container.check_host_dependencies"); c.CheckHostDependencies {
		a.add("container.check_host_dependencies", Same, "the host's files of the image's manifests")
	}
}

func (a *assessment) image(key, name string) {
	if name == "" {
		return
	}
	switch img := a.facts.Image(name); {
	case img.Stored:
		a.add(key, Same, name)
	case img.Err != nil:
		a.Refuse(key, img.Err.Error())
	case a.facts.Pull:
		a.add(key, Same, name+": will be pulled")
		a.Missing = append(a.Missing, name)
	default:
		a.Refuse(key, fmt.Sprintf("%s is not in the store: podman save %s > FILE and flake-ctl load FILE, or import --pull", name, name))
	}
}

func (a *assessment) paths() {
	c := &a.f.Container
	host, target := a.text("container.host_app_path"), a.text("container.target_app_path")
	a.HostPath, c.HostAppPath = host, host
	switch {
	case !path.IsAbs(host):
		a.Refuse("container.host_app_path", fmt.Sprintf("%q is not an absolute path", host))
		return
	case path.Base(host) != a.Name:
		a.Refuse("container.host_app_path", fmt.Sprintf("%s would start a registration of the name %s", host, path.Base(host)))
	}
	a.Link = a.facts.Link(host)
	switch l := a.Link; {
	case l.Locked != "":
		a.Refuse("container.host_app_path", l.Locked)
	case l.Pilot == "podman-pilot":
		a.add("container.host_app_path", Same, fmt.Sprintf("%s, a link to %s, becomes one to flake-launcher", host, l.Target))
	case !l.There:
		a.add("container.host_app_path", Differs, host+" is not there: a link to flake-launcher is made")
	case l.Pilot != "":
		a.Refuse("container.host_app_path", fmt.Sprintf("%s starts %s, not podman-pilot", host, l.Pilot))
	default:
		a.Refuse("container.host_app_path", host+" is no link to podman-pilot")
	}
	switch {
	case target == "":
		target = host
		a.add("container.target_app_path", Differs, fmt.Sprintf("is missing: %s is started, where podman-pilot looks for the name %s in the image's PATH", host, a.Name))
	case target == "/":
		a.add("container.target_app_path", Same, "the image's own entrypoint")
	case !path.IsAbs(target):
		a.Refuse("container.target_app_path", fmt.Sprintf("%q is not an absolute path", target))
	default:
		a.add("container.target_app_path", Same, target)
	}
	c.TargetAppPath = target
}

func (a *assessment) runtime() {
	const prefix = "container.runtime."
	r := &a.f.Container.Runtime
	runas := a.text(prefix + "runas")
	switch runas {
	case "root":
		r.RunAs = runas
		if a.facts.Ordinary {
			a.Refuse(prefix+"runas", "root would not look for it among your registrations: import it as root")
			break
		}
		a.add(prefix+"runas", Same, "root; who is not goes through sudo")
	case "", "any":
	default:
		a.add(prefix+"runas", Differs, fmt.Sprintf("%q is left out: the calling user, as podman-pilot has it for everybody but root", runas))
	}
	r.Resume, r.Attach = a.yes(prefix+"resume"), a.yes(prefix+"attach")
	switch {
	case r.Resume && r.Attach:
		a.Refuse(prefix+"attach", "excludes resume")
	case r.Resume:
		a.add(prefix+"resume", Same, "kept between calls; the image needs no sleep")
	case r.Attach:
		a.add(prefix+"attach", Same, "a call comes back to the app that runs")
	}
}

func (a *assessment) include() {
	a.f.Include = flake.Include{Tar: a.list("include.tar"), Path: a.list("include.path")}
	plain := a.f.Container.BaseContainer == "" && !a.f.Container.CheckHostDependencies
	for key, files := range map[string][]string{"include.tar": a.f.Include.Tar, "include.path": a.f.Include.Path} {
		switch {
		case len(files) == 0:
		case plain:
			a.add(key, Differs, strings.Join(files, ", ")+": podman-pilot leaves it out, as there is no base_container and no check_host_dependencies")
		default:
			a.add(key, Same, strings.Join(files, ", "))
		}
	}
}

func (a *assessment) unknown() {
	var keys []string
	for key := range a.keys {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	for _, key := range keys {
		a.Refuse(key, "no key that is known here; take it out, or leave the flake to podman-pilot")
	}
}

// finish lets the flake be imported if nothing speaks against it.
func (a *assessment) finish() {
	sort.SliceStable(a.Findings, func(i, j int) bool { return a.Findings[i].Key < a.Findings[j].Key })
	if !slices.ContainsFunc(a.Findings, func(f Finding) bool { return f.Verdict == Cannot }) {
		f := a.f
		a.Flake = &f
	}
}
