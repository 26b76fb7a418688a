package compile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Compiler holds what all plans of one store have in common.
type Compiler struct {
	// Store is the caller's own store: plans and own layers go there.
	Store *rootfs.Store
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

// AdHoc compiles a stack that nothing registers and writes its plan under the given file name.
func (c *Compiler) AdHoc(ctx context.Context, req Request, fileName string) (*Result, error) {
	return c.compileTo(ctx, req, filepath.Join(c.Store.PlansDir(), fileName))
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
	res.Plan.Searched = c.Searched
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make directory of plans: %w", err)
	}
	return res, res.Plan.Write(path)
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

func (c *Compiler) compile(ctx context.Context, req Request) (*Result, error) {
	names := c.nameChecks(req)
	images, digests, err := c.images(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := checkStack(req, images); err != nil {
		return nil, err
	}
	p := &plan.Plan{
		Build: plan.Build, Kernel: plan.Kernel(), Name: req.Name, Writable: req.Writable, Store: c.Store.Root(), Cwd: "/",
		PilotArguments: req.Flake.PilotArguments,
	}
	if err := keep(p, req); err != nil {
		return nil, err
	}
	if p.Writable == "" {
		p.Writable = c.writable(req, p.Kernel)
	}
	for _, i := range images {
		p.Digests = append(p.Digests, i.Digest.String())
	}
	stack := mergeConfigs(images)
	ranges, err := c.ids(p, req, images, stack)
	if err != nil {
		return nil, err
	}
	p.Caller, p.User = uint32(c.Caller.UID), !c.Caller.Root() && p.Range == nil
	includes, err := c.includes(ctx, p, req, images)
	if err != nil {
		return nil, err
	}
	layers, err := rootfs.TrimOpaque(includes.onTop(unique(stackDirs(images))))
	if err != nil {
		return nil, fmt.Errorf("open layers of %q: %w", req.Name, err)
	}
	view, err := rootfs.NewView(layers)
	if err != nil {
		return nil, fmt.Errorf("open layers of %q: %w", req.Name, err)
	}
	defer view.Close()
	host, err := c.host(ctx, req, images, view)
	if err != nil {
		return nil, err
	}
	implied, err := impliedParents(images, includes, layers, view)
	if err != nil {
		return nil, err
	}
	host.nodes = append(host.nodes, implied...)
	if err := command(p, req, stack); err != nil {
		return nil, err
	}
	if err := envFiles(p, req.Flake); err != nil {
		return nil, fmt.Errorf("flake %q: %w", req.Name, err)
	}
	if err := c.checkTarget(p, req, view, host); err != nil {
		return nil, err
	}
	if err := c.identity(p, req, stack, view); err != nil {
		return nil, err
	}
	if err := c.groups(p, req, view); err != nil {
		return nil, err
	}
	if err := checkRange(p, req); err != nil {
		return nil, err
	}
	if err := c.checkStores(p, req, images); err != nil {
		return nil, err
	}
	files, err := c.accounts(p, view)
	if err != nil {
		return nil, err
	}
	if err := c.basics(p, req.profile(), host, view); err != nil {
		return nil, err
	}
	if err := c.shares(p, req, images, &restored{view, host.nodes}); err != nil {
		return nil, err
	}
	if err := c.describeKept(p, req); err != nil {
		return nil, err
	}
	// Last, since it writes: a refused request leaves nothing behind.
	if err := c.place(p, req, host, layers, view); err != nil {
		return nil, err
	}
	own, err := c.ownLayer(host.nodes, files, layers, view)
	if err != nil {
		return nil, err
	}
	shown := layers
	if layers, err = c.ownedLayers(ctx, p, layers); err != nil {
		return nil, err
	}
	p.Lower = topFirst(layers, own)
	p.Checks = slices.Concat(c.Settings, p.Checks, req.Checks, names, includes.checks, host.checks, ranges)
	if p.HostLayer != nil {
		p.Checks = append(p.Checks, plan.NewCheck(p.HostLayer.Dir))
	}
	for _, dir := range p.Lower {
		p.Checks = append(p.Checks, plan.NewCheck(dir))
	}
	p.Checks = once(p.Checks)
	return &Result{Plan: p, Digests: digests, Host: host.report, Root: Root{
		Layers: describeLayers(req, images, includes, shown), Nodes: host.nodes, Files: ownPaths(files),
	}}, nil
}

// once leaves of several fingerprints of a path the first, which was taken before anything was read from there.
func once(checks []plan.Check) []plan.Check {
	seen := map[string]bool{}
	return slices.DeleteFunc(checks, func(c plan.Check) bool {
		twice := seen[c.Path]
		seen[c.Path] = true
		return twice
	})
}

// unique drops directories that come up twice (images that share layers with their base): each counts where it
// is lowest. overlayfs refuses duplicates, and what lies between the two can only have come later.
func unique(dirs []string) []string {
	var out []string
	for _, d := range dirs {
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// topFirst turns the bottom-first layers into overlayfs' order, the flake's own layer on top.
func topFirst(layers []string, own string) []string {
	out := slices.Clone(layers)
	if own != "" {
		out = append(out, own)
	}
	slices.Reverse(out)
	return out
}
