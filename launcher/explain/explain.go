package explain

import (
	"cmp"
	"slices"

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

// Explanation is the whole of it.
type Explanation struct {
	Flake        string    `json:"flake"`
	Registration string    `json:"registration"`
	Link         string    `json:"host_app_path"`
	Command      []string  `json:"command"`
	Plan         PlanState `json:"plan"`
	Images       []Image   `json:"images"`
	// Origins are the places that files come from, in the order in which they are stacked.
	Origins     []Origin    `json:"origins"`
	Directories []Directory `json:"directories"`
	Strategy    Strategy    `json:"strategy"`
	HostFiles   []HostFile  `json:"host_files"`
	LeftOut     []LeftOut   `json:"left_out"`
	Dangling    []Dangling  `json:"dangling"`
	Replaced    []Replaced  `json:"replaced"`
	Unreadable  []string    `json:"unreadable"`
	Shares      Shares      `json:"shares"`
	// Files are all files of the root; only if asked for.
	Files []File `json:"files,omitempty"`
}

// Image is one of the stack, base first.
type Image struct {
	Role   string `json:"role"`
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

// Origin is where files come from: an image or include (Role is one of compile.Role*), "host" or "launcher".
type Origin struct {
	Role  string `json:"role"`
	Name  string `json:"name,omitempty"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// The origins that are no layers.
const (
	roleHost     = "host"
	roleLauncher = "launcher"
)

// Directory counts the files below a directory by origin.
type Directory struct {
	Path    string   `json:"path"`
	Origins []Origin `json:"origins"`
}

// File is one file of the root.
type File struct {
	Path string `json:"path"`
	Role string `json:"role"`
	Name string `json:"name,omitempty"`
}

// Strategy says how host files are shown.
type Strategy struct {
	Layer    int      `json:"layer"`
	Bind     int      `json:"bind"`
	Data     []string `json:"data"`
	NoLayer  string   `json:"no_layer,omitempty"`
	Wanted   string   `json:"wanted,omitempty"`
	Strict   bool     `json:"strict"`
	Follow   bool     `json:"follow_links"`
	Symlinks int      `json:"symlinks"`
}

// The means by which a host file is shown.
const (
	ByLayer   = "layer"
	ByBind    = "bind"
	BySymlink = "symlink"
	ByDir     = "directory"
)

// HostFile is one that the app gets.
type HostFile struct {
	Place  string `json:"place"`
	Source string `json:"source"`
	Kind   string `json:"kind"`
	// Strategy is one of By*; Reason says why it is a bind.
	Strategy string  `json:"strategy"`
	Reason   string  `json:"strategy_reason,omitempty"`
	Because  Because `json:"because"`
}

// Because is what asked for a host file.
type Because struct {
	// From is one of hostlink.Source*.
	From  string `json:"from"`
	Image string `json:"image,omitempty"`
	Line  int    `json:"line,omitempty"`
	Entry string `json:"entry"`
	For   string `json:"for,omitempty"`
}

// LeftOut is an entry that the app does not get. Cause is one of hostlink.Cause*.
type LeftOut struct {
	Cause   string  `json:"cause"`
	Reason  string  `json:"reason"`
	Because Because `json:"because"`
}

// Dangling is a symlink whose target only the host has.
type Dangling struct {
	Place   string  `json:"place"`
	Text    string  `json:"text"`
	Missing string  `json:"missing"`
	Reason  string  `json:"reason"`
	Because Because `json:"because"`
}

// Replaced is a place where a host file is of another kind than the image's.
type Replaced struct {
	Place string `json:"place"`
	Was   string `json:"was"`
	Now   string `json:"now"`
}

// Shares are what the app has of its caller.
type Shares struct {
	Profile  string `json:"profile"`
	Home     string `json:"home"`
	Cwd      string `json:"cwd"`
	CwdIsHis bool   `json:"cwd_of_caller"`
	Network  bool   `json:"network"`
	Writable string `json:"writable"`
	Binds    []Bind `json:"binds"`
	// Protected are directories that no bind makes writable.
	Protected []string `json:"protected"`
	Copies    []Copy   `json:"copies"`
}

// Bind is a path of the host that is shown. %NAME in it is a variable of the caller.
type Bind struct {
	Source   string `json:"source"`
	Target   string `json:"target"`
	ReadOnly bool   `json:"read_only"`
	Optional bool   `json:"optional"`
	// Tmpfs: it is an empty file system, without a source.
	Tmpfs bool `json:"tmpfs"`
}

// Copy is a file of the host whose content the app gets.
type Copy struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// Of explains a flake. all lists each file.
func Of(s Subject, all bool) (*Explanation, error) {
	p, h := s.Compiled.Plan, &s.Compiled.Host
	e := &Explanation{
		Flake: s.Name, Registration: s.File, Link: s.Flake.Container.HostAppPath, Plan: s.State,
		Command: slices.Concat(p.Entrypoint, p.Cmd), Images: images(s.Compiled), Shares: shares(s),
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
			Place: d.Path, Text: d.Target, Missing: d.Missing, Reason: d.Reason, Because: Because{From: hostlink.SourceLink, Image: d.Origin, Line: d.Line, Entry: d.Path[1:]},
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
