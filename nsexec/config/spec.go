package config

import "fmt"

// Spec is a container in plain values. Its zero value is the default isolation for root: own mount, pid, ipc,
// uts and cgroup namespaces, the host's network, DefaultCaps, no_new_privs, all default paths masked.
type Spec struct {
	// Hostname inside; empty keeps the host's.
	Hostname string
	// UID that the app runs as: any but 0 gets no capability but Held, only the bounding set.
	UID int
	// Caps is the bounding set ("CAP_CHOWN"); nil means DefaultCaps, empty means none at all.
	Caps []string
	// Held are those of the bounding set that an app has which is not root; root has all of them anyway.
	Held []string
	// Masked and Readonly are paths; nil means the defaults, empty means none.
	Masked, Readonly []string
	// PrivateNetwork gives a network namespace with nothing but a loopback interface.
	PrivateNetwork bool
	// Share names further namespaces not to separate from the host: "ipc" (with the host's /dev/shm), "uts", "cgroup",
	// and "pid", which only the direct engine can do.
	Share []string
	// WritableSys leaves /sys as writable as the app's rights make it.
	WritableSys bool
	// Mounts come on top of /proc, /sys and /dev, in this order.
	Mounts []Mount
	// Limits need a cgroup, and so libcontainer's engine.
	Limits Limits
	// Rlimits are set as given; all others are the caller's.
	Rlimits []Rlimit
	// NewPrivs allows setuid programs and file capabilities to have their effect.
	NewPrivs bool
	// ReadonlyRoot makes the root read-only even where its writable part would allow more.
	ReadonlyRoot bool
	// ShmSize is the size of /dev/shm in bytes; 0 is the kernel's default, half of the memory, as on a host.
	ShmSize int64
	// Nesting lets the app make containers of its own: see Nesting.
	Nesting Nesting
	// Umask of the app; nil means the caller's at the time of the start.
	Umask *uint32
}

// Nesting says whether a user namespace made inside can have a /proc of its own. The kernel allows that where the mount
// namespace holds one on which nothing is masked; we put it where no path leads to it, and the app's own /proc keeps
// its masks (decisions/0003-nesting.md).
type Nesting int

const (
	// NoNesting: a nested container can't have a /proc.
	NoNesting Nesting = iota
	// NestingReadOnly makes the nested /proc read-only: for containers in which uid 0 is the host's root, to whom the
	// files below /proc/sys belong.
	NestingReadOnly
	// NestingWritable is for containers in a user namespace without the host's root.
	NestingWritable
)

// Mount is one more mount: a bind of Source, or a tmpfs when Source is empty.
type Mount struct {
	Source   string // absolute path on the host
	Target   string // absolute path inside
	ReadOnly bool
	Size     int64  // of a tmpfs in bytes; 0 is the kernel's default
	Mode     uint32 // of a tmpfs; 0 is 01777
	NoExec   bool   // of a tmpfs
}

// Limits are what the app and all that it starts may use together. Zero values are none.
type Limits struct {
	Memory    int64 // bytes
	MilliCPUs int64 // thousandths of one processor
	PIDs      int64 // processes and threads, our own PID 1 among them
}

// Rlimit is one resource limit, by its name in ulimit's and podman's spelling: "nofile", "core".
type Rlimit struct {
	Name       string
	Soft, Hard uint64
}

// Unlimited is the value of a limit that there is not.
const Unlimited = ^uint64(0)

// FieldError names what is wrong in a Spec.
type FieldError struct {
	Field  string
	Value  string
	Reason string
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("describe container: %s %q: %s", e.Field, e.Value, e.Reason)
}

// Remedy tells the user what to do about it.
func (e *FieldError) Remedy() string { return "correct the option or the flake's file" }
