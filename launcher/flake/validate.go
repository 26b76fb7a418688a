package flake

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"

	"go.yaml.in/yaml/v3"
)

// MaxName is the longest flake name: it is one component of a path, with ".yaml" behind it.
const MaxName = 200

// template is the name of flake-pilot's pattern for new registrations, which lies among them in /etc/flakes.
const template = "container-flake"

// NameError says why a flake can't be called so.
type NameError struct{ Name, Reason string }

func (e *NameError) Error() string { return fmt.Sprintf("flake name %q: %s", e.Name, e.Reason) }

// Remedy implements the CLI's second line.
func (e *NameError) Remedy() string { return "give the link that it is called by another name" }

// CheckName refuses a flake name that could not be one component of a path, with a *NameError.
func CheckName(name string) error {
	if name == template {
		return &NameError{name, "flake-pilot's template has it"}
	}
	if name == "" || name == "." || name == ".." || len(name) > MaxName || strings.ContainsAny(name, "/\x00\n") || strings.HasPrefix(name, ".") {
		return &NameError{name, fmt.Sprintf("not a plain file name of at most %d characters", MaxName)}
	}
	return nil
}

// validate checks what the types can't say. The node is only used to tell the line.
func (f *Flake) validate(file string, top *yaml.Node) error {
	fail := func(msg string, keys ...string) error {
		line, n := 0, top
		for _, k := range keys {
			if next := lookup(n, k); next != nil {
				n, line = next, next.Line
			}
		}
		return &SyntaxError{File: file, Line: line, Msg: msg}
	}
	c := &f.Container
	switch {
	case c.Name == "":
		return fail("container.name is missing", "container")
	case len(c.Layers) > 0 && c.BaseContainer == "":
		return fail("container.layers need a container.base_container", "container", "layers")
	case c.HostAppPath != "" && !path.IsAbs(c.HostAppPath):
		return fail("container.host_app_path must be absolute", "container", "host_app_path")
	case c.TargetAppPath != "" && !path.IsAbs(c.TargetAppPath):
		return fail("container.target_app_path must be absolute", "container", "target_app_path")
	case c.Runtime.Resume && c.Runtime.Attach:
		return fail("resume and attach exclude each other", "container", "runtime", "attach")
	}
	switch c.Runtime.RunAs {
	case "", "root":
	default:
		return fail(fmt.Sprintf("container.runtime.runas is %q; only root is known, leave it out for the caller", c.Runtime.RunAs), "container", "runtime", "runas")
	}
	if key, msg := (Defaults{Writable: f.Writable, Engine: f.Engine, IDs: f.IDs}).wrong(); key != "" {
		return fail(msg, key)
	}
	switch f.Profile {
	case "", "native", "project", "isolated":
	default:
		return fail(fmt.Sprintf("profile is %q, not native, project or isolated", f.Profile), "profile")
	}
	switch f.Network {
	case "", "host", "none":
	default:
		return fail(fmt.Sprintf("network is %q, not host or none", f.Network), "network")
	}
	switch f.HostFiles.Deps {
	case "", "files", "libs", "packages":
	default:
		return fail(fmt.Sprintf("host_files.deps is %q, not files, libs or packages", f.HostFiles.Deps), "host_files", "deps")
	}
	for _, name := range f.HostSystem {
		if !isPackage(name) {
			return fail(fmt.Sprintf("hostsystem: %q is no name of a package", name), "hostsystem")
		}
	}
	switch f.HostFiles.Freshness {
	case "", "default", "strict":
	default:
		return fail(fmt.Sprintf("host_files.freshness is %q, not default or strict", f.HostFiles.Freshness), "host_files", "freshness")
	}
	switch f.HostFiles.Strategy {
	case "", "bind", "layer":
	default:
		return fail(fmt.Sprintf("host_files.strategy is %q, not bind or layer", f.HostFiles.Strategy), "host_files", "strategy")
	}
	for key, paths := range map[string][]string{"tar": f.Include.Tar, "path": f.Include.Path} {
		for _, p := range paths {
			if !path.IsAbs(p) {
				return fail(fmt.Sprintf("include.%s: %q is not an absolute path", key, p), "include", key)
			}
		}
	}
	return f.validateOptions(fail)
}

// validateOptions is about podman's options and the keys that they stand for.
func (f *Flake) validateOptions(fail func(msg string, keys ...string) error) error {
	_, err := Effective(f)
	var ke *KeyError
	if !errors.As(err, &ke) {
		return err
	}
	keys := strings.Split(ke.Key, ".")
	if strings.HasPrefix(ke.Key, "option ") {
		keys = []string{"container", "runtime", "podman"}
	}
	err = fail(ke.Error(), keys...)
	var se *SyntaxError
	if errors.As(err, &se) {
		se.Fix = ke.Fix
	}
	return err
}

// isPackage takes what names of packages are made of, an architecture behind a colon or a dot included.
func isPackage(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	return name != "" && len(name) < 256 && strings.Trim(name, letters+"+-.:") == "" && strings.Trim(name[:1], letters) == "" && !strings.Contains(name, "..")
}

// planted reports whether somebody other than root and the caller may have written the file.
func planted(st os.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return !ok || st.Mode().Perm()&0o022 != 0 || (sys.Uid != 0 && int(sys.Uid) != os.Geteuid())
}
