package compose

import (
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/overlay"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// jobOfPlan reads the plan and adds what the launcher's words say to it. With a writable part on disk it makes the
// directory for it, whose owner is the returned function: call it when the start has ended.
//
// It is the one place where the plan's format meets a Job.
func jobOfPlan(f *os.File, words []string) (Job, func(), error) {
	p, err := plan.Read(f)
	if err != nil {
		return Job{}, nil, err
	}
	v, err := plan.ParseWords(words)
	if err != nil {
		return Job{}, nil, err
	}
	p.Adjust(v)
	now, err := caller.At(p, caller.Self())
	if err == nil {
		err = plainCwd(p, now)
	}
	if err != nil {
		return Job{}, nil, err
	}
	job := Job{
		Config: p.Config, Lower: p.Lower, Writable: p.Writable, TmpfsSize: int64(p.Size), Filters: p.Filters, Binds: now.Binds,
		Args: p.Argv(v), Env: p.Environ(v, os.Environ(), now.PWD()), Cwd: now.Cwd.Path, UID: int(p.UID), GID: int(p.GID),
	}
	if h := p.HostLayer; h != nil {
		job.HostLayer = &overlay.HostLayer{Dir: h.Dir, Data: h.Data, Trusted: h.Trusted}
	}
	for _, g := range p.Groups {
		job.Groups = append(job.Groups, int(g))
	}
	for _, n := range slices.Concat(p.Seed, now.Seed) {
		job.Seed = append(job.Seed, overlay.Node{Path: n.Path, Mode: n.Mode, UID: int(n.UID), GID: int(n.GID), Text: n.Text, Opaque: n.Opaque})
	}
	for _, c := range p.Copies {
		if content, err := caller.ReadHostFile(c.Source); err == nil {
			job.Seed = append(job.Seed, overlay.Node{Path: c.Target, Mode: unix.S_IFREG | c.Mode, Content: content})
		}
	}
	for _, l := range p.Links {
		job.Links = append(job.Links, hostlink.Link{Source: l.Source, Target: l.Target, Kind: hostlink.Kind(l.Kind)})
	}
	if p.Writable != plan.WritableDisk {
		return job, func() {}, nil
	}
	release, err := job.scratch(p.Store)
	return job, release, err
}

// scratch makes the writable part in the store's own temporary directory, so that a crash leaves only what the
// store sweeps.
func (j *Job) scratch(root string) (release func(), err error) {
	store, err := rootfs.Open(root)
	if err != nil {
		return nil, err
	}
	// Nobody waits for it: leftovers of starts that were killed.
	if _, err := store.SweepTemp(); err != nil {
		return nil, fmt.Errorf("sweep leftovers: %w", err)
	}
	tmp, err := store.Temp("writable")
	if err != nil {
		return nil, err
	}
	j.Scratch = tmp.Dir()
	return func() { _ = tmp.Close() }, nil
}

// plainCwd is the working directory as libcontainer takes it: one name, and it makes what is missing.
func plainCwd(p *plan.Plan, now *caller.Moment) error {
	now.Symlinks = nil
	if now.Cwd.Real != "" {
		now.Cwd.Path = now.Cwd.Real
		return nil
	}
	if now.Cwd.Make {
		return nil
	}
	layers := slices.Clone(p.Lower)
	slices.Reverse(layers)
	view, err := rootfs.NewView(layers)
	if err != nil {
		return fmt.Errorf("open layers: %w", err)
	}
	defer view.Close()
	if st, err := view.Stat(now.Cwd.Path); err != nil || !st.IsDir() {
		return &caller.CwdError{Dir: now.Cwd.Path, Err: unix.ENOENT}
	}
	return nil
}
