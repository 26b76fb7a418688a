package compile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// sources are the lists of all images, base first, and then those of the packages that the flake names.
func (c *Compiler) sources(ctx context.Context, p *packages, req Request, images []rootfs.Stored) ([]hostlink.Source, []hostlink.Skip, error) {
	var sources []hostlink.Source
	var wishes []wish
	if req.HostDeps {
		for n, img := range images {
			src, want, err := c.manifests(ctx, p, req, req.Images[n], img)
			if err != nil {
				return nil, nil, err
			}
			sources, wishes = append(sources, src...), append(wishes, want...)
		}
	}
	own, err := p.hostSystem(req)
	if err != nil {
		return nil, nil, err
	}
	granted, skipped, err := p.grant(req.Name, append(wishes, own...), req.Flake.HostFiles.IgnoreMissing)
	return append(sources, granted...), skipped, err
}

// resolve looks the sources up on the host, and then what files of packages among them need.
func (c *Compiler) resolve(out *hostFiles, req Request, images []rootfs.Stored, sources []hostlink.Source, view *rootfs.View) error {
	ask := hostlink.Request{HostRoot: c.HostRoot, Image: view, Provided: provided(), Keep: req.Keep, Drop: req.Drop, Sources: sources}
	res, err := hostlink.Resolve(ask)
	if err != nil {
		return fmt.Errorf("resolve host files of %q: %w", req.Name, err)
	}
	if res, err = c.libraries(out, req, images, ask, res, view); err != nil {
		return err
	}
	c.dropOwnLinks(res)
	out.resolved = res
	for _, dir := range res.Watch {
		out.checks = append(out.checks, plan.NewCheck(dir))
	}
	out.watchPackages()
	r := &out.report
	r.Linked, r.Skipped, r.Dangling, r.Unreadable = res.Linked, res.Skipped, res.Dangling, unreadable(res.Linked)
	return nil
}

// watchPackages has another state of the package database, if it was asked, make the plan stale.
func (h *hostFiles) watchPackages() {
	h.checks = append(h.checks, h.packages.checks...)
	h.packages.checks = nil
}

// manifests reads what one image says about the host's files: lists, and packages.
func (c *Compiler) manifests(ctx context.Context, p *packages, req Request, name string, img rootfs.Stored) ([]hostlink.Source, []wish, error) {
	view, err := rootfs.NewView(img.LayerDirs(img.Store))
	if err != nil {
		return nil, nil, fmt.Errorf("open layers of image %q: %w", name, err)
	}
	defer view.Close()
	out, err := removed(name, view)
	if err != nil {
		return nil, nil, err
	}
	script, err := view.ReadFile(hostlink.SystemFiles, hostlink.MaxSystemFiles)
	if st, statErr := view.Stat(hostlink.SystemFiles); errors.Is(err, fs.ErrNotExist) || statErr == nil && st.IsDir() {
		return out, nil, nil
	}
	if errors.Is(err, rootfs.ErrTooLarge) {
		return nil, nil, &ScriptError{req.Name, name, fmt.Errorf("is larger than %d MB", hostlink.MaxSystemFiles>>20)}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s of image %q: %w", hostlink.SystemFiles, name, err)
	}
	if names, ok := hostlink.SystemPackages(script); ok {
		return out, []wish{{by: fmt.Sprintf("image %q", name), origin: name, kind: hostlink.SourceScript, names: names}}, nil
	}
	m, err := c.script(ctx, p, req.Name, name, script)
	return append(out, hostlink.Source{Origin: name, Kind: hostlink.SourceScript, Manifest: m}), nil, err
}

// removed reads the lists of removed files of an image.
func removed(name string, view *rootfs.View) ([]hostlink.Source, error) {
	var out []hostlink.Source
	for _, path := range hostlink.RemovedManifests {
		b, err := view.ReadFile(path, maxManifest)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s of image %q: %w", path, name, err)
		}
		m, err := hostlink.ParseManifest(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("parse %s of image %q: %w", path, name, err)
		}
		out = append(out, hostlink.Source{Origin: name, Kind: hostlink.SourceRemoved, Manifest: m})
	}
	return out, nil
}
