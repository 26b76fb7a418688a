package compile

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// minLayer is how many host files are worth an overlay of their own: a mount a file costs about as much as the overlay
// does for ten.
const minLayer = 12

// dataDirs are the host's directories whose files come from packages, which replace them and do not edit them.
var dataDirs = []string{"/usr", "/opt"}

// place decides how each host file is shown: through the host layer or by a mount of its own. Where the kernel can't do
// the former, all are bound, unless the flake insists.
func (c *Compiler) place(p *plan.Plan, req Request, host *hostFiles, layers []string, view *rootfs.View) error {
	if host.resolved == nil {
		return nil
	}
	opt := hostlink.LayerOptions{
		Data: c.dataDirs(), Min: minLayer, Trusted: c.Caller.Root(), Edited: c.edited(host),
	}
	strategy := req.Flake.HostFiles.Strategy
	switch strategy {
	case "bind":
		opt.Data = nil
	case "layer":
		opt.Min, opt.Edited = 1, nil
	}
	layer, binds, why := hostlink.Split(host.resolved, opt)
	if strategy == "bind" {
		for target := range why {
			why[target] = "host_files.strategy is bind"
		}
	}
	host.report.Bound = why
	if layer != nil {
		if err := c.hostLayer(p, layer, layers, view); err != nil {
			if strategy == "layer" {
				return &StackError{Flake: req.Name, Reason: "host_files.strategy: layer: " + err.Error(), Fix: "leave host_files.strategy out"}
			}
			host.report.NoLayer = err.Error()
			layer, binds = nil, host.resolved.Links
		}
	}
	if layer != nil {
		host.watchPackages() // sizes and modes are those of now: an update of packages has them looked at again
	}
	for _, l := range binds {
		p.Links = append(p.Links, planLink(l))
	}
	host.addNodes(layer)
	return nil
}

// edited tells which files of the host are usually changed in place: those below /usr/local, those that belong to no
// package, and configuration. Where no database tells, all others are taken for a package's.
func (c *Compiler) edited(host *hostFiles) func(path string) bool {
	local := func(path string) bool { return strings.HasPrefix(path, "/usr/local/") }
	var paths []string
	for _, l := range host.resolved.Links {
		if slices.ContainsFunc(c.dataDirs(), func(dir string) bool { return strings.HasPrefix(l.Source, dir+"/") }) {
			paths = append(paths, l.Source)
		}
	}
	if len(paths) < minLayer {
		return local
	}
	db, err := host.packages.open()
	if err != nil {
		return local
	}
	owners, err := db.Owners(paths)
	if err != nil {
		return local
	}
	return func(path string) bool {
		owner, ok := owners[path]
		return !ok || owner.Config || local(path)
	}
}

// addNodes takes over what the own layer has to hold, without mount points for files that need none.
func (h *hostFiles) addNodes(layer *hostlink.HostLayer) {
	need := map[string]bool{}
	if layer != nil {
		for _, l := range layer.Files {
			need[l.Target] = true
		}
	}
	for _, n := range h.resolved.Nodes {
		if n.Kind != hostlink.KindFile || !need[n.Path] {
			h.nodes = append(h.nodes, n)
		}
	}
}

// dataDirs are those that lie on the host itself: another root (a test's) has none.
func (c *Compiler) dataDirs() []string {
	if c.HostRoot != "/" {
		return nil
	}
	return dataDirs
}

// hostLayer writes the layer and tries it.
func (c *Compiler) hostLayer(p *plan.Plan, layer *hostlink.HostLayer, layers []string, view *rootfs.View) error {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", layer.Data)
	dir, err := c.derivedLayer(h, layer.Nodes, layers, view, func(string) error { return nil })
	if err != nil {
		return err
	}
	if err := c.tryHostLayer(p, dir, layer, layers[0]); err != nil {
		return err
	}
	p.HostLayer = &plan.HostLayer{Dir: dir, Data: slices.Clone(layer.Data), Trusted: c.Caller.Root()}
	return nil
}

func (c *Compiler) tryHostLayer(p *plan.Plan, dir string, layer *hostlink.HostLayer, below string) error {
	probe := &nsexec.Probe{HostLayer: &nsexec.HostLayer{Trusted: c.Caller.Root()}, Path: layer.Files[0].Target, User: p.User}
	if p.Range != nil {
		probe.Range = p.Range.Engine()
	}
	var files []*os.File
	for _, d := range append([]string{below, dir}, layer.Data...) {
		f, err := os.Open(d)
		if err != nil {
			return err
		}
		defer f.Close()
		files = append(files, f)
	}
	dirs := nsexec.Opened(files...)
	probe.Layer, probe.HostLayer.Layer, probe.HostLayer.Data = files[0], dirs[1], dirs[2:]
	return probe.Run()
}
