package compile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// basics are files of the host that every app gets, as copies of its own: they say how to reach others, what time it is,
// and on which machine. A host without one goes without.
var basics = []string{"/etc/resolv.conf", "/etc/hosts", "/etc/localtime", machineID}

const machineID = "/etc/machine-id"

// provided are the basics that no manifest needs to name.
func provided() []string { return basics[:2] }

// basics plans them. One that is a symlink into a directory of /run is followed by itself: that directory is bound, since
// its owner replaces files in it (a resolver after a change of networks).
func (c *Compiler) basics(p *plan.Plan, prof caller.Profile, host *hostFiles, view *rootfs.View) error {
	for _, path := range basics {
		if path == machineID && !prof.MachineID {
			continue
		}
		real, checks := followHost(filepath.Join(c.HostRoot, path))
		host.checks = append(host.checks, checks...)
		if real == "" {
			continue
		}
		target, err := view.Resolve(path)
		if err != nil {
			return fmt.Errorf("find %s in the image: %w", path, err)
		}
		if dir := filepath.Dir(real); strings.HasPrefix(dir, "/run/") {
			text, err := os.Readlink(filepath.Join(c.HostRoot, path))
			if err == nil {
				host.nodes = append(host.nodes, hostlink.Node{Path: target, Kind: hostlink.KindSymlink, Mode: 0o777, Target: text})
				p.Followed = append(p.Followed, plan.Symlink{Path: target, Text: text})
				p.Binds = append(p.Binds, plan.Bind{Source: dir, Target: dir, ReadOnly: true, Optional: true})
				continue
			}
		}
		if st, err := view.Lstat(target); err == nil && st.IsDir() {
			continue // the image's own affair
		}
		p.Copies = append(p.Copies, plan.Copy{Source: real, Target: target, Mode: 0o644})
	}
	return nil
}

// followHost follows a file of the host through its symlinks, in its last component, to where it really is, and
// fingerprints the directories on whose content the answer depends, each before it looks into it. It returns "" for a file that is not there, which may
// change at any time: early at boot a resolv.conf leads nowhere yet.
func followHost(path string) (real string, dirs []plan.Check) {
	for range 40 { // as many links as the kernel follows
		above := plan.NewCheck(filepath.Dir(filepath.Dir(path)))
		dirs = append(dirs, plan.NewCheck(filepath.Dir(path)))
		st, err := os.Lstat(path)
		if err != nil {
			return "", append(dirs, above)
		}
		if st.Mode()&fs.ModeSymlink == 0 {
			real, err = filepath.EvalSymlinks(path) // directories on the way
			if err != nil {
				return "", dirs
			}
			return real, dirs
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", dirs
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return "", dirs
}
