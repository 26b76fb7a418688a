package compile

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// profile is what the request shares of the caller.
func (r *Request) profile() caller.Profile {
	name := r.Flake.Profile
	switch {
	case name != "":
	case r.AdHoc:
		name = caller.Project
	default:
		name = caller.Native
	}
	return caller.ProfileOf(name)
}

// network says whether the app has the host's.
func (r *Request) network() bool {
	if r.Flake.Network != "" {
		return r.Flake.Network == "host"
	}
	return r.profile().Network
}

// asCaller says whether the app runs as the caller himself, so that his home is the app's: not as another user of the
// image. Within a range of ids the caller is 0.
func (c *Compiler) asCaller(p *plan.Plan) bool {
	if p.Range != nil {
		return p.UID == 0
	}
	return !c.Caller.Root() || int(p.UID) == c.Caller.UID
}

// rootInside says whether an ordinary user is root within his own start.
func (c *Compiler) rootInside(p *plan.Plan) bool { return !c.Caller.Root() && p.UID == 0 }

// home is the caller's home directory if it can be the app's: "" without one.
func (c *Compiler) home(p *plan.Plan) string {
	h := c.Caller.Home
	if h == "" || !filepath.IsAbs(h) || filepath.Clean(h) == "/" || !c.asCaller(p) {
		return ""
	}
	return filepath.Clean(h)
}

// shares fills in what the app sees of its caller: environment, directories, descriptors. Directories that have to be
// there for it are in the result.
func (c *Compiler) shares(p *plan.Plan, req Request, images []rootfs.Stored, view caller.Image) error {
	f, prof := req.Flake, req.profile()
	environment(p, f, prof)
	p.PreserveFDs = f.PreserveFDs
	p.ShareCwd = prof.Cwd && f.Workdir == ""
	if f.Workdir != "" {
		p.Cwd, p.CwdVars = cleaned(f.Workdir), flake.HasVariable(f.Workdir)
	}
	if err := c.foreign(p, images); err != nil {
		return err
	}
	seeds, err := c.seeds(p, view)
	if err != nil {
		return err
	}
	if prof.Tmp {
		for _, dir := range []string{"/tmp", "/var/tmp"} {
			p.Binds = append(p.Binds, plan.Bind{Source: dir, Target: dir, Optional: true})
		}
	}
	if err := c.shareHome(p, prof, seeds); err != nil {
		return &StackError{Flake: req.Name, Reason: "no place for the home directory: " + err.Error(), Fix: "choose another profile"}
	}
	for _, s := range f.Share {
		if err := c.share(p, req.Name, s); err != nil {
			return err
		}
	}
	if err := c.mounts(p, f); err != nil {
		return fmt.Errorf("flake %q: %w", req.Name, err)
	}
	if p.ShareCwd || len(p.Binds) > 0 {
		if err := c.protect(p); err != nil {
			return err
		}
	}
	for _, copied := range p.Copies {
		if err := seeds.Above(copied.Target); err != nil {
			return fmt.Errorf("make a place for %s: %w", copied.Target, err)
		}
	}
	p.Seed = seeds.Nodes
	return nil
}

// environment is the policy for variables.
func environment(p *plan.Plan, f *flake.Flake, prof caller.Profile) {
	deny := prof.Deny
	p.Pass = slices.Concat(p.Pass, prof.Pass, f.Env.Allow)
	if f.PreserveFDs {
		p.Pass = append(p.Pass, caller.Session...)
		deny = slices.DeleteFunc(slices.Clone(deny), func(s string) bool { return slices.Contains(caller.Session, s) })
	}
	// What the flake names is wanted whatever the list says.
	deny = slices.DeleteFunc(slices.Clone(deny), func(s string) bool { return slices.Contains(f.Env.Allow, s) })
	p.Deny = append(deny, f.Env.Deny...)
	for _, name := range slices.Sorted(maps.Keys(f.Env.Set)) {
		p.Set = append(p.Set, name+"="+f.Env.Set[name])
	}
}

// homeFits refuses homes that are the system's own directories.
func homeFits(home string) bool {
	return !caller.Never(home) && (!caller.Own(home) || strings.HasPrefix(home, "/var/lib/"))
}

