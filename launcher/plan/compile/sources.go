package compile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/policy"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// asked is what images and flake ask of the host, before anything is looked up.
type asked struct {
	sources []hostlink.Source
	wishes  []wish
	skipped []hostlink.Skip // what the policy has not even looked at
}

// sources are those of the packages that the flake names, which no policy judges and whose needs are looked for; then
// what images ask for. Where two name the same file, the first counts.
func (c *Compiler) sources(ctx context.Context, out *hostFiles, req Request, images []rootfs.Stored) ([]hostlink.Source, []hostlink.Skip, error) {
	var a asked
	if req.HostDeps {
		pol, err := c.policy(out)
		if err != nil {
			return nil, nil, err
		}
		for n, img := range images {
			rules := pol.For(policyImage(req.Images[n], img))
			if err := c.manifests(ctx, &a, out.packages, rules, req, req.Images[n], img); err != nil {
				return nil, nil, err
			}
		}
	}
	own, err := out.packages.hostSystem(req)
	if err != nil {
		return nil, nil, err
	}
	granted, skipped, err := out.packages.grant(req.Name, append(own, a.wishes...), req.Flake.HostFiles.IgnoreMissing)
	return append(granted, a.sources...), append(a.skipped, skipped...), err
}

// policy reads what images may ask for; a change of it makes the plan stale.
func (c *Compiler) policy(out *hostFiles) (*policy.Policy, error) {
	if c.Policy != "" {
		out.checks = append(out.checks, plan.NewCheck(c.Policy))
	}
	return policy.Read(c.Policy)
}

// resolve looks the sources up on the host, and then what files of packages among them need.
func (c *Compiler) resolve(out *hostFiles, req Request, images []rootfs.Stored, sources []hostlink.Source, view *rootfs.View) error {
	host, err := hostlink.OpenHost(c.HostRoot)
	if err != nil {
		return fmt.Errorf("open host root for %q: %w", req.Name, err)
	}
	ask := hostlink.Request{Host: host, Image: view, Provided: provided(), Keep: req.Keep, Drop: req.Drop, Sources: sources, FollowLinks: req.followLinks()}
	res, err := hostlink.Resolve(ask)
	if err != nil {
		return fmt.Errorf("resolve host files of %q: %w", req.Name, err)
	}
	out.strict(req, res)
	if res, err = c.libraries(out, req, images, ask, res, view); err != nil {
		return err
	}
	c.dropOwnLinks(res)
	out.resolved = res
	out.strict(req, res)
	for _, w := range res.Watch {
		out.checks = append(out.checks, watched(w))
	}
	out.watchPackages()
	r := &out.report
	r.Linked, r.Skipped, r.Dangling, r.Replaced, r.Unreadable = res.Linked, res.Skipped, res.Dangling, res.Replaced, unreadable(res.Linked)
	return nil
}

// watched is the check of a directory, as it was before anything in it was looked up. Of one that may have changed again
// without a trace no start takes it to hold: the next compiles anew.
func watched(w hostlink.Watched) plan.Check {
	c := plan.Check{Path: w.Path, Dev: w.Dev, Ino: w.Ino, Mtime: w.Mtime.Nano()}
	if w.Racy {
		c.Ino = 0 // no directory has it
	}
	return c
}

// strict fingerprints the linked files, if the flake wants that: before anything is made of what they are now.
func (h *hostFiles) strict(req Request, res *hostlink.Plan) {
	if req.Flake.HostFiles.Freshness != "strict" {
		return
	}
	for _, l := range res.Links {
		h.checks = append(h.checks, plan.NewCheck(l.Source))
	}
}

// watchPackages has another state of the package database, if it was asked, make the plan stale.
func (h *hostFiles) watchPackages() {
	h.checks = append(h.checks, h.packages.checks...)
	h.packages.checks = nil
}

// manifests reads what one image says about the host's files: lists, and packages.
func (c *Compiler) manifests(ctx context.Context, a *asked, p *packages, rules *policy.Rules, req Request, name string, img rootfs.Stored) error {
	view, err := rootfs.NewView(img.LayerDirs(img.Store))
	if err != nil {
		return fmt.Errorf("open layers of image %q: %w", name, err)
	}
	defer view.Close()
	lists, err := removed(name, view)
	if err != nil {
		return err
	}
	_, barred := rules.AllowsHostFiles()
	for _, s := range lists {
		s.Refuse, s.Barred = rules.Refuse, barred
		a.sources = append(a.sources, s)
	}
	if st, err := view.Stat(hostlink.SystemFiles); errors.Is(err, fs.ErrNotExist) || err == nil && st.IsDir() {
		return nil
	}
	if ok, reason := rules.AllowsSystemFiles(); !ok {
		a.skipped = append(a.skipped, hostlink.Skip{
			Path: strings.TrimPrefix(hostlink.SystemFiles, "/"), Origin: name, Cause: hostlink.CausePolicy, Reason: reason, From: hostlink.SourceScript,
		})
		return nil
	}
	return c.systemFiles(ctx, a, p, rules, req, name, view)
}

// systemFiles adds what an image's script asks for.
func (c *Compiler) systemFiles(ctx context.Context, a *asked, p *packages, rules *policy.Rules, req Request, name string, view *rootfs.View) error {
	script, err := view.ReadFile(hostlink.SystemFiles, hostlink.MaxSystemFiles)
	if errors.Is(err, rootfs.ErrTooLarge) {
		return &ScriptError{req.Name, name, fmt.Errorf("is larger than %d MB", hostlink.MaxSystemFiles>>20)}
	}
	if err != nil {
		return fmt.Errorf("read %s of image %q: %w", hostlink.SystemFiles, name, err)
	}
	if names, ok := hostlink.SystemPackages(script); ok {
		a.wishes = append(a.wishes, wish{by: fmt.Sprintf("image %q", name), origin: name, kind: hostlink.SourceScript, names: names, rules: rules})
		return nil
	}
	m, err := c.script(ctx, p, req.Name, name, script)
	a.sources = append(a.sources, hostlink.Source{Origin: name, Kind: hostlink.SourceScript, Manifest: m, Refuse: rules.Refuse})
	return err
}

// removed reads the lists of removed files of an image.
func removed(name string, view *rootfs.View) ([]hostlink.Source, error) {
	var out []hostlink.Source
	for _, path := range hostlink.RemovedManifests {
		m, err := manifest(view, path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s of image %q: %w", path, name, err)
		}
		out = append(out, hostlink.Source{Origin: name, Kind: hostlink.SourceRemoved, Manifest: m})
	}
	return out, nil
}
