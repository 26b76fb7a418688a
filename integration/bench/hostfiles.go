package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/flake-launcher/flake-launcher/integration/image"
)

// copySequence is what flake-pilot does at each start of a base and a delta, less its sudo, its look-ups and its log.
// Its arguments: base, delta, then podman with all options.
const copySequence = `set -eu
base=$1 delta=$2; shift 2
id=$("$@" create --network=host --pull=never $LIMITS "$base" /bin/true)
to=$("$@" mount "$id")
from=$("$@" image mount "$delta")
rsync -a "$from/" "$to/"
"$@" image umount "$delta" >/dev/null
if [ -s "$to/removed" ]; then rsync -a --ignore-missing-args --files-from="$to/removed" / "$to/"; fi
"$@" umount "$id" >/dev/null
"$@" start --attach "$id"
"$@" rm --force "$id" >/dev/null
`

// hostFiles is the start against the number of host files, ours and by copying.
func hostFiles(rounds int) scenario {
	s := scenario{
		name: "hosts", title: "Start of /bin/true with files of the host in it, as root", rounds: min(rounds, 15), reference: ofHosts("flake", 0),
		goals: []goal{
			ratio(ofHosts("flake", 8000), ofHosts("flake", 0), 1.3),
			ratio(ofHosts("flake", 8000), ofHosts("copying", 8000), 1.0/500),
		},
	}
	var copies []subject
	for _, n := range []int{0, 100, 1000, 8000, 50_000} {
		s.subjects = append(s.subjects, subject{
			name: ofHosts("flake", n), rounds: fewer(n, 15, 5), prepare: prepareHosts(n), before: warm(n), after: settle,
			command: func(e *env) *exec.Cmd { return e.ours(e.link(hostsImage(n))) },
		})
		copies = append(copies, subject{
			name: ofHosts("copying", n), rounds: fewer(n, 3, 1), prepare: prepareCopying(n), after: settle, thread: privateThread,
			command: func(e *env) *exec.Cmd { return copying(e, n) },
		})
	}
	s.subjects = append(s.subjects, copies...)
	return s
}

// warm is a start that is not timed: during minutes of copying a kernel may have dropped the pages that a start needs.
func warm(n int) func(*env) error {
	return func(e *env) error { return e.quiet(e.ours(e.link(hostsImage(n)))) }
}

// fewer is the rounds for what takes seconds.
func fewer(files, usual, atMost int) int {
	if files > 8000 {
		return atMost
	}
	return usual
}

func ofHosts(what string, n int) string { return fmt.Sprintf("%s, %d host files", what, n) }
func hostsImage(n int) string           { return fmt.Sprintf("hosts-%d", n) }

// manifest names the first n files of the host's /usr in the order of their names, those that the image's own programs
// are made of excepted: a foreign libc would not go with the image's loader. Every tenth is left out, so that no
// directory is complete: who mounts whole directories gets no present that real manifests would not make.
func manifest(n int) ([]string, error) {
	var list []string
	seen := 0
	err := filepath.WalkDir("/usr", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		switch {
		case len(list) == n:
			return fs.SkipAll
		case d.IsDir() && (name == "bin" || name == "sbin"):
			return fs.SkipDir
		case !d.Type().IsRegular() && d.Type() != fs.ModeSymlink, strings.Contains(name, ".so"), strings.HasPrefix(name, "ld-"), strings.Contains(path, "\n"):
			return nil
		}
		if seen++; seen%10 != 0 {
			list = append(list, path[1:])
		}
		return nil
	})
	if err == nil && len(list) < n {
		err = fmt.Errorf("this machine's /usr has only %d files to choose from, not %d", len(list), n)
	}
	return list, err
}

// removed is the line of a layer that holds such a manifest.
func removed(list []string) string {
	text := strings.Join(list, "\n")
	if len(list) > 0 {
		text += "\n"
	}
	return "file removed data=" + strconv.Quote(text)
}

// delta composes an image of one layer and returns its archive.
func (e *env) delta(name string, lines ...string) (string, error) {
	file := e.scratch(name + ".tar")
	return file, e.once(file, func() error {
		layer, err := image.Parse(lines...)
		if err != nil {
			return err
		}
		to, err := os.Create(file)
		if err != nil {
			return err
		}
		made := image.Image{Name: name + ":latest", Layers: []*image.Layer{layer}}.WriteArchive(to)
		return errors.Join(made, to.Close())
	})
}

func prepareHosts(n int) func(*env) error {
	return func(e *env) error {
		if err := prepareFlake(e); err != nil {
			return err
		}
		list, err := manifest(n)
		if err != nil {
			return err
		}
		if err := e.load(hostsImage(n), removed(list)); err != nil {
			return err
		}
		if err := e.register(hostsImage(n), "/bin/true", "--container", hostsImage(n), "--base", "bookworm"); err != nil {
			return err
		}
		return e.seesHost(list, "--base", "bookworm", hostsImage(n))
	}
}

// seesHost makes sure that an app finds the last of the files that its images lack: what starts without them is no
// measure of anything.
func (e *env) seesHost(list []string, images ...string) error {
	for i := len(list) - 1; i >= 0; i-- {
		if _, err := os.Lstat(filepath.Join(e.rootfs(), list[i])); err != nil {
			see := append(images, "/bin/sh", "-c", `[ -e "$1" ] || [ -L "$1" ]`, "sh", "/"+list[i])
			return e.quiet(e.ours(e.binary("flake-run"), see...))
		}
	}
	return nil
}

func prepareCopying(n int) func(*env) error {
	return both(both(needs("rsync"), preparePodman), func(e *env) error {
		list, err := manifest(n)
		if err != nil {
			return err
		}
		archive, err := e.delta(hostsImage(n), removed(list))
		if err != nil {
			return err
		}
		return e.quiet(e.podman("load", "-q", "-i", archive))
	})
}

func copying(e *env, n int) *exec.Cmd {
	podman := e.podman()
	args := append([]string{"-c", copySequence, "sh", podmanBase, "docker.io/library/" + hostsImage(n) + ":latest"}, podman.Args...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env = append(podman.Env, "LIMITS="+strings.Join(podmanLimits(), " "))
	return cmd
}
