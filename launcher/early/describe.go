package early

import (
	"slices"

	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec"
	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// Describe is a start of a plan at a moment, without command and environment, and without a writable part on disk. Dirs are
// the plan's layers, then those of its host layer.
func Describe(p *plan.Plan, now *caller.Moment, dirs []nsexec.Dir) *nsexec.Direct {
	n := len(p.Lower)
	d := &nsexec.Direct{
		Ops: p.Ops, User: p.User, Layers: dirs[:n:n], Upper: upperKinds[p.Writable], Size: p.Size,
		UID: p.UID, GID: p.GID, Groups: p.Groups, Cwd: nsexec.Cwd(now.Cwd), Filters: p.Filters,
	}
	for _, s := range slices.Concat(p.Seed, now.Seed) {
		d.Seed = append(d.Seed, nsexec.Node(s))
	}
	for _, c := range p.Copies {
		d.Copies = append(d.Copies, nsexec.Copy{Source: c.Source, Target: c.Target, Mode: c.Mode})
	}
	for _, l := range now.Symlinks {
		d.Symlinks = append(d.Symlinks, nsexec.Symlink(l))
	}
	for _, b := range now.Binds {
		d.Binds = append(d.Binds, nsexec.Bind(b))
	}
	if h := p.HostLayer; h != nil {
		d.HostLayer = &nsexec.HostLayer{Layer: dirs[n], Data: dirs[n+1:], Trusted: h.Trusted}
	}
	for _, l := range p.Links {
		d.Links = append(d.Links, nsexec.Link{Source: l.Source, Target: l.Target, Kind: linkKinds[l.Kind]})
	}
	if r := p.Range; r != nil {
		d.Range = r.Engine()
	}
	return d
}

var upperKinds = map[string]uint32{
	plan.WritableTmpfs: initproc.UpperTmpfs, plan.WritableDisk: initproc.UpperDisk, plan.WritableNone: initproc.UpperNone,
}

var linkKinds = map[string]uint32{
	plan.LinkFile: initproc.LinkFile, plan.LinkDir: initproc.LinkDir, plan.LinkSocket: initproc.LinkSocket,
}
