package nsexec

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// Confined runs a script that nobody vouches for over the host's own root: read-only, in namespaces of its own, without
// network, rights and devices, and within limits. Nothing of it is left when Run returns. See decisions/0006.
type Confined struct {
	// Root is the host's root, or a directory that stands for it.
	Root string
	// Hide are directories that it gets to see empty; missing ones are no matter.
	Hide []string
	// Script begins with a #! line, or is one for /bin/sh.
	Script []byte
	// Filters are seccomp programs, loaded in this order.
	Filters [][]byte
	// User runs it as the caller, who has no rights in the namespaces; else the caller is root, and it runs as nobody.
	User bool

	// Patience, Output, Memory and Processes bound it; zero values are the defaults below.
	Patience  time.Duration
	Output    int64 // bytes
	Memory    int64 // resident bytes of all its processes together
	Processes int
}

// The limits where none are given.
const (
	ConfinedPatience  = 30 * time.Second
	ConfinedOutput    = 32 << 20
	ConfinedMemory    = 1 << 30
	ConfinedProcesses = 256
)

// nobody is who a script of root's is: an id that owns nothing.
const nobody = 65534

// ConfinedError says why a script was stopped, or that it failed.
type ConfinedError struct {
	// Reason is in one line, such as "is still running after 30s".
	Reason string
	// Own says that the script could not be started here, which is not its fault; Fix is what helps, if that is known.
	Own bool
	Fix string
}

func (e *ConfinedError) Error() string { return "run script: " + e.Reason }

// Remedy tells the user what to do about it.
func (e *ConfinedError) Remedy() string {
	if e.Fix != "" {
		return e.Fix
	}
	return "correct the script: all it may do is to print, within limits"
}

// Run runs the script to its end and returns what it has printed. Errors are *ConfinedError, or the context's.
func (c *Confined) Run(ctx context.Context) ([]byte, error) {
	c = c.bounded()
	binary, err := initproc.Binary()
	if err != nil {
		return nil, err
	}
	program, err := initproc.Sealed("flake-stage", binary, true)
	if err != nil {
		return nil, &DirectError{"make memory file", err}
	}
	defer program.Close()
	script, err := initproc.Sealed("flake-script", c.Script, false)
	if err != nil {
		return nil, &DirectError{"make memory file", err}
	}
	defer script.Close()
	ops, err := c.ops(firstExtra)
	if err != nil {
		return nil, err
	}
	blob, err := initproc.Sealed("flake-program", initproc.Blob(ops), false)
	if err != nil {
		return nil, &DirectError{"make memory file", err}
	}
	defer blob.Close()
	w := &watched{
		limits: *c, files: []*os.File{script, program, blob},
		path: fmt.Sprintf("/proc/self/fd/%d", firstExtra+1), env: fmt.Sprintf("%s%d", initproc.StageEnv, firstExtra+2),
	}
	return w.run(ctx)
}

// bounded is a copy with all limits set.
func (c *Confined) bounded() *Confined {
	all := *c
	c = &all
	if c.Patience == 0 {
		c.Patience = ConfinedPatience
	}
	if c.Output == 0 {
		c.Output = ConfinedOutput
	}
	if c.Memory == 0 {
		c.Memory = ConfinedMemory
	}
	if c.Processes == 0 {
		c.Processes = ConfinedProcesses
	}
	return c
}

// confinedSpeaker begins the messages of a script that could not be started.
const confinedSpeaker = "flake-script"

const newNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// ops is the program; script is the descriptor that the script has.
func (c *Confined) ops(script int) ([]byte, error) {
	args := append(interpreter(c.Script), fmt.Sprintf("/proc/self/fd/%d", script))
	o := &initproc.Ops{}
	o.Name(confinedSpeaker, fmt.Sprintf("%q", args[0]))
	o.Preserve([]int{script})
	uid, gid, groups := uint32(nobody), uint32(nobody), []uint32{}
	if c.User {
		uid, gid, groups = uint32(os.Geteuid()), uint32(os.Getegid()), nil
		o.UserNamespace(uid, uid, gid, gid)
	}
	o.Clone(newNamespaces, unix.MS_SLAVE|unix.MS_REC)
	o.Host(c.Root)
	c.mounts(o)
	o.Pivot(true)
	for _, l := range limits(c.Memory) {
		o.Rlimit(l.resource, l.value, l.value)
	}
	o.Umask(0o022)
	o.Keyring()
	o.Caps(initproc.Caps{})
	o.NoNewPrivs()
	o.IDs(uid, gid, groups)
	o.Run(&initproc.Program{
		DeathSignal: unix.SIGKILL, Filters: c.Filters, Args: args,
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/", "LC_ALL=C", "TMPDIR=/tmp"},
	})
	return o.Bytes()
}

// mounts are what the script has of its own: processes, devices that lead nowhere, and a place for temporary files.
func (c *Confined) mounts(o *initproc.Ops) {
	const attrs = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	if c.has("/proc") {
		o.Mount("proc", "proc", "/proc", "", attrs, 0)
	}
	if c.has("/dev") {
		flags := uint32(0)
		if c.User {
			flags = initproc.Host
		}
		o.Mount("tmpfs", "tmpfs", "/dev", "mode=755,size=64k,nr_inodes=16", unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, 0)
		for _, d := range []struct {
			path  string
			minor uint32
		}{{"/dev/null", 3}, {"/dev/zero", 5}, {"/dev/full", 7}, {"/dev/random", 8}, {"/dev/urandom", 9}} {
			o.Node(d.path, unix.S_IFCHR|0o666, 1, d.minor, 0, 0, flags)
		}
		for _, l := range [][2]string{{"/proc/self/fd", "/dev/fd"}, {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"}} {
			o.Symlink(l[0], l[1])
		}
	}
	for _, dir := range []string{"/tmp", "/var/tmp"} {
		if c.has(dir) {
			o.Mount("tmpfs", "tmpfs", dir, "mode=1777,size=32m,nr_inodes=4096", attrs, initproc.Follow)
		}
	}
	// Where daemons listen, and other people's affairs.
	for _, dir := range append([]string{"/run", "/sys/fs/cgroup", "/sys/kernel/debug", "/root", "/home"}, c.Hide...) {
		o.Mask(dir, 0)
	}
}

// has says whether a directory is there to be mounted on: the root is read-only, so none can be made.
func (c *Confined) has(dir string) bool {
	st, err := os.Stat(filepath.Join(c.Root, dir))
	return err == nil && st.IsDir()
}

// interpreter is what runs a script: the words of its #! line as the kernel takes them.
func interpreter(script []byte) []string {
	line, _, _ := strings.Cut(string(script[:min(len(script), 256)]), "\n")
	rest, ok := strings.CutPrefix(line, "#!")
	if rest = strings.TrimSpace(rest); !ok || !strings.HasPrefix(rest, "/") {
		return []string{"/bin/sh"}
	}
	name, arg, _ := strings.Cut(rest, " ")
	if arg = strings.TrimSpace(arg); arg != "" {
		return []string{name, arg}
	}
	return []string{name}
}

type rlimit struct {
	resource int
	value    uint64
}

// limits are those of each process. What all of them use together is watched from outside.
func limits(memory int64) []rlimit {
	all := []rlimit{
		{unix.RLIMIT_AS, uint64(memory)}, {unix.RLIMIT_FSIZE, 64 << 20}, {unix.RLIMIT_NOFILE, 256}, {unix.RLIMIT_CORE, 0},
		{unix.RLIMIT_NPROC, 1024}, {unix.RLIMIT_CPU, 60}, {unix.RLIMIT_MEMLOCK, 0}, {unix.RLIMIT_MSGQUEUE, 0}, {unix.RLIMIT_SIGPENDING, 256},
	}
	for i := range all {
		var now unix.Rlimit
		if err := unix.Getrlimit(all[i].resource, &now); err == nil {
			all[i].value = min(all[i].value, now.Max)
		}
	}
	return all
}
