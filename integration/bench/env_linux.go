package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/image"
)

// env is what the subjects share: one scratch directory, one store of ours, one registry.
type env struct {
	module, bin string
	dir         string // everything is below it; removed at the end
	links       string
	serial      atomic.Int64

	pushed      string // reference of the image in the registry
	pushedSizes []int64

	done  map[string]error
	reals map[string]*image.Real
	stops []func()
}

func newEnv(module, bin string) (*env, error) {
	dir, err := os.MkdirTemp("", "flake-bench-")
	if err != nil {
		return nil, err
	}
	e := &env{
		module: module, bin: bin, dir: dir, links: filepath.Join(dir, "links"),
		done: map[string]error{}, reals: map[string]*image.Real{},
	}
	hybrid()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(e.links, 0o755)); err != nil {
		return nil, err
	}
	for _, b := range []string{"flake-ctl", "flake-run", "flake-launcher"} {
		if _, err := os.Stat(e.binary(b)); err != nil {
			return e, fmt.Errorf("no %s in %s: run `make build` first", b, bin)
		}
	}
	return e, nil
}

// close removes everything, mounts of others' stores included.
func (e *env) close() {
	for _, stop := range e.stops {
		stop()
	}
	text, _ := os.ReadFile("/proc/self/mounts")
	lines := strings.Split(string(text), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if f := strings.Fields(lines[i]); len(f) > 1 && strings.HasPrefix(f[1], e.dir+"/") {
			_ = unix.Unmount(f[1], unix.MNT_DETACH)
		}
	}
	if err := os.RemoveAll(e.dir); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
}

func (e *env) binary(name string) string  { return filepath.Join(e.bin, name) }
func (e *env) scratch(name string) string { return filepath.Join(e.dir, name) }
func (e *env) link(name string) string    { return filepath.Join(e.links, name) }

// once does the work at its first call and returns its outcome at each.
func (e *env) once(key string, work func() error) error {
	if err, ok := e.done[key]; ok {
		return err
	}
	e.done[key] = work()
	return e.done[key]
}

// wipe removes a scratch directory and waits until the disk is at rest again, so that no subject
// pays for another's writes.
func (e *env) wipe(name string) error {
	err := os.RemoveAll(e.scratch(name))
	unix.Sync()
	return err
}

func (e *env) real(name string) (*image.Real, error) {
	if r, ok := e.reals[name]; ok {
		return r, nil
	}
	r, err := image.OpenReal(e.module, name)
	if err == nil {
		e.reals[name] = r
	}
	return r, err
}

// rootfs is the plain tree of the base.
func (e *env) rootfs() string { return filepath.Join(e.reals["bookworm"].Dir, "rootfs") }

// ours is a command in the environment of the throw-away store.
func (e *env) ours(path string, args ...string) *exec.Cmd {
	return e.with("FLAKES_ROOT="+e.scratch("flakes"), path, args...)
}

func (e *env) with(variable, path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	// What is asked of starts by variables of ours, by whom this was called, is not what is to be measured.
	others := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "FLAKE_") })
	cmd.Env = append(others, variable, "CONTAINERS_REGISTRIES_CONF="+e.scratch("registries.conf"))
	return cmd
}

// quiet runs a preparation, whose words matter only if it goes wrong.
func (e *env) quiet(cmd *exec.Cmd) error { return e.quietIn(privateThread, cmd) }

// quietIn is quiet on such a thread as the subject's.
func (e *env) quietIn(on thread, cmd *exec.Cmd) error {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	var err error
	if broken := on.run(e, func() { err = cmd.Run() }); broken != nil {
		return broken
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(said.String()))
	}
	return nil
}

// podmanStore keeps podman away from the machine's own images.
func (e *env) podmanStore(name string) []string {
	dir := e.scratch(name)
	return []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"),
		"--tmpdir", filepath.Join(dir, "tmp"), "--cgroup-manager=cgroupfs", "--events-backend=file"}
}

// podman is podman over a store of its own that all scenarios share.
func (e *env) podman(args ...string) *exec.Cmd {
	return e.ours("podman", append(e.podmanStore("podman"), args...)...)
}

// register makes a flake of root's.
func (e *env) register(name, target string, options ...string) error {
	return e.quiet(e.ours(e.binary("flake-ctl"), append([]string{"register", "--app", e.link(name), "--target", target}, options...)...))
}

// bundle writes an OCI bundle for runtime: its own template, a program in the plain tree, read-only,
// with the host's network as everybody else here.
func (e *env) bundle(dir, runtime string, program []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	spec := exec.Command(runtime, "spec")
	spec.Dir = dir
	if err := e.quiet(spec); err != nil {
		return err
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("read template of %s: %w", runtime, err)
	}
	process := config["process"].(map[string]any)
	process["terminal"], process["args"] = false, program
	delete(process, "rlimits")
	config["root"] = map[string]any{"path": e.rootfs(), "readonly": true}
	linux := config["linux"].(map[string]any)
	var kept []any
	for _, ns := range linux["namespaces"].([]any) {
		if ns.(map[string]any)["type"] != "network" {
			kept = append(kept, ns)
		}
	}
	linux["namespaces"] = kept
	if text, err = json.Marshal(config); err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
