package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// thread runs f where its commands find the machine as their subject needs it; nil is the machine as it is.
// What f starts inherits the thread's namespaces: nobody pays for a wrapper.
type thread func(e *env, f func()) error

func (t thread) run(e *env, f func()) error {
	if t == nil {
		f()
		return nil
	}
	return t(e, f)
}

// hybrid says whether this is a machine of cgroup v1 with an empty cgroup2 beside it, on which crun
// and podman take the wrong one. Asked once: on a private thread it would look like another machine.
var hybrid = sync.OnceValue(func() bool {
	_, err := os.Stat("/sys/fs/cgroup/unified/cgroup.procs")
	return err == nil
})

// privateThread has, on a hybrid machine, a mount namespace without the empty cgroup2.
func privateThread(_ *env, f func()) error {
	if !hybrid() {
		f()
		return nil
	}
	return inNamespace(nil, f)
}

// inNamespace runs f on a thread of its own with a private mount namespace, which lacks the empty cgroup2 and in which
// the files named by the values are in the place of those named by the keys.
func inNamespace(files map[string]string, f func()) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this function
		err := separate(files)
		if err == nil {
			f()
		}
		done <- err
	}()
	return <-done
}

func separate(files map[string]string) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare mounts: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if hybrid() {
		_ = unix.Unmount("/sys/fs/cgroup/unified", unix.MNT_DETACH)
	}
	for name, file := range files {
		if err := unix.Mount(file, name, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("put another file in the place of %s: %w", name, err)
		}
	}
	return nil
}
