package engine

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
	"github.com/opencontainers/runc/libcontainer/configs"
)

// LimitError says that the app could not be put under its limits.
type LimitError struct{ Err error }

func (e *LimitError) Error() string { return fmt.Sprintf("limit the app: %v", e.Err) }

// Unwrap gives the cause.
func (e *LimitError) Unwrap() error { return e.Err }

// Remedy tells the user what to do about it.
func (e *LimitError) Remedy() string {
	var missing *missingControllers
	if !errors.As(e.Err, &missing) {
		return "run where root can make cgroups with the memory, cpu and pids controllers, or leave the limits out"
	}
	if missing.off {
		return "have the kernel or the cgroups above give it (some boards need cgroup_enable=memory on the kernel's command line), or leave the limit out"
	}
	return "move the processes that are in that cgroup itself to one below it, start from elsewhere (systemd-run --scope), or leave the limits out"
}

// missingControllers says that a cgroup of version 2 does not give controllers on to those below it.
type missingControllers struct {
	cgroup string
	names  []string
	off    bool // it does not even have these itself
}

func (e *missingControllers) Error() string {
	if e.off {
		return fmt.Sprintf("cgroup %q lacks controllers that the limits take: %s", e.cgroup, strings.Join(e.names, ", "))
	}
	return fmt.Sprintf("cgroup %q has processes of its own, and so can't give on the controllers that the limits take: %s", e.cgroup, strings.Join(e.names, ", "))
}

// limitError is the one for a start that failed for want of a cgroup, nil if that was not it. What libcontainer says is a
// file's name.
func limitError(err error, c *configs.Config, paths map[string]string) error {
	if !limited(c) || !strings.Contains(err.Error(), "cgroup") && !strings.Contains(err.Error(), "limit") {
		return nil
	}
	if leaf, ok := paths[""]; ok && leaf != noCgroup {
		if missing := missingAbove(filepath.Dir(leaf), c.Cgroups.Resources); missing != nil {
			return &LimitError{missing}
		}
	}
	return &LimitError{err}
}

func missingAbove(dir string, r *cgroups.Resources) error {
	given, err := controllers(filepath.Join(dir, "cgroup.subtree_control"))
	if err != nil {
		return nil
	}
	has, err := controllers(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return nil
	}
	e, off := &missingControllers{cgroup: dir}, &missingControllers{cgroup: dir, off: true}
	for _, want := range []struct {
		name   string
		wanted bool
	}{{"cpu", r.CpuQuota != 0}, {"memory", r.Memory != 0}, {"pids", r.PidsLimit != nil}} {
		if want.wanted && !slices.Contains(given, want.name) {
			e.names = append(e.names, want.name)
		}
		if want.wanted && !slices.Contains(has, want.name) {
			off.names = append(off.names, want.name)
		}
	}
	switch {
	case len(off.names) > 0:
		return off
	case len(e.names) > 0:
		return e
	}
	return nil
}

func controllers(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	return strings.Fields(string(text)), err
}

// leafPrefix begins the name of a cgroup of ours, which nobody else's has.
const leafPrefix = "flake-launcher-"

// leaf gives the paths of a cgroup that is not there yet, for a description that does not name one: below the caller's
// own (version 1) or beside it (version 2, where a cgroup with processes can't have limited ones below it), so that the
// limits above the caller hold for the app as well.
func leaf(g *cgroups.Cgroup) (map[string]string, error) {
	if g.Path == "" && g.Name == "" && g.Parent == "" {
		g.Name = leafPrefix + strings.ToLower(rand.Text())
	}
	m, err := manager.New(g)
	if err != nil {
		return nil, err
	}
	return m.GetPaths(), nil
}
