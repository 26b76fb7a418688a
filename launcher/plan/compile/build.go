package compile

import (
	"context"
	"fmt"
	"slices"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// build is one compilation: what its steps hand on.
type build struct {
	c   *Compiler
	req Request
	p   *plan.Plan

	images  []rootfs.Stored
	digests map[string]string // of the images by the names of the request
	stack   stackConfig
	// Checks that were taken before the images and the ranges of ids were looked up.
	names, ranges []plan.Check

	includes *included
	layers   []string // bottom first, includes on top
	view     *rootfs.View
	host     *hostFiles
	files    []ownFile
}

// compile makes a plan, step by step.
func (c *Compiler) compile(ctx context.Context, req Request) (*Result, error) {
	b := &build{c: c, req: req}
	if err := b.begin(ctx); err != nil {
		return nil, err
	}
	if err := b.open(ctx); err != nil {
		return nil, err
	}
	defer b.view.Close()
	// Writing comes last: a refused request leaves nothing behind.
	for _, step := range []func(context.Context) error{b.supply, b.process, b.share, b.write} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &Result{Plan: b.p, Digests: b.digests, Host: b.host.report, Root: Root{
		Layers: describeLayers(req, b.images, b.includes, b.layers), Nodes: b.host.nodes, Files: ownPaths(b.files),
	}}, nil
}

// begin finds the images and decides what the rest depends on: kept or not, writable part, ids.
func (b *build) begin(ctx context.Context) (err error) {
	c, req := b.c, b.req
	b.names = c.nameChecks(req)
	if b.images, b.digests, err = c.images(ctx, req); err != nil {
		return err
	}
	if err := checkStack(req, b.images); err != nil {
		return err
	}
	b.p = &plan.Plan{
		Build: plan.Build, Kernel: plan.Kernel(), Name: req.Name, Writable: req.Writable, Store: c.Store.Root(), Cwd: "/",
		PilotArguments: req.Flake.PilotArguments,
	}
	if err := keep(b.p, req); err != nil {
		return err
	}
	if b.p.Writable == "" {
		b.p.Writable = c.writable(req, b.p.Kernel)
	}
	if err := c.keeps(b.p); err != nil {
		return err
	}
	for _, i := range b.images {
		b.p.Digests = append(b.p.Digests, i.Digest.String())
	}
	b.stack = mergeConfigs(b.images)
	if b.ranges, err = c.ids(b.p, req, b.images, b.stack); err != nil {
		return err
	}
	b.p.Caller, b.p.User = uint32(c.Caller.UID), !c.Caller.Root() && b.p.Range == nil
	return nil
}

// open gives the layers with the includes, and the view of them.
func (b *build) open(ctx context.Context) (err error) {
	if b.includes, err = b.c.includes(ctx, b.p, b.req, b.images); err != nil {
		return err
	}
	if b.layers, err = rootfs.TrimOpaque(b.includes.onTop(unique(stackDirs(b.images)))); err == nil {
		b.view, err = rootfs.NewView(b.layers)
	}
	if err != nil {
		return fmt.Errorf("open layers of %q: %w", b.req.Name, err)
	}
	return nil
}

// supply finds what the host supplies, and what layers imply.
func (b *build) supply(ctx context.Context) (err error) {
	if b.host, err = b.c.host(ctx, b.req, b.images, b.view); err != nil {
		return err
	}
	implied, err := impliedParents(b.images, b.includes, b.layers, b.view)
	b.host.nodes = append(b.host.nodes, b.host.notReplaced(implied)...)
	return err
}

// process describes what is started, as whom.
func (b *build) process(context.Context) error {
	c, p, req := b.c, b.p, b.req
	if err := command(p, req, b.stack); err != nil {
		return err
	}
	if err := envFiles(p, req.Flake); err != nil {
		return fmt.Errorf("flake %q: %w", req.Name, err)
	}
	if err := c.checkTarget(p, req, b.view, b.host); err != nil {
		return err
	}
	if err := c.identity(p, req, b.stack, b.view); err != nil {
		return err
	}
	if err := c.groups(p, req, b.view); err != nil {
		return err
	}
	if err := checkRange(p, req); err != nil {
		return err
	}
	return c.checkStores(p, req, b.images)
}

// share describes what the app sees of its caller.
func (b *build) share(context.Context) (err error) {
	c, p, req := b.c, b.p, b.req
	if b.files, err = c.accounts(p, b.view); err != nil {
		return err
	}
	if err := c.basics(p, req.profile(), b.host, b.view); err != nil {
		return err
	}
	if err := c.shares(p, req, b.images, &restored{b.view, b.host.nodes}); err != nil {
		return err
	}
	return c.describeKept(p, req)
}

// write makes the layers that the flake needs beside those of its images, and completes the plan.
func (b *build) write(ctx context.Context) error {
	c, p := b.c, b.p
	if err := c.place(p, b.req, b.host, b.layers, b.view); err != nil {
		return err
	}
	own, err := c.ownLayer(b.host.nodes, b.files, b.layers, b.view)
	if err != nil {
		return err
	}
	layers, err := c.ownedLayers(ctx, p, b.layers)
	if err != nil {
		return err
	}
	p.Lower = topFirst(layers, own)
	p.Checks = slices.Concat(c.Settings, p.Checks, b.req.Checks, b.names, b.includes.checks, b.host.checks, b.ranges)
	if p.HostLayer != nil {
		p.Checks = append(p.Checks, plan.NewCheck(p.HostLayer.Dir))
	}
	for _, dir := range p.Lower {
		p.Checks = append(p.Checks, plan.NewCheck(dir))
	}
	p.Checks = once(p.Checks)
	return nil
}

// once leaves of several fingerprints of a path the first, which was taken before anything was read from there.
func once(checks []plan.Check) []plan.Check {
	seen := map[string]bool{}
	return slices.DeleteFunc(checks, func(c plan.Check) bool {
		twice := seen[c.Path]
		seen[c.Path] = true
		return twice
	})
}

// unique drops directories that come up twice (images that share layers with their base): each counts where it
// is lowest. overlayfs refuses duplicates, and what lies between the two can only have come later.
func unique(dirs []string) []string {
	var out []string
	for _, d := range dirs {
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// topFirst turns the bottom-first layers into overlayfs' order, the flake's own layer on top.
func topFirst(layers []string, own string) []string {
	out := slices.Clone(layers)
	if own != "" {
		out = append(out, own)
	}
	slices.Reverse(out)
	return out
}
