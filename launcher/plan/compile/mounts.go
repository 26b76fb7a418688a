package compile

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// mounts adds the flake's own mounts and devices, over what its profile shares. All are made at the start, a tmpfs, too:
// it may lie in a directory that is shared.
func (c *Compiler) mounts(p *plan.Plan, f *flake.Flake) error {
	for _, m := range f.Mounts {
		b := plan.Bind{Source: cleaned(m.Source), Target: cleaned(m.Target), ReadOnly: m.ReadOnly, Optional: m.Optional, Devices: m.Devices}
		if m.Type == "tmpfs" {
			var err error
			if b.Tmpfs, err = tmpfsOptions(m); err != nil {
				return err
			}
			b.Source, b.NoExec = "", m.NoExec
		}
		p.Binds = append(p.Binds, b)
	}
	if f.Privileged {
		if err := c.allDevices(p); err != nil {
			return err
		}
	}
	for _, d := range f.Devices {
		source, target, err := flake.ParseDevice(d)
		if err != nil {
			return err
		}
		if err := c.checkDevice(source); err != nil {
			return err
		}
		p.Binds = append(p.Binds, plan.Bind{Source: cleaned(source), Target: cleaned(target), Devices: true})
	}
	return nil
}

// cleaned leaves a path with variables as it is: what they hold may be anything.
func cleaned(p string) string {
	if p == "" || flake.HasVariable(p) {
		return p
	}
	return path.Clean(p)
}

func tmpfsOptions(m flake.Mount) (string, error) {
	mode := uint32(0o1777)
	var err error
	if m.Mode != "" {
		if mode, err = flake.ParseMode(m.Mode); err != nil {
			return "", err
		}
	}
	options := fmt.Sprintf("mode=%#o", mode)
	if m.Size == "" {
		return options, nil
	}
	size, err := flake.ParseSize(m.Size)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s,size=%d", options, size), nil
}

// checkDevice refuses what is there and no device; what is not there may come.
func (c *Compiler) checkDevice(source string) error {
	st, err := os.Stat(filepath.Join(c.HostRoot, source))
	if err != nil || flake.HasVariable(source) || st.IsDir() || st.Mode()&fs.ModeDevice != 0 {
		return nil
	}
	return &flake.KeyError{Key: "devices", Reason: source + " is no device", Fix: "name a device, or use --volume"}
}

// elsewhere are entries of /dev that the container has of its own, or that are no devices.
var elsewhere = []string{"pts", "shm", "mqueue", "hugepages", "fd", "ptmx", "console", "null", "zero", "full", "random", "urandom", "tty"}

// allDevices adds all devices of the host. The plan is made again when there are others.
func (c *Compiler) allDevices(p *plan.Plan) error {
	top := filepath.Join(c.HostRoot, "/dev")
	return filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone, or not ours to look at
		}
		if filepath.Dir(file) == top && slices.Contains(elsewhere, d.Name()) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			p.Checks = append(p.Checks, plan.NewCheck(file))
		}
		if d.Type()&fs.ModeDevice != 0 {
			p.Binds = append(p.Binds, plan.Bind{Source: file, Target: file, Optional: true, Devices: true})
		}
		return nil
	})
}
