package flake

// Flake is one registration after its drop-ins were merged. Every key has a sensible zero value.
type Flake struct {
	Container Container `yaml:"container"`
	Include   Include   `yaml:"include,omitempty"`

	// HostSystem are names of host packages whose files the app needs.
	HostSystem []string  `yaml:"hostsystem,omitempty"`
	HostFiles  HostFiles `yaml:"host_files,omitempty"`

	Profile  string   `yaml:"profile,omitempty"`
	Share    []string `yaml:"share,omitempty"`
	Env      Env      `yaml:"env,omitempty"`
	User     string   `yaml:"user,omitempty"`
	Writable string   `yaml:"writable,omitempty"`
	// Engine is "direct" or "libcontainer"; "" leaves the choice to the planner.
	Engine string `yaml:"engine,omitempty"`
	// IDs is "single" or "range": how many ids an ordinary user's start has. "" is single, and range where an image names
	// a user and there is a range.
	IDs string `yaml:"ids,omitempty"`
	// Nesting lets the app start flakes and other containers of its own.
	Nesting bool `yaml:"nesting,omitempty"`

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

// HostFiles tunes which files of the removed manifests are linked. Keep and Drop are patterns: path.Match for
// each component, ** for any number of them.
type HostFiles struct {
	Keep          []string `yaml:"keep,omitempty"`
	Drop          []string `yaml:"drop,omitempty"`
	FollowLinks   *bool    `yaml:"follow_links,omitempty"`
	IgnoreMissing bool     `yaml:"ignore_missing,omitempty"`
	Freshness     string   `yaml:"freshness,omitempty"`
}

// Env is the flake's policy for the environment.
type Env struct {
	Allow []string          `yaml:"allow,omitempty"`
	Deny  []string          `yaml:"deny,omitempty"`
	Set   map[string]string `yaml:"set,omitempty"`
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
