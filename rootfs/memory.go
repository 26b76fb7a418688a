package rootfs

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// runDir is where root keeps what lasts until the machine stops.
const runDir = "/run"

// memoryDir is where anybody may keep something in memory. It is none that apps
// are shown, as /tmp is: what lies there is started.
const memoryDir = "/dev/shm"

// StartsRoot says where the caller's starts keep what they are made from
// (plans, flakes' own layers): in his own store, or, where he has no place for
// one or it is read-only, in one in memory, which holds no images. own is
// [CallersRoot] and may be "" then. It makes nothing.
func StartsRoot() (root, own string, err error) {
	own, err = CallersRoot()
	if err != nil {
		if os.Getenv(envRoot) != "" {
			return "", "", err
		}
		own = ""
	} else if Keeps(own) {
		return own, own, nil
	}
	root, err = memoryRoot(own)
	return root, own, err
}

// InMemory says that a start of the caller's that found root by [StartsRoot]
// has it in memory, so that nothing of worth may be put there.
func InMemory(root, own string) bool { return root != own }

// Keeps says whether the caller can write to his store at root, or make it. One
// that he had better not use is none of its business.
func Keeps(root string) bool {
	at := filepath.Join(root, plansDir)
	var st unix.Stat_t
	for {
		err := unix.Stat(at, &st)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) || at == "/" {
			return false
		}
		at = filepath.Dir(at)
	}
	if euid := os.Geteuid(); euid != 0 && int(st.Uid) != euid && len(at) >= len(root) {
		return false // somebody else's store
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR && unix.Faccessat(unix.AT_FDCWD, at, unix.W_OK|unix.X_OK, unix.AT_EACCESS) == nil
}

// memoryRoot is the store that stands for the caller's own.
func memoryRoot(own string) (string, error) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(own))
	name := fmt.Sprintf("%s-%d-%08x", userDirName, os.Geteuid(), h.Sum32())
	for _, dir := range runtimeDirs(os.Geteuid()) {
		root := filepath.Join(dir, name)
		var st unix.Stat_t
		switch err := unix.Lstat(root, &st); {
		case err == nil && int(st.Uid) == os.Geteuid() && CheckRoot(root) == nil && Keeps(root):
			return root, nil
		case errors.Is(err, fs.ErrNotExist) && Keeps(root):
			return root, nil
		}
	}
	e := &NoRootError{
		Reason: fmt.Sprintf("nothing can be kept in %s, nor in %s", own, memoryDir), remedy: remedyCreate,
	}
	if own == "" {
		e.Reason = fmt.Sprintf("there is no HOME, and nothing can be kept in %s", memoryDir)
	}
	return "", e
}

func runtimeDirs(euid int) []string {
	if euid == 0 {
		return []string{runDir, memoryDir}
	}
	var st unix.Stat_t
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) && unix.Stat(dir, &st) == nil && int(st.Uid) == euid && st.Mode&writeByOthers == 0 {
		return []string{filepath.Clean(dir), memoryDir}
	}
	return []string{memoryDir}
}
