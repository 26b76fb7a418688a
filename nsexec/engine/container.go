package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"
)

// Container is one start.
type Container struct {
	// Description is what nsexec/config built. Run completes it; it can't be used again.
	Description *Description
	// Rootfs is where the root is mounted, in the mount namespace of the thread that calls Run: an absolute path
	// without symlinks.
	Rootfs string
	// Args and Env are the app's, handed over byte for byte. The command is looked up in the PATH of Env.
	Args, Env []string
	// Cwd is made if it does not exist; empty means "/".
	Cwd string
	// UID, GID and Groups are the app's identity.
	UID, GID int
	Groups   []int
	// Stdio become the app's 0, 1 and 2. nil means this process's own.
	Stdio []*os.File
	// Init is the program that becomes PID 1 (initproc.Binary).
	Init []byte
	// Filters are seccomp programs, loaded in this order.
	Filters [][]byte
	// StateDir is where running containers are noted; empty means DefaultStateDir.
	StateDir string
}

// Description is a description of a container as it crosses to us in a plan: the JSON of libcontainer's
// configs.Config. Others can ask it a little and can't look into it.
type Description struct{ config configs.Config }

// ParseDescription reads what json.Marshal made of the result of config.Build.
func ParseDescription(data []byte) (*Description, error) {
	d := &Description{}
	if err := json.Unmarshal(data, &d.config); err != nil {
		return nil, fmt.Errorf("read container description: %w", err)
	}
	return d, nil
}

// MountPoints are the directories that file systems of the container's own will be mounted on, in the order of the
// mounts. Binds are not among them: their mount points may be files.
func (d *Description) MountPoints() (out []string) {
	for _, m := range d.config.Mounts {
		if !m.IsBind() {
			out = append(out, m.Destination)
		}
	}
	return out
}

// AddBind shows a path of the host over all that was mounted before, with what is mounted below it.
func (d *Description) AddBind(source, target string, readOnly, devices bool) {
	attrs := uint64(unix.MOUNT_ATTR_NOSUID)
	if !devices {
		attrs |= unix.MOUNT_ATTR_NODEV
	}
	flags := unix.MS_BIND | unix.MS_REC
	if readOnly {
		attrs |= unix.MOUNT_ATTR_RDONLY
		flags |= unix.MS_RDONLY
	}
	d.config.Mounts = append(d.config.Mounts, &configs.Mount{
		Device: "bind", Source: source, Destination: target, Flags: flags,
		PropagationFlags: []int{unix.MS_SLAVE | unix.MS_REC}, RecAttr: &unix.MountAttr{Attr_set: attrs},
	})
}

// AddTmpfs makes an empty file system over all that was mounted before.
func (d *Description) AddTmpfs(target, options string, readOnly, noExec bool) {
	flags := unix.MS_NOSUID | unix.MS_NODEV
	if readOnly {
		flags |= unix.MS_RDONLY
	}
	if noExec {
		flags |= unix.MS_NOEXEC
	}
	d.config.Mounts = append(d.config.Mounts, &configs.Mount{Device: "tmpfs", Source: "tmpfs", Destination: target, Flags: flags, Data: options})
}

// DefaultStateDir is on a file system that does not outlive the machine's run, as what it notes does not either.
const DefaultStateDir = "/run/flake-launcher"

// complete fills in defaults and gives libcontainer's view of the description.
func (c *Container) complete() *configs.Config {
	if c.Cwd == "" {
		c.Cwd = "/"
	}
	if c.StateDir == "" {
		c.StateDir = DefaultStateDir
	}
	if c.Stdio == nil {
		c.Stdio = []*os.File{os.Stdin, os.Stdout, os.Stderr}
	}
	config := &c.Description.config
	config.Rootfs = c.Rootfs
	if config.Cgroups == nil {
		config.Cgroups = &cgroups.Cgroup{}
	}
	if config.Cgroups.Resources == nil { // lost in JSON when there is nothing in it; libcontainer needs it
		config.Cgroups.Resources = &cgroups.Resources{}
	}
	// The ring that libcontainer makes is shared: it is found by its name, "_ses." and the container's, which others
	// can use too. Our init makes one without a name.
	config.NoNewKeyring = true
	if config.Umask == nil {
		// libcontainer would fall back to 022; a tool of the host keeps its caller's.
		umask := currentUmask()
		config.Umask = &umask
	}
	return config
}

// limited tells whether the description asks for anything that only a cgroup can do.
func limited(c *configs.Config) bool {
	g := c.Cgroups
	return g != nil && (g.Path != "" || g.Name != "" || g.Parent != "" || g.Resources != nil && !reflect.ValueOf(*g.Resources).IsZero())
}
