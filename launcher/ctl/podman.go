package ctl

import "context"

// podmanCmd has the spellings of flake-pilot, for scripts that exist.
type podmanCmd struct {
	Pull     podmanPullCmd   `cmd:"" help:"Like pull."`
	Load     podmanLoadCmd   `cmd:"" help:"Like load."`
	Register registerCmd     `cmd:"" help:"Like register."`
	Remove   podmanRemoveCmd `cmd:"" help:"Like remove."`
	Show     showCmd         `cmd:"" help:"Like show."`
	Reset    podmanResetCmd  `cmd:"" help:"Like reset."`
}

// podmanPullCmd takes --uri instead of an argument.
type podmanPullCmd struct {
	URI string `name:"uri" required:""`
}

// Run pulls as pullCmd does.
func (c podmanPullCmd) Run(ctx context.Context, s *session) error {
	return pullCmd{Image: c.URI, Stall: stall}.Run(ctx, s)
}

// podmanLoadCmd takes --oci instead of an argument.
type podmanLoadCmd struct {
	OCI string `name:"oci" required:""`
}

// Run loads as loadCmd does.
func (c podmanLoadCmd) Run(ctx context.Context, s *session) error {
	return loadCmd{File: c.OCI}.Run(ctx, s)
}

// podmanRemoveCmd takes --app instead of arguments.
type podmanRemoveCmd struct {
	App       []string `sep:"none"`
	Container string
	Force     bool
}

// Run removes as removeCmd does.
func (c podmanRemoveCmd) Run(ctx context.Context, s *session) error {
	return removeCmd{Apps: c.App, Container: c.Container, Force: c.Force}.Run(ctx, s)
}
