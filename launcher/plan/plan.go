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
	// Seed are directories that the writable part gets before the overlay is mounted.
	Seed []Dir
	// Links are the host files to bind over the mounted root.
	Links []Link

	// Entrypoint precedes the caller's arguments; Cmd stands in for them when there are none.
	Entrypoint []string
	Cmd        []string
	// Env is the fixed environment; Pass are names (a trailing * is a prefix) taken over from the caller,
	// unless Env has them.
	Env  []string
	Pass []string
	// Cwd and the identity are those inside the container.
	Cwd    string
	UID    uint32
	GID    uint32
	Groups []uint32

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

	// Checks are the fingerprints that must still hold at start.
	Checks []Check
}

// Range are maps of ids, and the helpers that may write them.
type Range struct {
	UIDs, GIDs           []IDMap
	NewUIDMap, NewGIDMap string
}

// IDMap maps Size ids from Inside on to those of the host from Outside on.
type IDMap struct{ Inside, Outside, Size uint32 }

// Dir is a directory to make in the writable part. Path is relative to the container's root.
type Dir struct {
	Path string
	Mode uint32
	UID  uint32
	GID  uint32
}

// Link is one host file to bind. Target is canonical (no symlink in it) inside the container's root.
type Link struct {
	Source string
	Target string
	Kind   string
}
