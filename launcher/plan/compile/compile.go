package compile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/flake-launcher/flake-launcher/launcher/early"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Compiler holds what all plans of one store have in common.
type Compiler struct {
	// Store is the caller's own store: plans and own layers go there.
	Store *rootfs.Store
	// Memory says that Store is one in memory for a caller who has none that he can write to: nothing of worth may lie there.
	Memory bool
	// Images are all stores that images may come from, Store among them.
	Images *rootfs.Set
	// Settings are fingerprints of the files that say which stores those are and what the defaults are, taken before
	// they were read.
	Settings []plan.Check
	// Defaults are for what a request leaves open.
	Defaults flake.Defaults
	// Searched are the registration directories, in order.
	Searched []string
	// HostRoot is where host files are looked for, normally "/".
	HostRoot string
	// Policy is the file that says what images may ask of the host; "" is none.
	Policy string
	// Launcher is the file that links of flakes point to; a target that would be it is a loop. May be "".
	Launcher string
	// Caller is who will start the plans.
	Caller Caller
	// Protect are directories that an app must not be able to write to, beside the store.
	Protect []string
	// Own makes layers of Store that files have their images' owners in, by way of a range of ids. Nil: there is no way.
	Own func(ctx context.Context, r *plan.Range, layers []string) error
	// Needs has files of the host that images ask for looked at, too: what they lack goes into the report. It changes
	// nothing of a plan.
	Needs bool
	// Progress is told what takes time. Nil: nobody.
	Progress func(text string)
	// Fetch gets an image that is not stored. Nil means: a missing image is an error.
	Fetch func(ctx context.Context, name string) (*rootfs.Image, error)
}

// Request is one stack of images with what to run in it.
type Request struct {
	// Name is for messages.
	Name string
	// Images are the names of the stack, base first. Digests pins some of them.
	Images  []string
	Digests map[string]string
	// Target is the command inside; "" means the image's own Entrypoint and Cmd.
	Target string
	// User overrides the user that the images name.
	User string
	// HostDeps makes the images' removed manifests count.
	HostDeps   bool
	Keep, Drop []string
	// Writable is one of plan.Writable*; "" is the default.
	Writable string
	// Engine is one of plan.Engine*; "" takes the default, or what can do it, the direct one first.
	Engine string
	// Nesting lets the app start containers of its own.
	Nesting bool
	// IDs is "single", "range" or "": see flake.Flake.
	IDs string
	// Flake is what the request was made from: what is not here above is taken from there. Never nil.
	Flake *flake.Flake
	// AdHoc leaves the command open: the caller may name one at each start, so none has to be there.
	AdHoc bool
	words []string
	// Checks are fingerprints that the caller took before it read what the request was made from.
	Checks []plan.Check
}

// Result is a plan with what was found on the way.
type Result struct {
	Plan *plan.Plan
	// Digests are the images' manifest digests by the names of the request.
	Digests map[string]string
	Host    HostReport
	// Root is what the app's root is put together from.
	Root Root
}

// FromFlake turns a registration into a request.
func FromFlake(name string, f *flake.Flake) (Request, error) {
	f, err := flake.Effective(f)
	if err != nil {
		return Request{}, fmt.Errorf("flake %q: %w", name, err)
	}
	r := Request{
		Name: name, Flake: f, Images: f.Images(), Digests: f.Container.Digests, User: f.User, Writable: f.Writable, Engine: f.Engine, Nesting: f.Nesting, IDs: f.IDs,
		HostDeps: f.Container.BaseContainer != "" || f.Container.CheckHostDependencies,
		Keep:     f.HostFiles.Keep, Drop: f.HostFiles.Drop,
	}
	if !f.OwnEntrypoint() {
		r.Target = f.Container.TargetAppPath
	}
	return r, nil
}

// Flake compiles the plan of the registered flake and writes it to the store. The file is replaced atomically.
func (c *Compiler) Flake(ctx context.Context, name string) (*Result, error) {
	req, file, err := c.registered(name)
	if err != nil {
		return nil, err
	}
	if req.asRoot(c.Caller) {
		return c.asRoot(name, file, req.Flake.Container.HostAppPath, slices.Concat(c.Settings, req.Checks))
	}
	return c.compileTo(ctx, req, c.PlanFile(name))
}

// AdHoc compiles a stack that nothing registers; words are those that plan.AdHocName takes for its file.
func (c *Compiler) AdHoc(ctx context.Context, req Request, words []string) (*Result, error) {
	req.words = words
	return c.compileTo(ctx, req, filepath.Join(c.Store.PlansDir(), plan.AdHocName(words, c.Caller.Home)))
}

func (c *Compiler) compileTo(ctx context.Context, req Request, path string) (*Result, error) {
	// Nothing that the plan names may be collected before the plan is there to name it.
	done, err := c.Store.Writing(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	res, err := c.Compile(ctx, req)
	if err != nil {
		return nil, err
	}
	p := res.Plan
	p.Searched, p.Words = c.Searched, req.words
	if p.Early, err = early.Section(p); err != nil {
		p.Early = nil // what is wrong now the start will tell, if it still is
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make directory of plans: %w", err)
	}
	return res, p.Write(path)
}

// Compile makes the plan without writing it. The flake's own layer, if one is needed, is in the store when it
// returns. Errors that a user can act on have a Remedy method.
func (c *Compiler) Compile(ctx context.Context, req Request) (*Result, error) {
	ranges := rangeChecks()
	res, err := c.compile(ctx, req)
	var why *IDsError
	if !errors.As(err, &why) || req.IDs == idsRange {
		return res, err
	}
	// A range was only wished for: with a single id then, until what is in its way changes.
	req.IDs = idsSingle
	if res, err = c.compile(ctx, req); err != nil {
		return nil, err
	}
	if why.Here {
		ranges = append(ranges, plan.Never)
	}
	res.Plan.Checks = once(append(res.Plan.Checks, ranges...))
	return res, nil
}
