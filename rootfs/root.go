package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	envRoot     = "FLAKES_ROOT"
	envXDGData  = "XDG_DATA_HOME" // XDG Base Directory: relative values are ignored
	userDirName = "flakes"
)

// SystemRoot is root's store, which everybody may read.
const SystemRoot = "/var/lib/flakes"

// DefaultRoot says where the caller's store is: $FLAKES_ROOT whoever calls,
// else /var/lib/flakes for root, else $XDG_DATA_HOME/flakes, else
// ~/.local/share/flakes. It touches no file. FLAKES_ROOT must be absolute: a
// registration made below one working directory would otherwise look for its
// image below another.
func DefaultRoot(getenv func(string) string, euid int) (string, error) {
	if r := getenv(envRoot); r != "" {
		if !filepath.IsAbs(r) {
			return "", &NoRootError{
				Reason: fmt.Sprintf("%s=%q is not an absolute path", envRoot, r), remedy: "write it from / on, or unset it",
			}
		}
		return filepath.Clean(r), nil
	}
	if euid == 0 {
		return SystemRoot, nil
	}
	if d := getenv(envXDGData); filepath.IsAbs(d) {
		return filepath.Join(d, userDirName), nil
	}
	if h := getenv("HOME"); filepath.IsAbs(h) {
		return filepath.Join(h, ".local", "share", userDirName), nil
	}
	return "", &NoRootError{
		Reason: "none of FLAKES_ROOT, XDG_DATA_HOME and HOME is set to an absolute path", remedy: "set HOME to your home directory",
	}
}

// CallersRoot is [DefaultRoot] for this process. Root of a user namespace that
// has but one id has the store of the user he really is.
func CallersRoot() (string, error) {
	euid := os.Geteuid()
	if euid == 0 && !Privileged() {
		euid = -1
	}
	return DefaultRoot(os.Getenv, euid)
}

// readProc reads the beginning of a small file without a poller, which package os would set up for it: every start does
// this.
func readProc(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	b := make([]byte, 4096)
	n, err := unix.Read(fd, b)
	return string(b[:max(n, 0)]), err
}

// Privileged says that the caller can give files to other users: root, unless
// in a user namespace that has but one id. What is not privileged unpacks with
// a side file of owners, and has a store for himself.
var Privileged = sync.OnceValue(func() bool {
	if os.Geteuid() != 0 {
		return false
	}
	text, err := readProc("/proc/self/uid_map")
	if err != nil {
		return true // no proc: no namespaces that we know of
	}
	ids := uint64(0)
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) == 3 {
			n, _ := strconv.ParseUint(fields[2], 10, 64)
			ids += n
		}
	}
	return ids > 1
})
