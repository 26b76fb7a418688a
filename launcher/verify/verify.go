package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/explain"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
)

// What a finding is about.
const (
	CheckRegistration = "registration"
	CheckLink         = "link"
	CheckImage        = "image"
	CheckPlan         = "plan"
	CheckHostFile     = "host file"
	CheckLibraries    = "libraries"
)

// Finding is one thing that was found.
type Finding struct {
	Check string `json:"check"`
	// Note says that it is worth knowing, and no problem.
	Note   bool   `json:"note"`
	Cause  string `json:"cause"`
	Remedy string `json:"remedy,omitempty"`
}

// Report is what was found of one flake.
type Report struct {
	Flake    string    `json:"flake"`
	File     string    `json:"registration"`
	Problems int       `json:"problems"`
	Repaired bool      `json:"repaired"`
	Findings []Finding `json:"findings"`
}

func (r *Report) add(f Finding) {
	if !f.Note {
		r.Problems++
	}
	r.Findings = append(r.Findings, f)
}

// fail adds an error as a problem.
func (r *Report) fail(check string, err error) {
	f := Finding{Check: check, Cause: err.Error()}
	var remedy interface{ Remedy() string }
	if errors.As(err, &remedy) {
		f.Remedy = remedy.Remedy()
	}
	r.add(f)
}

// Verifier looks at flakes.
type Verifier struct {
	Catalog *catalog.Catalog
}

// Flake looks at one flake. With repair its plan is compiled anew, whatever it is like, before the host files are looked at.
func (v *Verifier) Flake(ctx context.Context, item catalog.Item, repair bool) *Report {
	r := &Report{Flake: item.Name, File: item.File, Findings: []Finding{}}
	if item.Err != nil {
		r.fail(CheckRegistration, item.Err)
		return r
	}
	if err := v.Catalog.CheckLink(item); err != nil {
		r.fail(CheckLink, err)
	}
	if !v.images(r, item) {
		return r
	}
	comp := v.Catalog.Compiler
	if repair {
		if _, err := comp.Flake(ctx, item.Name); err != nil {
			r.fail(CheckPlan, err)
			return r
		}
		r.Repaired = true
	}
	v.plan(r, item)
	res, _, err := comp.Look(ctx, item.Name)
	var other *compile.RunAsError
	if errors.As(err, &other) {
		r.add(Finding{Check: CheckHostFile, Note: true, Cause: "root starts it: what it gets of the host was not looked at", Remedy: other.Remedy()})
		return r
	}
	if err != nil {
		r.fail(CheckPlan, err)
		return r
	}
	hostFiles(r, item, res)
	libraries(ctx, r, res)
	return r
}

// images says whether all images of the flake are there.
func (v *Verifier) images(r *Report, item catalog.Item) bool {
	whole := true
	for _, name := range item.Flake.Images() {
		if err := v.image(name, item.Flake.Container.Digests[name]); err != nil {
			r.fail(CheckImage, fmt.Errorf("image %q: %w", name, err))
			whole = false
		}
	}
	return whole
}

func (v *Verifier) image(name, pinned string) error {
	images := v.Catalog.Compiler.Images
	d := digest.Digest(pinned)
	if pinned == "" {
		var err error
		if d, err = images.Resolve(name); err != nil {
			return err
		}
	}
	img, store, err := images.Image(d)
	if err != nil {
		return err
	}
	for _, l := range img.Layers {
		if err := store.CheckLayer(l); err != nil {
			return err
		}
	}
	return nil
}

// plan looks at what the next start finds, and at what the last one was shown of the host.
func (v *Verifier) plan(r *Report, item catalog.Item) {
	again := "the next start compiles it again, or now: flake-ctl verify --repair " + item.Name
	state, p := explain.StateOf(v.Catalog.Compiler.PlanFile(item.Name))
	switch state.State {
	case "none":
		r.add(Finding{Check: CheckPlan, Note: true, Cause: "there is no launch plan yet for you", Remedy: "the first start compiles it"})
	case "stale":
		r.add(Finding{Check: CheckPlan, Cause: "the launch plan is stale: " + state.Changed + " changed", Remedy: again})
	}
	if p == nil || p.HostLayer == nil {
		return
	}
	drifts, err := hostlink.CheckLayer(p.HostLayer.Dir, p.HostLayer.Data, p.HostLayer.Trusted)
	if err != nil {
		r.fail(CheckHostFile, err)
	}
	for _, d := range drifts {
		r.add(Finding{
			Check: CheckHostFile, Cause: fmt.Sprintf("%s %s", d.Path, d.What),
			Remedy: "flake-ctl verify --repair " + item.Name + ", or freshness: strict (host_files), if it is edited often",
		})
	}
}

// hostFiles tells what an app lacks of the host's files.
func hostFiles(r *Report, item catalog.Item, res *compile.Result) {
	if n := res.Host.Count(hostlink.CauseMissing); n > 0 {
		first := slices.IndexFunc(res.Host.Skipped, func(s hostlink.Skip) bool { return s.Cause == hostlink.CauseMissing })
		r.add(Finding{
			Check: CheckHostFile, Note: true,
			Cause:  fmt.Sprintf("%d files that the images name are not on this host, for example %s", n, res.Host.Skipped[first].Path),
			Remedy: "install what they belong to, if the app needs them",
		})
	}
	if n := res.Host.Count(hostlink.CausePolicy); n > 0 {
		r.add(Finding{
			Check: CheckHostFile, Note: true, Cause: fmt.Sprintf("%d files that the images name are refused by the policy", n),
			Remedy: "flake-ctl explain " + item.Name + " names them",
		})
	}
	for _, d := range res.Host.Dangling {
		r.add(Finding{
			Check: CheckHostFile, Note: harmless(d), Cause: fmt.Sprintf("%s leads to %s, which the app's root lacks: %s", d.Path, d.Missing, d.Reason),
			Remedy: fmt.Sprintf("share: [%s:ro], or leave the link out: host_files: {drop: [%q]}", d.Missing, d.Path[1:]),
		})
	}
	for _, path := range res.Host.Unreadable {
		r.add(Finding{
			Check: CheckHostFile, Cause: path + " is not yours to read, nor the app's",
			Remedy: "have its owner let you read it, or leave it out: host_files: {drop: …}",
		})
	}
}

// harmless says that nobody missed the target of a symlink that dangles: it was left out on purpose, or the symlink is
// of a package that was taken without what it needs. An image's builder who names a file means it to work.
func harmless(d hostlink.Dangling) bool {
	switch d.Cause {
	case hostlink.CauseNoise, hostlink.CauseDropped, hostlink.CausePolicy, hostlink.CauseRefused:
		return true
	}
	return d.From != hostlink.SourceRemoved && d.From != hostlink.SourceLink
}

// Stray tells of links that belong to no flake.
func (v *Verifier) Stray() *Report {
	r := &Report{Findings: []Finding{}}
	links, err := v.Catalog.StrayLinks()
	if err != nil {
		r.fail(CheckLink, err)
	}
	for _, l := range links {
		r.fail(CheckLink, l)
	}
	return r
}
