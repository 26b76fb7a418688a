package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	rangerName = "ranger"
	rangerID   = 54322
	ourRange   = "flake, ids: range"
)

// ranger has a range of subordinate ids, in copies of the machine's accounts that only his commands see.
var ranger = account{name: rangerName, id: rangerID, on: withRange}

func rangeStart(rounds int) scenario {
	return scenario{
		name: "range", title: "Start of /bin/true in the Debian base, as an ordinary user with a range of ids", rounds: rounds, reference: ourLink,
		subjects: append(ranger.subjects(),
			ranger.subject(ourRange, prepareRange, func(e *env) []string { return []string{ranger.link(e, "range")} }),
			subject{name: podmanRun, prepare: prepareRootless, after: settle, thread: withRange, command: func(e *env) *exec.Cmd {
				return rootless(e, "run", "--rm", "--network=host", "--pull=never", "--cgroups=disabled", podmanBase, "/bin/true")
			}}),
		goals: []goal{ratio(ourLink, bwrapAll, 1.1), ratio(ourLink, podmanRun, 0.2), ratio(ourRange, podmanRun, 0.2)},
	}
}

// withRange is a thread on which the user is known and has a range; /etc itself stays as it is.
func withRange(e *env, f func()) error {
	dir := e.scratch("accounts")
	names := []string{"passwd", "subuid", "subgid"}
	err := e.once("accounts", func() error {
		accounts, err := os.ReadFile("/etc/passwd")
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", rangerName, rangerID, rangerID, e.scratch(rangerName))
		ids := fmt.Sprintf("%s:200000:65536\n", rangerName)
		return errors.Join(os.MkdirAll(dir, 0o755),
			os.WriteFile(filepath.Join(dir, names[0]), append(accounts, line...), 0o644),
			os.WriteFile(filepath.Join(dir, names[1]), []byte(ids), 0o644),
			os.WriteFile(filepath.Join(dir, names[2]), []byte(ids), 0o644))
	})
	if err != nil {
		return err
	}
	files := map[string]string{}
	for _, name := range names {
		files["/etc/"+name] = filepath.Join(dir, name)
	}
	return inNamespace(files, f)
}

func prepareRange(e *env) error {
	if err := ranger.prepare(e); err != nil {
		return err
	}
	return ranger.register(e, "range", "--target", "/bin/true", "--ids", "range")
}

// rootless is podman as the user, with the fastest storage it has: left to itself it copies the image's whole tree at
// each start where fuse-overlayfs is not installed.
func rootless(e *env, args ...string) *exec.Cmd {
	store := append(e.podmanStore(filepath.Join(rangerName, "podman")), "--storage-driver", "overlay")
	cmd := ranger.command(e, "podman", append(store, args...)...)
	cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+filepath.Join(ranger.home(e), "run"))
	return cmd
}

func prepareRootless(e *env) error {
	for _, program := range []string{"podman", "newuidmap"} {
		if err := needs(program)(e); err != nil {
			return err
		}
	}
	if err := ranger.prepare(e); err != nil {
		return err
	}
	run := filepath.Join(ranger.home(e), "run")
	if err := errors.Join(os.Mkdir(run, 0o700), os.Chown(run, rangerID, rangerID)); err != nil {
		return err
	}
	// The first command leaves a process behind that keeps the user namespace for all further ones.
	e.stops = append(e.stops, func() { _ = ranger.quiet(e, rootless(e, "system", "migrate")) })
	return ranger.quiet(e, rootless(e, "load", "-q", "-i", ranger.archive(e)))
}
