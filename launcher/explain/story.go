package explain

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Story is all that is known of one path.
type Story struct {
	Flake string `json:"flake"`
	Path  string `json:"path"`
	// Steps are the symlinks on the way, as the app follows them; Place is where they end.
	Steps []Step `json:"steps"`
	Place string `json:"place"`
	// Is is what the app finds there; null: nothing. Taken says so where the launcher hides what the images have.
	Is    *Found `json:"is"`
	Taken bool   `json:"hidden_by_launcher"`
	// Layers say what each layer has at that place, the topmost first.
	Layers []Sighting `json:"layers"`
	// Host is the host's file of that path; null: it has none.
	Host *HostSide `json:"host"`
	// Named are the entries that led to that place, or would have.
	Named []Named `json:"named"`
}

// Found is a file as the app sees it.
type Found struct {
	Kind string `json:"kind"`
	Mode string `json:"mode"` // octal, four digits
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	Size int64  `json:"size"`
	Role string `json:"role"`
	Name string `json:"name,omitempty"`
	// How says more where it comes from no layer.
	How string `json:"how,omitempty"`
}

// Sighting is what one layer has.
type Sighting struct {
	Role string `json:"role"`
	Name string `json:"name"`
	ID   string `json:"layer"`
	// Kind is "" where the layer has nothing but hides what is below.
	Kind string `json:"kind,omitempty"`
	Mode string `json:"mode,omitempty"`
	Size int64  `json:"size,omitempty"`
	// Hides says how it keeps lower layers' from showing, At where; Hidden that an upper one does that to it.
	Hides  string `json:"hides,omitempty"`
	At     string `json:"at,omitempty"`
	Hidden bool   `json:"hidden"`
	// Wins: it is what the app sees.
	Wins bool `json:"wins"`
}

// HostSide is the host's file.
type HostSide struct {
	Source string `json:"source"`
	Kind   string `json:"kind"`
	Mode   string `json:"mode"`
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Size   int64  `json:"size"`
	// Shown says by which strategy the app has it; "": it has not, for the reason Why.
	Shown string `json:"shown,omitempty"`
	Why   string `json:"why,omitempty"`
}

// Named is one entry of a manifest with what came of it: "linked" or a cause of hostlink.Cause*.
type Named struct {
	Because Because `json:"because"`
	Outcome string  `json:"outcome"`
	Reason  string  `json:"reason,omitempty"`
}

// Path tells the story of one path of the app's root. A relative one is taken from /.
func Path(s Subject, path string) (*Story, error) {
	r, err := openRoot(s)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if path = "/" + strings.TrimLeft(path, "/"); !strings.Contains(path, "..") { // which behind a symlink is that one's parent
		path = filepath.Clean(path)
	}
	t := &Story{Flake: s.Name, Path: path, Steps: []Step{}, Layers: []Sighting{}, Named: []Named{}}
	place, steps, missing, err := r.walk(path, true)
	if err != nil {
		return nil, fmt.Errorf("follow %q in the root of %q: %w", path, s.Name, err)
	}
	t.Place, t.Steps = place, append(t.Steps, steps...)
	winner := -1
	if !missing {
		e, err := r.at(place)
		if err != nil {
			return nil, fmt.Errorf("look at %q in the root of %q: %w", place, s.Name, err)
		}
		winner = e.layer
		t.Is = r.found(place, e)
	}
	t.Taken = missing && r.nodes[place].Kind == hostlink.KindWhiteout
	if err := t.look(r, winner); err != nil {
		return nil, err
	}
	t.entries(r)
	t.hostSide(r)
	return t, nil
}

func (r *root) found(place string, e entry) *Found {
	o := r.origins[e.origin]
	f := &Found{Kind: kind(e.mode), Mode: octal(e.mode), Size: e.size, Role: o.Role, Name: o.Name, How: e.how}
	f.UID, f.GID = r.owner(place, e)
	return f
}

// look fills in the layers.
func (t *Story) look(r *root, winner int) error {
	sights, err := r.view.Sights(t.Place)
	if err != nil {
		return fmt.Errorf("look into the layers of %q: %w", t.Flake, err)
	}
	for _, s := range sights {
		l := r.layers[s.Layer]
		g := Sighting{Role: l.Role, Name: l.Name, ID: l.ID, Hides: s.Hides, At: s.At, Hidden: s.Hidden, Wins: s.Layer == winner}
		if s.Info != nil {
			g.Kind, g.Mode, g.Size = kind(s.Info.Mode()), octal(s.Info.Mode()), s.Info.Size()
		}
		t.Layers = append(t.Layers, g)
	}
	return nil
}

