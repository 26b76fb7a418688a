package compile

import (
	"context"
	"path/filepath"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// Look compiles the plan of the registered flake as Flake does, and leaves the one that is there alone: nothing comes of
// it but derived data that the next start needs, too. It gets no image that is not stored. The request is what the flake
// came to.
func (c *Compiler) Look(ctx context.Context, name string) (*Result, Request, error) {
	req, _, err := c.registered(name)
	if err != nil {
		return nil, req, err
	}
	if req.asRoot(c.Caller) {
		return nil, req, &RunAsError{name, "it is root's to start", "look at it as root: sudo flake-ctl"}
	}
	local := *c
	local.Fetch = nil
	done, err := c.Store.Writing(ctx)
	if err != nil {
		return nil, req, err
	}
	defer done()
	res, err := local.Compile(ctx, req)
	return res, req, err
}

// PlanFile is where the plan of a registered flake is for this caller, or would be.
func (c *Compiler) PlanFile(name string) string {
	return filepath.Join(c.Store.PlansDir(), plan.FileName(name, c.Caller.Home))
}

// registered reads a registration and makes a request of it.
func (c *Compiler) registered(name string) (req Request, file string, err error) {
	if file, err = flake.Find(c.Searched, name); err != nil {
		return req, file, err
	}
	checks := c.searchChecks(name, file)
	files, err := flake.Files(file)
	if err != nil {
		return req, file, err
	}
	for _, path := range files[1:] { // the first is in checks already
		checks = append(checks, plan.NewCheck(path))
	}
	f, _, err := flake.Parse(file)
	if err != nil {
		return req, file, err
	}
	req, err = FromFlake(name, f)
	req.Checks = checks
	return req, file, err
}

// asRoot says whether only root starts the flake, and the caller is not.
func (r *Request) asRoot(by Caller) bool {
	return r.Flake.Container.Runtime.RunAs == "root" && by.UID != 0
}

// searchChecks fingerprints the registration and the absence of those that would come before it.
func (c *Compiler) searchChecks(name, file string) []plan.Check {
	var out []plan.Check
	for _, d := range c.Searched {
		path := filepath.Join(d, name+".yaml")
		out = append(out, plan.NewCheck(path))
		if path == file {
			break
		}
	}
	return out
}
