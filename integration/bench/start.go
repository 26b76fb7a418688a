package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	bwrapAll   = "bwrap --unshare-all"
	bwrapNet   = "bwrap --unshare-all --share-net" // as the flakes: the network is the host's
	runcRun    = "runc run"
	crunRun    = "crun run"
	podmanRun  = "podman run"
	podmanBase = "docker.io/library/bookworm:latest" // as podman names what it loaded
)

func start(rounds int) scenario {
	return scenario{
		name: "start", title: "Start of /bin/true in the Debian base, as root", rounds: rounds, reference: ourLink, pictured: true,
		subjects: []subject{
			{name: "native", prepare: nothing, command: func(*env) *exec.Cmd { return exec.Command("/bin/true") }},
			{name: ourLink, prepare: prepareFlake, command: func(e *env) *exec.Cmd { return e.ours(e.link("true")) }},
			{name: ourRun, prepare: prepareFlake, command: func(e *env) *exec.Cmd { return e.ours(e.binary("flake-run"), "bookworm", "/bin/true") }},
			{name: "flake-run --engine libcontainer", prepare: prepareFlake, command: func(e *env) *exec.Cmd {
				return e.ours(e.binary("flake-run"), "--engine", "libcontainer", "bookworm", "/bin/true")
			}},
			{name: bwrapAll, prepare: needs("bwrap"), command: func(e *env) *exec.Cmd {
				return exec.Command("bwrap", bwrapOver(e.rootfs(), "/bin/true")...)
			}},
			{name: bwrapNet, prepare: needs("bwrap"), command: func(e *env) *exec.Cmd {
				return exec.Command("bwrap", sharingNet(bwrapOver(e.rootfs(), "/bin/true"))...)
			}},
			{name: crunRun, prepare: prepareBundle("crun", "/bin/true"), command: bundle("crun", "/bin/true"), thread: privateThread},
			{name: runcRun, prepare: prepareBundle("runc", "/bin/true"), command: bundle("runc", "/bin/true")},
			{name: podmanRun, prepare: preparePodman, command: podman, thread: privateThread, after: settle},
			stacked(),
		},
		goals: []goal{
			ratio(ourLink, bwrapAll, 1), ratio(ourLink, bwrapAll, 0.8).noted("the real goal"), ratio(ourLink, bwrapNet, 1),
			ratio(ourLink, crunRun, 0.55), ratio(ourStack, ourLink, 1.3), ratio(ourRun, ourLink, 1.3),
			ratio(ourLink, runcRun, 1.2), ratio(ourLink, podmanRun, 0.2),
		},
	}
}

// prepareFlake loads the base and makes a flake of its /bin/true.
func prepareFlake(e *env) error {
	return e.once("flake", func() error {
		base, err := e.real("bookworm")
		if err != nil {
			return err
		}
		if err := e.quiet(e.ours(e.binary("flake-ctl"), "load", base.Archive)); err != nil {
			return err
		}
		return e.register("true", "/bin/true", "--container", "bookworm")
	})
}

// bwrapOver is bubblewrap's whole isolation over a plain tree.
func bwrapOver(tree string, program ...string) []string {
	return append([]string{"--unshare-all", "--ro-bind", tree, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"}, program...)
}

// sharingNet are the same words, but for the network, which stays the host's.
func sharingNet(words []string) []string {
	return append([]string{words[0], "--share-net"}, words[1:]...)
}

// prepareBundle makes an OCI bundle of the plain tree, from the runtime's own template.
func prepareBundle(runtime string, program ...string) func(*env) error {
	return both(needs(runtime), func(e *env) error {
		dir := bundleDir(e, runtime, program)
		return e.once(dir, func() error { return e.bundle(dir, runtime, program) })
	})
}

func bundleDir(e *env, runtime string, program []string) string {
	return e.scratch(runtime + "-" + filepath.Base(program[0]))
}

func bundle(runtime string, program ...string) func(*env) *exec.Cmd {
	return func(e *env) *exec.Cmd {
		id := fmt.Sprintf("bench-%d-%d", os.Getpid(), e.serial.Add(1))
		return exec.Command(runtime, "--root", e.scratch(runtime+"-state"), "run", "--bundle", bundleDir(e, runtime, program), id)
	}
}

func preparePodman(e *env) error {
	if err := needs("podman")(e); err != nil {
		return err
	}
	return e.once("podman", func() error {
		return e.quiet(e.podman("load", "-q", "-i", e.reals["bookworm"].Archive))
	})
}

func podman(e *env) *exec.Cmd {
	args := append([]string{"run", "--rm", "--network=host", "--pull=never"}, podmanLimits()...)
	return e.podman(append(args, podmanBase, "/bin/true")...)
}

// podmanLimits keep podman from raising, without CAP_SYS_RESOURCE, what it raises by default.
func podmanLimits() []string {
	if !hybrid() {
		return nil
	}
	return []string{"--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000"}
}
