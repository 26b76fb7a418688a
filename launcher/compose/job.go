package compose

import (
	"os"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/overlay"
)

// Job is one start.
type Job struct {
	// Config is the JSON of libcontainer's configs.Config as nsexec/config builds it; its Rootfs is filled in.
	Config []byte

	// Lower are the layer directories, topmost first.
	Lower []string
	// Writable is "tmpfs" (also when empty), "disk" or "none".
	Writable string
	// Scratch is an existing directory for "disk". RemoveScratch empties and removes it after the app's end.
	Scratch       string
	RemoveScratch bool
	// TmpfsSize is the size of the writable tmpfs in bytes; 0 is the kernel's default.
	TmpfsSize int64
	// Seed are directories of the root beside those of the layers.
	Seed []overlay.Node
	// HostLayer is one more layer, of host files.
	HostLayer *overlay.HostLayer
	// Links are bound over the mounted root, Binds over all that the description mounts.
	Links []hostlink.Link
	Binds []caller.Bind

	// Args and Env are the app's, byte for byte; Cwd is made if missing, and empty means "/".
	Args, Env []string
	Cwd       string
	// UID, GID and Groups are the identity inside.
	UID, GID int
	Groups   []int
	// Filters are seccomp programs in the order in which they are loaded.
	Filters [][]byte

	// Stdio become the app's 0, 1, 2; nil means this process's own.
	Stdio []*os.File
	// StateDir is where running containers are noted; empty means engine.DefaultStateDir.
	StateDir string
}
