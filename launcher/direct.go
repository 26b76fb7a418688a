package launcher

import (
	"fmt"
	"os"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec"
	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
	"github.com/flake-launcher/flake-launcher/overlay"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// execDirect replaces the process by the direct engine. What is opened here stays open, and so locked, in the process
// that waits for the app.
func execDirect(speaker string, p *plan.Plan, v plan.Invocation) error {
	d, err := newDirect(speaker, p, v)
	if err != nil {
		return err
	}
	if p.Writable == plan.WritableDisk {
		tmp, err := scratch(p.Store)
		if err != nil {
			return err
		}
		defer tmp.Close() // reached only when nothing was started
		d.Scratch = tmp.Lock()
	}
	return d.Exec()
}

// newDirect opens the layers of a plan and describes a start, its writable part on disk excepted.
func newDirect(speaker string, p *plan.Plan, v plan.Invocation) (*nsexec.Direct, error) {
	layers, err := overlay.OpenLayers(p.Lower)
	if err != nil {
		return nil, err
	}
	d := &nsexec.Direct{
		Speaker: speaker, Ops: p.Ops, User: p.User, Layers: layers, Upper: upperKinds[p.Writable],
		UID: p.UID, GID: p.GID, Groups: p.Groups, Cwd: p.Cwd, Filters: p.Filters,
		Args: p.Argv(v), Env: p.Environ(v, os.Environ()),
	}
	for _, s := range p.Seed {
		d.Seed = append(d.Seed, nsexec.Dir(s))
	}
	for _, l := range p.Links {
		d.Links = append(d.Links, nsexec.Link{Source: l.Source, Target: l.Target, Kind: linkKinds[l.Kind]})
	}
	if r := p.Range; r != nil {
		d.Range = &nsexec.Range{NewUIDMap: r.NewUIDMap, NewGIDMap: r.NewGIDMap}
		for _, m := range r.UIDs {
			d.Range.UIDs = append(d.Range.UIDs, nsexec.IDMap(m))
		}
		for _, m := range r.GIDs {
			d.Range.GIDs = append(d.Range.GIDs, nsexec.IDMap(m))
		}
	}
	return d, nil
}

var upperKinds = map[string]uint32{
	plan.WritableTmpfs: initproc.UpperTmpfs, plan.WritableDisk: initproc.UpperDisk, plan.WritableNone: initproc.UpperNone,
}

var linkKinds = map[string]uint32{
	plan.LinkFile: initproc.LinkFile, plan.LinkDir: initproc.LinkDir, plan.LinkSocket: initproc.LinkSocket,
}

// scratch makes the writable part in the store's own temporary directory, so that a crash leaves only what the store
// sweeps. Nobody waits for that sweep: it is done here.
func scratch(root string) (*rootfs.Temp, error) {
	store, err := rootfs.Open(root)
	if err != nil {
		return nil, err
	}
	if _, err := store.SweepTemp(); err != nil {
		return nil, fmt.Errorf("sweep leftovers: %w", err)
	}
	return store.Temp("writable")
}
