package compile

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// impliedParents gives back to directories what the images of the stack below say of them. Layers as ko, jib and
// kaniko make them name lib/x without lib; alone in its image such a layer was unpacked with a default mode, which
// would cover that of the base: /tmp would be closed. A base with a symlink in that place is refused: the layer's
// directory would hide it.
func impliedParents(images []rootfs.Stored, above *included, layers []string, view *rootfs.View) ([]hostlink.Node, error) {
	var out []hostlink.Node
	for n := 1; n < len(images); n++ {
		implied, dirs := impliedOf(images[n])
		if len(implied) == 0 {
			continue
		}
		below, err := rootfs.TrimOpaque(unique(stackDirs(images[:n])))
		if err != nil {
			return nil, fmt.Errorf("open layers: %w", err)
		}
		nodes, err := restore(implied, dirs, above, below, layers, view)
		var link *linkBelow
		if errors.As(err, &link) {
			return nil, &StackError{
				Flake:  displayName(images[n]),
				Reason: fmt.Sprintf("the image has files below %s but does not name it, and %s is a symlink in the images below", link.path, link.path),
				Fix:    "build the image on top of its base, or with the parents of its files in its layers",
			}
		}
		if err != nil {
			return nil, err
		}
		out = append(out, nodes...)
	}
	return out, nil
}

type linkBelow struct{ path string }

func (l *linkBelow) Error() string { return l.path + " is a symlink below" }

// impliedOf lists the directories that layers of the image hold without naming them, and where those layers lie.
func impliedOf(img rootfs.Stored) (implied, dirs []string) {
	for _, l := range img.Layers {
		if len(l.Implied) > 0 {
			implied = append(implied, l.Implied...)
			dirs = append(dirs, img.Store.LayerParts(l.ID)...)
		}
	}
	slices.Sort(implied) // parents first
	return slices.Compact(implied), dirs
}

func restore(implied, dirs []string, above *included, below, layers []string, view *rootfs.View) ([]hostlink.Node, error) {
	v, err := rootfs.NewView(below)
	if err != nil {
		return nil, fmt.Errorf("open layers: %w", err)
	}
	defer v.Close()
	var out []hostlink.Node
	for _, p := range implied {
		st, err := v.Lstat("/" + p)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look at %s: %w", p, err)
		}
		origin, err := view.Origin("/" + p)
		if err != nil || !slices.Contains(dirs, layers[origin]) && !above.implies(layers[origin], p) {
			continue // moved elsewhere, or somebody above names it
		}
		if st.Mode()&fs.ModeSymlink != 0 {
			return nil, &linkBelow{"/" + p}
		}
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && st.IsDir() {
			out = append(out, hostlink.Node{
				Path: "/" + p, Kind: hostlink.KindDir, Mode: sys.Mode & 0o7777, UID: int(sys.Uid), GID: int(sys.Gid),
			})
		}
	}
	return out, nil
}

func displayName(img rootfs.Stored) string {
	if len(img.Names) > 0 {
		return img.Names[0]
	}
	return img.Digest.String()
}
