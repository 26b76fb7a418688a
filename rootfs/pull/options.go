package pull

import (
	"runtime"
	"time"

	"go.podman.io/image/v5/types"
)

const (
	defaultJobs  = 3
	defaultStall = 60 * time.Second
)

// Options adjusts Pull and Load. The zero value is right for ordinary use.
type Options struct {
	// Progress is told what happens. Nil is silence.
	Progress Progress
	// Arch and OS choose the platform; empty means this machine's. A choice
	// made here is also what the image has to be for.
	Arch, OS string
	// Jobs is how many layers are worked on at once; 0 means 3.
	Jobs int
	// Stall is how long a registry may send nothing before it is given up;
	// 0 means a minute.
	Stall time.Duration
	// System overrides where containers/image finds its files. Nil means the
	// usual places. Whether a registry may be insecure is up to registries.conf.
	System *types.SystemContext
}

func (o Options) filled() Options {
	if o.Progress == nil {
		o.Progress = silence{}
	}
	if o.OS == "" {
		o.OS = "linux"
	}
	if o.Jobs <= 0 {
		o.Jobs = defaultJobs
	}
	if o.Stall <= 0 {
		o.Stall = defaultStall
	}
	return o
}

// wanted is the architecture that an image must be for.
func (o Options) wanted() string {
	if o.Arch == "" {
		return runtime.GOARCH
	}
	return o.Arch
}

func (o Options) system(tmp string) *types.SystemContext {
	sys := types.SystemContext{}
	if o.System != nil {
		sys = *o.System
	}
	sys.ArchitectureChoice = o.Arch
	sys.OSChoice = o.OS
	sys.BigFilesTemporaryDir = tmp
	if sys.DockerRegistryUserAgent == "" {
		sys.DockerRegistryUserAgent = "flake-launcher"
	}
	adapt(&sys, tmp)
	return &sys
}