// shareHome shows the caller's home, or has an empty one in its place.
func (c *Compiler) shareHome(p *plan.Plan, prof caller.Profile, seeds *caller.Seeds) error {
	home := c.home(p)
	if home == "" || caller.Never(home) {
		return nil // an empty directory there would leave nothing of the image
	}
	if !prof.Home || !homeFits(home) {
		if c.rootInside(p) {
			return nil // whose home is the image's
		}
		return seeds.Dir(home, plan.Node{Mode: 0o755, UID: seeds.UID, GID: seeds.GID, Opaque: true})
	}
	real, err := filepath.EvalSymlinks(home)
	if err != nil {
		real = home
	}
	places := []string{real}
	if real != home {
		// Under the caller's name for it, too: by the same symlinks, or where the image has something in the place of
		// one by a second mount.
		for _, l := range caller.Way(home) {
			if err := seeds.Symlink(l.Path, l.Text); err != nil {
				return err
			}
		}
		if !seeds.Leads(home, real) {
			places = append(places, home)
		}
	}
	for _, place := range places {
		if err := seeds.Place(place, true); err != nil {
			return err
		}
		p.Binds = append(p.Binds, plan.Bind{Source: real, Target: place, Optional: true})
	}
	return nil
}

// named are the things of a session that share: knows by name.
var named = map[string][]plan.Bind{
	"ssh-agent": {{Source: "%SSH_AUTH_SOCK", Target: "%SSH_AUTH_SOCK", Optional: true}},
	"dbus": {
		{Source: "%XDG_RUNTIME_DIR/bus", Target: "%XDG_RUNTIME_DIR/bus", Optional: true},
		{Source: "/run/dbus/system_bus_socket", Target: "/run/dbus/system_bus_socket", Optional: true},
	},
	"wayland": {{Source: "%XDG_RUNTIME_DIR/%WAYLAND_DISPLAY", Target: "%XDG_RUNTIME_DIR/%WAYLAND_DISPLAY", Optional: true}},
	"x11": {
		{Source: "/tmp/.X11-unix", Target: "/tmp/.X11-unix", ReadOnly: true, Optional: true},
		{Source: "%XAUTHORITY", Target: "%XAUTHORITY", ReadOnly: true, Optional: true},
	},
	"dri": {{Source: "/dev/dri", Target: "/dev/dri", Optional: true, Devices: true}},
}

// namedPass are the variables that go with them.
var namedPass = map[string][]string{
	"ssh-agent": {"SSH_AUTH_SOCK"},
	"dbus":      {"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"},
	"wayland":   {"XDG_RUNTIME_DIR", "WAYLAND_DISPLAY", "XDG_SESSION_TYPE"},
	"x11":       {"DISPLAY", "XAUTHORITY"},
}

// share adds one entry of share:.
func (c *Compiler) share(p *plan.Plan, name, entry string) error {
	if binds, ok := named[entry]; ok {
		p.Binds = append(p.Binds, binds...)
		p.Pass = append(p.Pass, namedPass[entry]...)
		p.Deny = slices.DeleteFunc(slices.Clone(p.Deny), func(d string) bool {
			return d == "XDG_RUNTIME_DIR" || d == "DBUS_*" && entry == "dbus"
		})
		return nil
	}
	b, err := flake.ParseShare(entry)
	if err != nil {
		return &StackError{Flake: name, Reason: err.Error(), Fix: flake.ShareForm}
	}
	if b.Source, err = c.tilde(b.Source); err != nil {
		return &StackError{Flake: name, Reason: fmt.Sprintf("share %q: %v", entry, err), Fix: flake.ShareForm}
	}
	b.Target = b.Source
	if strings.Contains(b.Source, "%") {
		p.Binds = append(p.Binds, sharedBind(b))
		return nil
	}
	b.Source = filepath.Clean(b.Source)
	b.Target = b.Source
	if caller.Never(b.Target) {
		return &StackError{Flake: name, Reason: fmt.Sprintf("share %q: that directory is the image's own", entry), Fix: "share single paths below it, or mount it at another place (mounts:)"}
	}
	p.Binds = append(p.Binds, sharedBind(b))
	return nil
}

func sharedBind(s flake.Share) plan.Bind {
	return plan.Bind{Source: s.Source, Target: s.Target, ReadOnly: s.ReadOnly, Optional: s.Optional, Devices: s.Devices}
}

// tilde expands a leading ~ to the caller's home.
func (c *Compiler) tilde(p string) (string, error) {
	if p != "~" && !strings.HasPrefix(p, "~/") {
		return p, nil
	}
	if !filepath.IsAbs(c.Caller.Home) {
		return "", errors.New("~ without a HOME")
	}
	return c.Caller.Home + p[1:], nil
}

// foreign finds out whether the start can write to the directories of all layers.
func (c *Compiler) foreign(p *plan.Plan, images []rootfs.Stored) error {
	if c.Caller.Root() || p.Range != nil {
		return nil
	}
	for _, i := range images {
		st, err := os.Stat(i.Store.Root())
		if err != nil {
			return fmt.Errorf("look at store: %w", err)
		}
		if uid, ok := ownerOf(st); !ok || uid != c.Caller.UID {
			p.Foreign = true
		}
	}
	return nil
}
