package plan

// Writable parts of a start; the values are those of --writable.
const (
	WritableTmpfs = "tmpfs" // private tmpfs, gone with the start
	WritableDisk  = "disk"  // directory of the store, removed at the end of the start
	WritableNone  = "none"  // the root is read-only
)

// The engines; the values are those of the flake's key.
const (
	EngineDirect       = "direct"
	EngineLibcontainer = "libcontainer"
)

// How a container is kept between starts.
const (
	KeptResume = "resume" // each start runs inside of the one that is there
	KeptAttach = "attach" // a start comes back to the app that runs in it
)

// Kinds of a Link.
const (
	LinkFile   = "file"
	LinkDir    = "dir"
	LinkSocket = "socket"
)

// Plan is one compiled launch plan. All paths are absolute host paths unless said otherwise.
type Plan struct {
	// Build and Kernel are what compiled the plan and the release it was compiled on: seccomp profile, mount
	// methods and defaults depend on both. Another build or kernel has it compiled again.
	Build, Kernel string
	// Name is the flake's name, for messages.
	Name string
	// Words are the command line that an ad-hoc plan was compiled by, which its file is named after; nil for a flake's.
	Words []string
	// Searched are the registration directories, in order, that the name was looked up in when the plan
	// was compiled. A launcher that would search others must not use the plan.
	Searched []string
	// Digests are the manifest digests of the stack, base first.
	Digests []string

	// Sudo says that the flake asks for root and the caller is not: Entrypoint is then the link to call by sudo, Pass
	// is what sudo gets of the environment, and the rest of the plan is empty.
	Sudo bool

	// Lower are the layer directories, topmost first, as overlayfs wants them.
	Lower []string
	// Writable says where the writable part lives; Store is the root below which WritableDisk may put it.
	Writable string
	Store    string
	// Seed is what the writable part gets before the overlay is mounted, parents first.
	Seed []Node
	// HostLayer shows host files through a layer of metadata; nil without.
	HostLayer *HostLayer
	// Links are the host files to bind over the mounted root.
	Links []Link

	// Entrypoint precedes the caller's arguments; Cmd stands in for them when there are none.
	Entrypoint []string
	Cmd        []string
	// Env is the fixed environment; Pass are names (a trailing * is a prefix) taken over from the caller,
	// unless Env has them.
	Env  []string
	Pass []string
	// Deny are such names that are not taken over though Pass has them. Set are K=V that win over Env; %NAME in V is a
	// variable of the caller.
	Deny []string
	Set  []string
	// Cwd and the identity are those inside the container.
	Cwd string
	// CwdVars says that %NAME in Cwd is a variable of the caller.
	CwdVars bool

	UID    uint32
	GID    uint32
	Groups []uint32

	// Binds are what the caller shares that depends on the moment of the start, over all mounts of the description, in this
	// order but that none hides a place within its own. ShareCwd adds the directory he is in, and has the app start there.
	Binds    []Bind
	ShareCwd bool
	// Foreign says that a layer belongs to another user than the start maps: its directories can't be written to.
	Foreign bool
	// Copies are host files whose content the app gets, each as a file of its own.
	Copies []Copy
	// Followed are symlinks of the flake's own layer to a file of the host that its owner replaces, in a directory of Binds. A
	// kept instance may be from a time when the host had a file there: it gets the link then.
	Followed []Symlink
	// Protect are directories of ours on the host that no bind may make writable.
	Protect []string
	// PreserveFDs hands over the caller's further descriptors.
	PreserveFDs bool
	// PilotArguments makes the caller's words beginning with @ or % mean what flake-pilot takes them for.
	PilotArguments bool
	// Kept says that the app's container outlives its starts: one of Kept*, or "".
	Kept string
	// Size is that of a writable tmpfs in bytes; 0 is the kernel's default.
	Size uint64

	// Engine executes the plan: one of Engine*. User says that it was compiled for an ordinary user, whose id is
	// Caller: nobody else can use the plan.
	Engine string
	User   bool
	Caller uint32
	// Range is what gives the start more ids than the caller's own (`ids: range`); User is false then. Nil: none.
	Range *Range
	// Ops is the container's description as the direct engine takes it; Config is the JSON of libcontainer's
	// configs.Config, with no Rootfs yet, for the other engine. One of the two is empty.
	Ops    []byte
	Config []byte
	// Filters are the seccomp programs (struct sock_filter, host byte order), loaded in this order.
	Filters [][]byte

	// Early is what the launcher starts from before Go's runtime is up: see package early. Nil: it does not.
	Early []byte

	// Checks are the fingerprints that must still hold at start, those of the settings files first.
	Checks []Check
}

// FixedRoot says that no place for a mount can be made in the mounted root.
func (p *Plan) FixedRoot() bool { return p.Writable == WritableNone || p.Foreign }

// Symlink is one at Path, of that Text.
type Symlink struct{ Path, Text string }

// Node is a directory, an empty file or a symlink to make in the writable part. Path is relative to the container's root.
type Node struct {
	Path string
	// Mode is that of stat(2), S_IFDIR where it names no type.
	Mode uint32
	UID  uint32
	GID  uint32
	// Text is that of a symlink.
	Text string
	// Opaque hides what the images have in the directory.
	Opaque bool
}

// HostLayer is a directory of metadata, and the host's directories with the content. Trusted: for root's overlayfs.
type HostLayer struct {
	Dir     string
	Data    []string
	Trusted bool
}

// Bind is a path of the host to show inside. %NAME in Source and Target is a variable of the caller; one whose variable
// is not set or whose source is missing is left out when it is Optional, else it ends the start.
type Bind struct {
	Source, Target     string
	ReadOnly, Optional bool
	// Devices keeps device nodes in it working.
	Devices bool
	// Tmpfs makes an empty file system with these options ("mode=01777") instead, which has no Source; NoExec is for it.
	Tmpfs  string
	NoExec bool
}

// Copy is a host file to copy. Source may be missing: then there is none. Target is canonical inside.
type Copy struct {
	Source, Target string
	Mode           uint32
}

// Link is one host file to bind. Target is canonical (no symlink in it) inside the container's root.
type Link struct {
	Source string
	Target string
	Kind   string
}
