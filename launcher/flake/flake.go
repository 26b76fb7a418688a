package flake

// Flake is one registration after its drop-ins were merged. Every key has a sensible zero value.
type Flake struct {
	Container Container `yaml:"container"`
	Include   Include   `yaml:"include,omitempty"`

	// HostSystem are names of host packages whose files the app needs.
	HostSystem []string  `yaml:"hostsystem,omitempty"`
	HostFiles  HostFiles `yaml:"host_files,omitempty"`

	// Profile is "native", "project" or "isolated"; "" is native for a registered flake, project for flake-run.
	Profile string `yaml:"profile,omitempty"`
	// Share are paths of the host to show at the same place, PATH[:ro], with a ? at the end where PATH may be missing;
	// or the names of things that a session has: ssh-agent, dbus, wayland, x11, dri.
	Share []string `yaml:"share,omitempty"`
	Env   Env      `yaml:"env,omitempty"`
	// PreserveFDs hands over the caller's descriptors beyond 2 as well.
	PreserveFDs bool `yaml:"preserve_fds,omitempty"`
	// Workdir is where the app starts; "" is where the caller is, or the image's WorkingDir, as the profile says.
	Workdir string `yaml:"workdir,omitempty"`
	// Entrypoint replaces that of the images, which Cmd then no longer follows; the flake's own command does.
	Entrypoint []string `yaml:"entrypoint,omitempty"`

	User     string `yaml:"user,omitempty"`
	Writable string `yaml:"writable,omitempty"`
	// Engine is "direct" or "libcontainer"; "" leaves the choice to the planner.
	Engine string `yaml:"engine,omitempty"`
	// IDs is "single" or "range": how many ids an ordinary user's start has. "" is single, and range where an image names
	// a user and there is a range.
	IDs string `yaml:"ids,omitempty"`
	// Nesting lets the app start flakes and other containers of its own.
	Nesting bool `yaml:"nesting,omitempty"`

	// Mounts are further binds and tmpfs. Sources and targets may hold %NAME: a variable of the caller.
	Mounts []Mount `yaml:"mounts,omitempty"`
	// Devices are device nodes of the host, PATH[:TARGET].
	Devices []string `yaml:"devices,omitempty"`
	// Network is "host" or "none"; "" is as the profile says.
	Network    string     `yaml:"network,omitempty"`
	Hostname   string     `yaml:"hostname,omitempty"`
	Namespaces Namespaces `yaml:"namespaces,omitempty"`

	Capabilities Capabilities `yaml:"capabilities,omitempty"`
	Security     Security     `yaml:"security,omitempty"`
	// Privileged takes every restriction away that has a name here: capabilities, filters, masks, devices.
	Privileged bool `yaml:"privileged,omitempty"`
	// Groups are further groups of the app, names of the image or numbers.
	Groups []string `yaml:"groups,omitempty"`

	// Ulimits are by their names in ulimit's and podman's spelling: SOFT[:HARD], numbers or "unlimited".
	Ulimits map[string]string `yaml:"ulimits,omitempty"`
	Limits  Limits            `yaml:"limits,omitempty"`
	// ShmSize and WritableSize are sizes as podman writes them: 64m, 1g.
	ShmSize      string `yaml:"shm_size,omitempty"`
	WritableSize string `yaml:"writable_size,omitempty"`
	// Labels have no effect; they are what podman's label, name and annotation options are noted as.
	Labels map[string]string `yaml:"labels,omitempty"`

	// PilotArguments makes arguments beginning with @ or % mean what flake-pilot takes them for.
	PilotArguments bool `yaml:"pilot_arguments,omitempty"`
}

// Container names the images and the command.
type Container struct {
	Name string `yaml:"name"`
	// TargetAppPath is the command inside; "" or "/" is the image's own entrypoint.
	TargetAppPath string `yaml:"target_app_path"`
	// HostAppPath is the link on the host that starts this flake.
	HostAppPath string `yaml:"host_app_path"`

	BaseContainer         string   `yaml:"base_container,omitempty"`
	Layers                []string `yaml:"layers,omitempty"`
	CheckHostDependencies bool     `yaml:"check_host_dependencies,omitempty"`

	// Digests pins each image name used above to the manifest digest it had when it was registered. A tag
	// that moved changes nothing until the flake is registered again.
	Digests map[string]string `yaml:"digests,omitempty"`

	Runtime Runtime `yaml:"runtime,omitempty"`
}