// entries finds each entry of a manifest that means this place. Only such of the same last name can.
func (t *Story) entries(r *root) {
	h := &r.s.Compiled.Host
	name := filepath.Base(t.Place)
	for _, l := range h.Linked {
		if l.Target == t.Place || "/"+l.Path == t.Path {
			f := hostFile(r.s.Compiled, l)
			t.Named = append(t.Named, Named{Because: f.Because, Outcome: "linked", Reason: f.Reason})
		}
	}
	for _, k := range h.Skipped {
		if "/"+k.Path != t.Path && (filepath.Base(k.Path) != name || !t.means(r, k)) {
			continue
		}
		n := leftOut(k)
		t.Named = append(t.Named, Named{Because: n.Because, Outcome: n.Cause, Reason: n.Reason})
	}
	for _, d := range h.Dangling {
		if d.Missing == t.Place {
			t.Named = append(t.Named, Named{
				Because: Because{From: hostlink.SourceLink, Image: d.Origin, Line: d.Line, Entry: d.Missing[1:], For: d.Path[1:]},
				Outcome: "dangling", Reason: d.Reason,
			})
		}
	}
}

func (t *Story) means(r *root, k hostlink.Skip) bool {
	place, _, _, err := r.walk("/"+k.Path, false)
	return err == nil && place == t.Place
}

// hostSide looks at the host's file: the one that is linked, or the one of the same path.
func (t *Story) hostSide(r *root) {
	source := t.Place
	linked, ok := r.linked[t.Place]
	if ok {
		source = linked.Source
	}
	e, err := r.onHost(source, "")
	if err != nil || t.Is != nil && t.Is.Kind == kind(fs.ModeIrregular) { // there it would be one of this process
		return
	}
	t.Host = &HostSide{Source: source, Kind: kind(e.mode), Mode: octal(e.mode), UID: e.uid, GID: e.gid, Size: e.size}
	switch {
	case ok:
		f := hostFile(r.s.Compiled, linked)
		t.Host.Shown, t.Host.Why = f.Strategy, f.Reason
	case t.Is != nil && t.Is.Role == roleHost:
		t.Host.Shown, t.Host.Why = "share", t.Is.How
	case len(t.Named) > 0:
		last := t.Named[len(t.Named)-1]
		t.Host.Why = last.Outcome + ": " + last.Reason
	default:
		t.Host.Why = "nothing asks for it"
	}
}

// nobody is the id that the kernel shows for owners that are not mapped.
const nobody = 65534

// owner is who the app sees as a file's owner.
func (r *root) owner(place string, e entry) (uid, gid int) {
	p := r.s.Compiled.Plan
	by := r.s.Caller
	switch {
	case e.fixed || by.Root():
		return e.uid, e.gid
	case p.Range != nil && e.layer >= 0:
		return r.recorded(place, r.layers[e.layer].Store, r.layers[e.layer].ID)
	case p.Range != nil:
		return inside(p.Range.UIDs, e.uid), inside(p.Range.GIDs, e.gid)
	}
	if l, ok := r.linked[place]; ok && hostFile(r.s.Compiled, l).Strategy == ByLayer || e.source == "" && e.layer < 0 {
		return int(p.UID), int(p.GID) // a file of the caller's own store
	}
	uid, gid = nobody, nobody
	if e.uid == by.UID {
		uid = int(p.UID)
	}
	if e.gid == by.GID {
		gid = int(p.GID)
	}
	return uid, gid
}

// recorded is the owner that the image gives a file.
func (r *root) recorded(place string, store *rootfs.Store, id string) (uid, gid int) {
	if store == nil {
		return nobody, nobody
	}
	owners, err := store.Owners(id)
	if err != nil {
		return 0, 0
	}
	for _, o := range owners {
		if o.Path == strings.TrimPrefix(place, "/") {
			return o.UID, o.GID
		}
	}
	return 0, 0
}

// inside is what a range of ids makes of an id of the host.
func inside(maps []plan.IDMap, id int) int {
	for _, m := range maps {
		if n := int64(id) - int64(m.Outside); n >= 0 && n < int64(m.Size) {
			return int(int64(m.Inside) + n)
		}
	}
	return nobody
}

func kind(m fs.FileMode) string {
	switch m.Type() {
	case 0:
		return "file"
	case fs.ModeDir:
		return "directory"
	case fs.ModeSymlink:
		return "symlink"
	case fs.ModeSocket:
		return "socket"
	case fs.ModeNamedPipe:
		return "fifo"
	case fs.ModeIrregular:
		return "descriptor"
	}
	return "device"
}

// octal are the permissions as chmod has them.
func octal(m fs.FileMode) string {
	bits := uint32(m.Perm())
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&flag != 0 {
			bits |= bit
		}
	}
	return fmt.Sprintf("%04o", bits)
}

// modeOf turns st_mode's bits into permissions.
func modeOf(bits uint32) fs.FileMode {
	m := fs.FileMode(bits & 0o777)
	for flag, bit := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if bits&bit != 0 {
			m |= flag
		}
	}
	return m
}
