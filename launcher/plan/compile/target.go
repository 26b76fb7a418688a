package compile

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// checkTarget refuses a command that can't be started, as far as that can be known beforehand: an absolute
// path that neither the images nor the host links have, that is a directory or not executable, or that is the
// launcher itself.
func (c *Compiler) checkTarget(p *plan.Plan, req Request, view *rootfs.View, host *hostFiles) error {
	argv := append(append([]string(nil), p.Entrypoint...), p.Cmd...)
	if req.AdHoc {
		return nil
	}
	target := argv[0]
	if !path.IsAbs(target) {
		return nil // looked up in PATH by the container's init
	}
	fail := func(reason, fix string) error {
		_, statErr := view.Stat(target)
		return &TargetError{Flake: req.Name, Target: target, Reason: reason, Fix: fix, Missing: errors.Is(statErr, fs.ErrNotExist)}
	}
	if src := host.source(view, target); src != "" {
		real, err := filepath.EvalSymlinks(src)
		if err == nil && c.Launcher != "" && real == c.Launcher {
			return fail("is the launcher itself: the flake would start itself for ever", "name the program inside the image with --target")
		}
		return nil
	}
	st, err := view.Stat(target)
	if err != nil {
		return fail("is not in the images", fmt.Sprintf("name a program of the images: --target PATH (looked for in %d images)", len(req.Images)))
	}
	if st.IsDir() {
		return fail("is a directory", "name a program with --target PATH")
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o111 == 0 {
		return fail("is not executable", "name a program with --target PATH")
	}
	return nil
}
