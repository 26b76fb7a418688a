package compile

import (
	"encoding/json"
	"fmt"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
	"github.com/flake-launcher/flake-launcher/nsexec/seccomp"
)

// describe fills in the container itself: the engine's config and the seccomp programs.
func describe(p *plan.Plan) error {
	cfg, err := config.Build(config.Spec{UID: int(p.UID), ReadonlyRoot: p.Writable == plan.WritableNone})
	if err != nil {
		return fmt.Errorf("describe container of %q: %w", p.Name, err)
	}
	if p.Config, err = json.Marshal(cfg); err != nil {
		return fmt.Errorf("describe container of %q: %w", p.Name, err)
	}
	filter, err := seccomp.Compile(config.DefaultCaps)
	if err != nil {
		return fmt.Errorf("compile seccomp profile: %w", err)
	}
	p.Filters = [][]byte{filter, seccomp.Terminal()}
	return nil
}
