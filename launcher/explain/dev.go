package explain

import (
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
)

// mounted are file systems of the launcher's own.
var mounted = []string{"/proc", "/sys", "/dev"}

// own says whether a path lies in a file system of the launcher's.
func own(path string) bool {
	for _, dir := range mounted {
		if within(path, dir) {
			return true
		}
	}
	return false
}

const madeEach = "file system of its own, made at each start"

// launchers tells what is in these file systems. All of /dev is known; of the kernel's two, what kind of entry it has
// there now.
func (r *root) launchers(path string) (entry, error) {
	if within(path, "/dev") {
		return r.device(path)
	}
	e := r.kernels(fs.ModeDir|0o555, madeEach)
	if path == "/proc" || path == "/sys" {
		return e, nil
	}
	if fd, ok := strings.CutPrefix(path, "/proc/self/fd/"); ok && !strings.Contains(fd, "/") {
		p := r.s.Compiled.Plan
		e.mode, e.uid, e.gid, e.how = fs.ModeIrregular|0o500, int(p.UID), int(p.GID), "what the process that looks has open as "+fd
		return e, nil
	}
	// A symlink of a process's would be that of this one: what it leads to is no directory for sure only of a file.
	if st, err := os.Lstat(path); err == nil && st.Mode().IsRegular() {
		e.mode = st.Mode()
	}
	return e, nil
}

// device tells of /dev: the nodes and links that every container has. What else is there is shared, or made by the app.
func (r *root) device(path string) (entry, error) {
	dir := r.made(fs.ModeDir|0o755, madeEach)
	name := strings.TrimPrefix(path, "/dev/")
	if r.s.Flake.Namespaces.IPC == "host" && within(path, "/dev/shm") {
		return r.onHost(path, "the host's own")
	}
	if n, ok := config.DeviceNode(name); ok {
		return r.node(path, n), nil
	}
	text, ok := config.DeviceLink(name)
	if name == "core" && r.s.Compiled.Plan.Engine == plan.EngineLibcontainer {
		text, ok = "/proc/kcore", true
	}
	if ok {
		e := r.made(fs.ModeSymlink|0o777, "made at each start")
		e.text = text
		return e, nil
	}
	switch name {
	case "/dev":
		return dir, nil
	case "pts":
		if p := r.s.Compiled.Plan; p.User && p.UID != 0 {
			dir.uid, dir.gid = nobody, nobody // belongs to root, whom nobody knows inside
		}
		return dir, nil
	case "pts/ptmx":
		return r.made(fs.ModeDevice|fs.ModeCharDevice|0o666, "gives terminals of the app's own"), nil
	case "shm", "mqueue":
		dir.mode |= fs.ModeSticky | 0o777
		return dir, nil
	}
	if r.mountPoint(path) {
		dir.how = "made at each start, for a mount below it"
		return dir, nil
	}
	return entry{}, fs.ErrNotExist
}

// node is the host's own where nobody may make one.
func (r *root) node(path string, number config.Number) entry {
	mode := fs.ModeDevice | fs.ModeCharDevice | 0o666
	if p := r.s.Compiled.Plan; p.User || p.Range != nil {
		if e, err := r.onHost(path, "the host's own"); err == nil {
			return e
		}
		return r.kernels(mode, "the host's own")
	}
	return r.made(mode, fmt.Sprintf("device %d:%d, made at each start", number.Major, number.Minor))
}

// made is what PID 1 makes, as its user.
func (r *root) made(mode fs.FileMode, how string) entry {
	e := entry{mode: mode, origin: r.launcher(), layer: -1, how: how, fixed: true}
	if p := r.s.Compiled.Plan; p.User {
		e.uid, e.gid = int(p.UID), int(p.GID)
	}
	return e
}

// kernels is what belongs to the host's root whoever starts it.
func (r *root) kernels(mode fs.FileMode, how string) entry {
	e := r.made(mode, how)
	e.uid, e.gid = 0, 0
	if p := r.s.Compiled.Plan; p.User || p.Range != nil {
		e.uid, e.gid = nobody, nobody
	}
	return e
}