// Runtime is flake-pilot's section of the same name.
type Runtime struct {
	RunAs  string   `yaml:"runas,omitempty"`
	Resume bool     `yaml:"resume,omitempty"`
	Attach bool     `yaml:"attach,omitempty"`
	Podman []string `yaml:"podman,omitempty"`
}

// Include lists host files that are put on top of the images.
type Include struct {
	Tar  []string `yaml:"tar,omitempty"`
	Path []string `yaml:"path,omitempty"`
}

// HostFiles tunes which files of the host are linked. Keep and Drop are patterns: path.Match for each component, ** for
// any number of them. IgnoreMissing does without packages that the host lacks. Deps is how far the needs of HostSystem
// are followed: "files", "libs" (also when empty) or "packages".
type HostFiles struct {
	Keep          []string `yaml:"keep,omitempty"`
	Drop          []string `yaml:"drop,omitempty"`
	FollowLinks   *bool    `yaml:"follow_links,omitempty"`
	IgnoreMissing bool     `yaml:"ignore_missing,omitempty"`
	Deps          string   `yaml:"deps,omitempty"`
	// Freshness is "default" (also when empty) or "strict": whether a change of size or mode in place is looked for, too.
	Freshness string `yaml:"freshness,omitempty"`
	// Strategy is "bind" or "layer"; "" leaves it to the planner.
	Strategy string `yaml:"strategy,omitempty"`
}

// Env is the flake's policy for the environment: patterns (NAME, NAME*, *NAME) that are passed, or kept out, beside what
// the profile says, and fixed values, in which %NAME is a variable of the caller.
type Env struct {
	Allow []string          `yaml:"allow,omitempty"`
	Deny  []string          `yaml:"deny,omitempty"`
	Set   map[string]string `yaml:"set,omitempty"`
	// Files are files of the host with a NAME=VALUE on each line, or a NAME to take the caller's; Set wins over them.
	Files []string `yaml:"files,omitempty"`
}

// Mount is one more mount.
type Mount struct {
	// Type is "bind" (also when empty) or "tmpfs".
	Type   string `yaml:"type,omitempty"`
	Source string `yaml:"source,omitempty"`
	Target string `yaml:"target"`
	// ReadOnly is for binds; Optional leaves out a bind whose source is missing.
	ReadOnly bool `yaml:"read_only,omitempty"`
	Optional bool `yaml:"optional,omitempty"`
	// Devices lets device nodes in a bind work.
	Devices bool `yaml:"devices,omitempty"`
	// Size, Mode and NoExec are a tmpfs's.
	Size   string `yaml:"size,omitempty"`
	Mode   string `yaml:"mode,omitempty"`
	NoExec bool   `yaml:"noexec,omitempty"`
}

// Namespaces says which of them are the host's: each is "host" or "private" (also when empty).
type Namespaces struct {
	PID string `yaml:"pid,omitempty"`
	IPC string `yaml:"ipc,omitempty"`
	UTS string `yaml:"uts,omitempty"`
}

// Capabilities change the default set; names with or without CAP_, or "all".
type Capabilities struct {
	Add  []string `yaml:"add,omitempty"`
	Drop []string `yaml:"drop,omitempty"`
}

// Security changes the default protection.
type Security struct {
	// NewPrivileges lets setuid programs and file capabilities have their effect.
	NewPrivileges bool `yaml:"new_privileges,omitempty"`
	// Seccomp is "default" (also when empty) or "unconfined".
	Seccomp string `yaml:"seccomp,omitempty"`
	// Mask are further paths to cover; Unmask are such that are not covered or read-only, or "all".
	Mask   []string `yaml:"mask,omitempty"`
	Unmask []string `yaml:"unmask,omitempty"`
}

// Limits are what only a control group can do.
type Limits struct {
	Memory string `yaml:"memory,omitempty"`
	CPUs   string `yaml:"cpus,omitempty"`
	PIDs   int64  `yaml:"pids,omitempty"`
}

// Images are the names of the stack, base first; the last one is the app's own image.
func (f *Flake) Images() []string {
	var out []string
	if f.Container.BaseContainer != "" {
		out = append(out, f.Container.BaseContainer)
	}
	out = append(out, f.Container.Layers...)
	return append(out, f.Container.Name)
}

// OwnEntrypoint reports whether the flake starts the image's own Entrypoint and Cmd.
func (f *Flake) OwnEntrypoint() bool {
	return f.Container.TargetAppPath == "" || f.Container.TargetAppPath == "/"
}
