package compile

import (
	"errors"
	"fmt"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec/lower"
)

// KeptError says why a flake can't have kept instances.
type KeptError struct{ Flake, Key, Reason, Fix string }

func (e *KeptError) Error() string { return fmt.Sprintf("flake %q: %s: %s", e.Flake, e.Key, e.Reason) }

// Remedy implements the CLI's second line.
func (e *KeptError) Remedy() string { return e.Fix }

// keep decides whether the container outlives its starts. What is written in it then goes to disk, unless the flake says
// otherwise: that is what people know from containers that are resumed.
func keep(p *plan.Plan, req Request) error {
	switch r := req.Flake.Container.Runtime; {
	case r.Resume:
		p.Kept = plan.KeptResume
	case r.Attach:
		p.Kept = plan.KeptAttach
	default:
		return nil
	}
	if req.Engine == plan.EngineLibcontainer {
		return &KeptError{req.Name, p.Kept, "not together with engine: libcontainer", "leave out `engine`, or the container ends with its app"}
	}
	if req.Flake.Namespaces.PID == "host" {
		return &KeptError{req.Name, p.Kept, "not together with pid: host", "leave out namespaces.pid, or the container ends with its app"}
	}
	if p.Writable == "" {
		p.Writable = plan.WritableDisk
	}
	return nil
}

// describeKept is describe, where only an engine will do that can enter a container once more.
func (c *Compiler) describeKept(p *plan.Plan, req Request) error {
	if p.Kept != "" {
		req.Engine = plan.EngineDirect
	}
	err := c.describe(p, req)
	var unsupported *lower.UnsupportedError
	if p.Kept != "" && errors.As(err, &unsupported) {
		return &KeptError{req.Name, p.Kept, "not together with " + unsupported.Feature, "leave that out, or the container ends with its app"}
	}
	return err
}

// keeps refuses what a start would keep in a store that is not there to keep anything.
func (c *Compiler) keeps(p *plan.Plan) error {
	switch {
	case !c.Memory:
	case p.Kept != "":
		return &NoStoreError{p.Name, p.Kept + ": the container is kept there"}
	case p.Writable == plan.WritableDisk:
		return &NoStoreError{p.Name, "writable: disk: what the app writes goes there"}
	}
	return nil
}
