package ctl

import (
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/option"
)

// describe puts the flags that say how images are started into a flake.
func describe(c option.Common, f *flake.Flake) {
	f.User, f.Profile, f.Share, f.Network, f.Workdir, f.PreserveFDs = c.User, c.Profile, c.Share, c.Network, c.Workdir, c.PreserveFDs
	f.Writable, f.Engine, f.IDs, f.Nesting = c.Writable, c.Engine, c.IDs, c.Nesting
	f.HostSystem, f.HostFiles.Deps, f.HostFiles.IgnoreMissing = c.HostPackage, c.HostDeps, c.IgnoreMissing
	f.Include = flake.Include{Tar: c.IncludeTar, Path: c.IncludePath}
	f.Container.Runtime.Podman = c.Opt
}
