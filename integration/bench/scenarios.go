package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	ourLink   = "flake (its link)"
	ourRun    = "flake-run"
	ourPull   = "flake-ctl pull"
	runcRun   = "runc run"
	crunRun   = "crun run"
	podmanRun = "podman run"
	podPull   = "podman pull"
)

// scenarios is the table that -only chooses from.
func scenarios(rounds, pulls int) []scenario {
	return []scenario{
		{
			name: "start", title: "Start of /bin/true in the Debian base, as root", rounds: rounds,
			subjects: []subject{
				{name: "native", prepare: nothing, command: func(*env) *exec.Cmd { return exec.Command("/bin/true") }},
				{name: ourLink, prepare: prepareFlake, command: func(e *env) *exec.Cmd { return e.ours(filepath.Join(e.links, "true")) }},
				{name: ourRun, prepare: prepareFlake, command: func(e *env) *exec.Cmd { return e.ours(e.binary("flake-run"), "bookworm", "/bin/true") }},
				{name: "flake-run --engine libcontainer", prepare: prepareFlake, command: func(e *env) *exec.Cmd {
					return e.ours(e.binary("flake-run"), "--engine", "libcontainer", "bookworm", "/bin/true")
				}},
				{name: "bwrap --unshare-all", prepare: needs("bwrap"), command: bwrap},
				{name: crunRun, prepare: prepareBundle("crun"), command: bundle("crun"), private: true},
				{name: runcRun, prepare: prepareBundle("runc"), command: bundle("runc")},
				{name: podmanRun, prepare: preparePodman, command: podman, private: true},
			},
			goals: []goal{{ourLink, runcRun, 1.2}, {ourLink, podmanRun, 0.2}},
		},
		{
			name: "user", title: "The same as an ordinary user without a range of ids", rounds: rounds,
			subjects: []subject{
				{name: "native", prepare: nothing, command: func(e *env) *exec.Cmd { return e.asUser("/bin/true") }},
				{name: ourLink, prepare: prepareUser, command: func(e *env) *exec.Cmd { return e.asUser(e.userLink()) }},
				{name: "flake-run", prepare: prepareUser, command: func(e *env) *exec.Cmd {
					return e.asUser(e.userBinary("flake-run"), "bookworm", "/bin/true")
				}},
				{name: "bwrap --unshare-all", prepare: both(needs("bwrap"), prepareUser), command: bwrapUser},
			},
		},
		keptScenario(rounds),
		{
			name: "pull", title: "Pull and unpack a 3-layer image from docker-registry on loopback, empty store", rounds: pulls,
			subjects: []subject{
				{name: ourPull, prepare: prepareRegistry, before: emptyStore, command: func(e *env) *exec.Cmd {
					return e.with("FLAKES_ROOT="+e.scratch("pulled"), e.binary("flake-ctl"), "pull", e.pushed)
				}},
				{name: podPull, prepare: both(needs("podman"), prepareRegistry), before: emptyPodman, private: true,
					command: func(e *env) *exec.Cmd {
						return e.ours("podman", append(e.podmanStore("podpull"), "pull", "-q", "--tls-verify=false", e.pushed)...)
					}},
			},
			goals: []goal{{ourPull, podPull, 0.7}, {of: ourPull, limit: 150}},
		},
	}
}

func nothing(*env) error { return nil }

func both(one, two func(*env) error) func(*env) error {
	return func(e *env) error {
		if err := one(e); err != nil {
			return err
		}
		return two(e)
	}
}

// needs is a subject that needs a program and the plain tree of the base.
func needs(program string) func(*env) error {
	return func(e *env) error {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed (integration/hack/deps.sh bench)", program)
		}
		_, err := e.real("bookworm")
		return err
	}
}

func prepareFlake(e *env) error {
	return e.once("flake", func() error {
		base, err := e.real("bookworm")
		if err != nil {
			return err
		}
		if err := e.quiet(e.ours(e.binary("flake-ctl"), "load", base.Archive)); err != nil {
			return err
		}
		return e.quiet(e.ours(e.binary("flake-ctl"), "register", "--container", "bookworm",
			"--app", filepath.Join(e.links, "true"), "--target", "/bin/true"))
	})
}

func bwrap(e *env) *exec.Cmd {
	return exec.Command("bwrap", "--unshare-all", "--share-net", "--ro-bind", e.rootfs(), "/",
		"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "/bin/true")
}

// prepareBundle makes an OCI bundle of the plain tree, from the runtime's own template.
func prepareBundle(runtime string) func(*env) error {
	return both(needs(runtime), func(e *env) error {
		return e.bundle(e.scratch(runtime), runtime)
	})
}

func bundle(runtime string) func(*env) *exec.Cmd {
	return func(e *env) *exec.Cmd {
		e.serial++
		state := filepath.Join(e.scratch(runtime), "state")
		return exec.Command(runtime, "--root", state, "run", "--bundle", e.scratch(runtime), fmt.Sprintf("bench-%d-%d", os.Getpid(), e.serial))
	}
}

func preparePodman(e *env) error {
	if err := needs("podman")(e); err != nil {
		return err
	}
	base, err := e.real("bookworm")
	if err != nil {
		return err
	}
	load := e.ours("podman", append(e.podmanStore("podman"), "load", "-q", "-i", base.Archive)...)
	return e.quiet(load)
}

func podman(e *env) *exec.Cmd {
	args := append(e.podmanStore("podman"), "run", "--rm", "--network=host", "--pull=never")
	if hybrid() { // without CAP_SYS_RESOURCE podman may not raise what it raises by default
		args = append(args, "--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000")
	}
	return e.ours("podman", append(args, "docker.io/library/bookworm:latest", "/bin/true")...)
}

// prepareRegistry serves the 3-layer image; what is pushed is what everybody pulls.
func prepareRegistry(e *env) error {
	return e.once("registry", e.serve)
}

func emptyStore(e *env) error { return e.wipe("pulled") }

func emptyPodman(e *env) error { return e.wipe("podpull") }

// describe is the size of what was pushed, for the title of the pull.
func describe(e *env) string {
	var sizes []string
	for _, n := range e.pushedSizes {
		sizes = append(sizes, fmt.Sprintf("%.0f", float64(n)/1e6))
	}
	return strings.Join(sizes, " + ") + " MB unpacked"
}
