package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/flake-launcher/flake-launcher/integration/image"
)

const (
	ourPull = "flake-ctl pull"
	podPull = "podman pull"
)

func pull(rounds int) scenario {
	return scenario{
		name: "pull", title: "Pull and unpack a 3-layer image from docker-registry on loopback, empty store", about: describe, rounds: rounds, reference: ourPull,
		subjects: []subject{
			{name: ourPull, prepare: prepareRegistry, before: emptyStore, command: func(e *env) *exec.Cmd {
				return e.with("FLAKES_ROOT="+e.scratch("pulled"), e.binary("flake-ctl"), "pull", e.pushed)
			}},
			{name: podPull, prepare: both(needs("podman"), prepareRegistry), before: emptyPodman, thread: privateThread,
				command: func(e *env) *exec.Cmd {
					return e.ours("podman", append(e.podmanStore("podpull"), "pull", "-q", "--tls-verify=false", e.pushed)...)
				}},
		},
		goals: []goal{ratio(ourPull, podPull, 0.7), peakOf(ourPull, 150)},
	}
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

// serve starts the registry and pushes the image of three layers into it.
func (e *env) serve() error {
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		return fmt.Errorf("docker-registry is not installed (integration/hack/deps.sh bench)")
	}
	real, err := e.real("basepython")
	if err != nil {
		return err
	}
	dir := e.scratch("registry")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	host, stop, err := image.ServeDir(program, dir)
	if err != nil {
		return err
	}
	e.stops = append(e.stops, stop)
	conf := fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n", host)
	if err := os.WriteFile(e.scratch("registries.conf"), []byte(conf), 0o644); err != nil {
		return err
	}
	img, err := real.Image()
	if err != nil {
		return err
	}
	img.Docker = true
	for _, layer := range img.Layers {
		_, size, err := layer.DiffID()
		if err != nil {
			return err
		}
		e.pushedSizes = append(e.pushedSizes, size)
	}
	e.pushed = host + "/team/basepython:latest"
	return img.Push(e.pushed)
}
