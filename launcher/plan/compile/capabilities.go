package compile

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
)

// capabilities are those of the bounding set, and those that somebody who is not root has of them: what the flake adds.
// Never nil.
func (c *Compiler) capabilities(f *flake.Flake) (bounding, added []string, err error) {
	add, err := c.capNames(f.Capabilities.Add)
	if err != nil {
		return nil, nil, err
	}
	drop, err := c.capNames(f.Capabilities.Drop)
	if err != nil {
		return nil, nil, err
	}
	bounding = slices.Clone(config.DefaultCaps)
	switch {
	case f.Privileged || slices.Contains(add, allCaps):
		bounding = c.available()
	case slices.Contains(drop, allCaps):
		bounding = []string{}
	}
	added = slices.Clone(add)
	if slices.Contains(add, allCaps) {
		added = slices.Clone(bounding)
	}
	for _, name := range add {
		switch {
		case name == allCaps:
		case !slices.Contains(c.available(), name):
			return nil, nil, capError("leave it out, or run as somebody who has it", "add: you don't have %s yourself", name)
		case slices.Contains(drop, name):
			return nil, nil, capError("leave out one of the two", "%s is both added and dropped", name)
		case name == "CAP_MKNOD" && c.Caller.Root() && !f.Privileged && !slices.Contains(add, allCaps):
			return nil, nil, capError("name the devices: --device /dev/fuse", "add: with %s all devices of the host are within reach", name)
		case !slices.Contains(bounding, name):
			bounding = append(bounding, name)
		}
	}
	gone := func(name string) bool { return slices.Contains(drop, name) }
	return slices.DeleteFunc(bounding, gone), slices.DeleteFunc(added, gone), nil
}

const allCaps = "all"

// capNames brings names into the kernel's spelling.
func (c *Compiler) capNames(names []string) ([]string, error) {
	var out []string
	for _, n := range names {
		name := strings.ToUpper(n)
		if name == "ALL" {
			out = append(out, allCaps)
			continue
		}
		if !strings.HasPrefix(name, "CAP_") {
			name = "CAP_" + name
		}
		if _, ok := config.CapabilityBit(name); !ok {
			return nil, capError("see capabilities(7) for the names", "%q is not known", n)
		}
		out = append(out, name)
	}
	return out, nil
}

func capError(fix, format string, args ...any) error {
	return &flake.KeyError{Key: "capabilities", Reason: fmt.Sprintf(format, args...), Fix: fix}
}

// available are the capabilities that a start of the caller's can have: in a user namespace of his own all that the
// kernel knows, else what he has himself.
func (c *Compiler) available() []string {
	return slices.DeleteFunc(config.Capabilities(), func(name string) bool {
		bit, _ := config.CapabilityBit(name)
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(bit), 0, 0, 0)
		return err != nil || has == 0 && c.Caller.Root()
	})
}
