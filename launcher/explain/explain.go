package explain

import (
	"cmp"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
)

// Subject is a flake that was compiled to be explained.
type Subject struct {
	Name string
	// File is the registration, and Flake what it says.
	File  string
	Flake *flake.Flake
	// Compiled is what a start would have now.
	Compiled *compile.Result
	// PlanFile is where the plan of a start is; State what became of it.
	PlanFile string
	State    PlanState
	// Caller is who would start it, Getenv his environment.
	Caller compile.Caller
	Getenv func(string) (string, bool)
}

// PlanState is what there is for the next start.
type PlanState struct {
	// State is "fresh", "stale" (the next start compiles it again, for the sake of Changed) or "none".
	State   string `json:"state"`
	Changed string `json:"changed,omitempty"`
}

// Of explains a flake. all lists each file.
func Of(s Subject, all bool) (*Explanation, error) {
	p, h := s.Compiled.Plan, &s.Compiled.Host
	e := &Explanation{
		Flake: s.Name, Registration: s.File, Link: s.Flake.Container.HostAppPath, Plan: s.State,
		Command: slices.Concat(p.Entrypoint, p.Cmd), Images: images(s.Compiled), Shares: shares(s), Libraries: h.Libraries,
		HostFiles: []HostFile{}, LeftOut: []LeftOut{}, Dangling: []Dangling{}, Replaced: []Replaced{}, Unreadable: []string{},
	}
	e.Strategy = Strategy{
		NoLayer: h.NoLayer, Wanted: s.Flake.HostFiles.Strategy, Strict: s.Flake.HostFiles.Freshness == "strict",
		Follow: s.Flake.HostFiles.FollowLinks == nil || *s.Flake.HostFiles.FollowLinks, Data: []string{},
	}
	if p.HostLayer != nil {
		e.Strategy.Data = p.HostLayer.Data
	}
	for _, l := range h.Linked {
		f := hostFile(s.Compiled, l)
		switch f.Strategy {
		case ByLayer:
			e.Strategy.Layer++
		case ByBind:
			e.Strategy.Bind++
		case BySymlink:
			e.Strategy.Symlinks++
		}
		e.HostFiles = append(e.HostFiles, f)
	}
	slices.SortStableFunc(e.HostFiles, func(a, b HostFile) int { return cmp.Compare(a.Place, b.Place) })
	for _, k := range h.Skipped {
		e.LeftOut = append(e.LeftOut, leftOut(k))
	}
	for _, d := range h.Dangling {
		e.Dangling = append(e.Dangling, Dangling{
			Place: d.Path, Text: d.Target, Missing: d.Missing, Reason: d.Reason, Because: Because{From: d.From, Image: d.Origin, Line: d.Line, Entry: d.Path[1:]},
		})
	}
	for _, r := range h.Replaced {
		e.Replaced = append(e.Replaced, Replaced{r.Path, string(r.Was), string(r.Now)})
	}
	e.Unreadable = append(e.Unreadable, h.Unreadable...)
	return e, e.count(s, all)
}

func images(res *compile.Result) []Image {
	var out []Image
	for _, l := range res.Root.Layers {
		i := Image{l.Role, l.Name, l.Digest}
		if l.Digest != "" && !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// hostFile says how a linked entry is shown.
func hostFile(res *compile.Result, l hostlink.Linked) HostFile {
	f := HostFile{
		Place: l.Target, Source: l.Source, Kind: string(l.Kind), Strategy: ByBind,
		Because: Because{From: l.From, Image: l.Origin, Line: l.Line, Entry: l.Path, For: l.For},
	}
	if l.From == hostlink.SourceLibrary {
		for _, t := range res.Host.Libraries.Host {
			if t.Line == l.Line {
				f.Because.For, f.Because.Why = strings.TrimPrefix(t.File, "/"), string(t.Why)
			}
		}
	}
	why := res.Host.Bound[l.Target]
	switch {
	case l.Kind == hostlink.KindSymlink:
		f.Strategy = BySymlink
	case l.Kind == hostlink.KindDir:
		f.Strategy = ByDir
	case why == "" && res.Plan.HostLayer != nil:
		f.Strategy = ByLayer
	case why != "":
		f.Reason = why
	case res.Host.NoLayer != "":
		f.Reason = "no host layer here: " + res.Host.NoLayer
	}
	return f
}

func leftOut(k hostlink.Skip) LeftOut {
	return LeftOut{string(k.Cause), k.Reason, Because{From: k.From, Image: k.Origin, Line: k.Line, Entry: k.Path}}
}

func shares(s Subject) Shares {
	p := s.Compiled.Plan
	profile := s.Flake.Profile
	if profile == "" {
		profile = caller.Native
	}
	out := Shares{
		Profile: profile, Cwd: p.Cwd, CwdIsHis: p.ShareCwd, Writable: p.Writable, Network: caller.ProfileOf(profile).Network,
		Binds: []Bind{}, Protected: append([]string{}, p.Protect...), Copies: []Copy{},
	}
	if s.Flake.Network != "" {
		out.Network = s.Flake.Network == "host"
	}
	for _, kv := range p.Env {
		if len(kv) > 5 && kv[:5] == "HOME=" {
			out.Home = kv[5:]
		}
	}
	for _, b := range p.Binds {
		out.Binds = append(out.Binds, Bind{b.Source, b.Target, b.ReadOnly, b.Optional, b.Tmpfs != ""})
	}
	for _, c := range p.Copies {
		out.Copies = append(out.Copies, Copy{c.Source, c.Target})
	}
	return out
}

// StateOf looks at the plan that the next start would find.
func StateOf(file string) (PlanState, *plan.Plan) {
	p, f, err := plan.Load(file)
	if err != nil {
		return PlanState{State: "none"}, nil
	}
	f.Close()
	if ok, changed := p.Fresh(); !ok {
		return PlanState{State: "stale", Changed: changed}, p
	}
	return PlanState{State: "fresh"}, p
}
