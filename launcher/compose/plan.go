package compose

import (
	"fmt"
	"os"

	"github.com/flake-launcher/flake-launcher/hostlink"
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
	job := Job{
		Config: p.Config, Lower: p.Lower, Writable: p.Writable, Filters: p.Filters,
		Args: p.Argv(v), Env: p.Environ(v, os.Environ()), Cwd: p.Cwd, UID: int(p.UID), GID: int(p.GID),
	}
	for _, g := range p.Groups {
		job.Groups = append(job.Groups, int(g))
	}
	for _, d := range p.Seed {
		job.Seed = append(job.Seed, overlay.Dir{Path: d.Path, Mode: d.Mode, UID: int(d.UID), GID: int(d.GID)})
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
