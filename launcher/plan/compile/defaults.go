package compile

import (
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// What the settings say counts where the request says nothing, and as a wish only: who has not asked for something is
// not to be refused because it can't be had.

// writable is where an app may write whose flake does not say it. One that gives a size means a tmpfs.
func (c *Compiler) writable(req Request, kernel string) string {
	// A tmpfs is the default anyway, where it will do.
	if d := c.Defaults.Writable; d != "" && d != plan.WritableTmpfs && req.Flake.WritableSize == "" && !(c.Memory && d == plan.WritableDisk) {
		return d
	}
	return plan.DefaultWritable(kernel)
}

// engine is the one that is asked for, "" for what can do it. libcontainer is root's alone.
func (c *Compiler) engine(p *plan.Plan, req Request) string {
	if req.Engine == "" && c.Defaults.Engine == plan.EngineLibcontainer && !p.User && p.Range == nil {
		return plan.EngineLibcontainer
	}
	return req.Engine
}

// wishesRange says whether an ordinary user's start has a range of ids if it can have one. An image that names a user of
// its own is such a wish, too, unless the request names one.
func (c *Compiler) wishesRange(req Request, stack stackConfig) bool {
	ids := req.IDs
	if ids == "" {
		ids = c.Defaults.IDs
	}
	switch ids {
	case idsRange:
		return true
	case idsSingle:
		return false
	}
	return req.User == "" && namesUser(stack)
}
