package compile

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
	"github.com/flake-launcher/flake-launcher/nsexec/lower"
)

// describe fills in the container itself: the engine with what it executes, and the seccomp programs.
func (c *Compiler) describe(p *plan.Plan, req Request) error {
	spec, err := c.spec(p, req)
	if err != nil {
		return fmt.Errorf("flake %q: %w", p.Name, err)
	}
	cfg, err := config.Build(spec)
	if err != nil {
		return fmt.Errorf("describe container of %q: %w", p.Name, err)
	}
	if wish := c.engine(p, req); wish != req.Engine {
		wished := req
		wished.Engine = wish
		if c.checkEngine(p, wished, spec) == nil {
			req = wished
		}
	}
	if err := c.checkEngine(p, req, spec); err != nil {
		return err
	}
	if err := size(p, req); err != nil {
		return err
	}
	err = choose(p, req,
		func() ([]byte, error) { return lower.Lower(cfg, lower.Options{User: p.User}) },
		func() ([]byte, error) { return json.Marshal(cfg) })
	if err != nil {
		return err
	}
	p.Filters, err = filters(req.Flake, spec.Caps)
	return err
}

// size is that of the writable tmpfs.
func size(p *plan.Plan, req Request) error {
	if req.Flake.WritableSize == "" {
		return nil
	}
	if p.Writable != plan.WritableTmpfs {
		return &StackError{Flake: req.Name, Reason: "writable_size: only a tmpfs has a size, and the writable part is on " + p.Writable,
			Fix: "leave it out, or use Linux 6.6 or newer"}
	}
	n, err := flake.ParseSize(req.Flake.WritableSize)
	p.Size = uint64(n)
	return err
}

// nesting takes any root for the host's: within another container nobody can tell.
func (c *Compiler) nesting(req Request) config.Nesting {
	switch {
	case !req.Nesting:
		return config.NoNesting
	case c.Caller.UID == 0:
		return config.NestingReadOnly
	}
	return config.NestingWritable
}

// choose takes the direct engine where it can do what is asked for.
func choose(p *plan.Plan, req Request, direct, libcontainer func() ([]byte, error)) (err error) {
	if p.User && req.Engine == plan.EngineLibcontainer {
		return &StackError{Flake: req.Name, Reason: "engine libcontainer can't run as an ordinary user, with a single id",
			Fix: "leave out `engine`, or run as root"}
	}
	if req.Engine != plan.EngineLibcontainer {
		var unsupported *lower.UnsupportedError
		p.Ops, err = direct()
		if err == nil {
			p.Engine = plan.EngineDirect
			return nil
		}
		if !errors.As(err, &unsupported) || p.User || req.Engine == plan.EngineDirect {
			return fmt.Errorf("describe container of %q: %w", p.Name, err)
		}
	}
	p.Engine = plan.EngineLibcontainer
	if p.PreserveFDs {
		return &StackError{Flake: req.Name, Reason: "preserve_fds: not together with engine libcontainer", Fix: "leave one of them out"}
	}
	if p.Config, err = libcontainer(); err != nil {
		return fmt.Errorf("describe container of %q: %w", p.Name, err)
	}
	return nil
}
