package compile

import (
	"slices"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Root is what an app's root is put together from, beside the plan: for those who explain it.
type Root struct {
	// Layers are those of images and includes, bottom first, as the plan was compiled over them.
	Layers []Layer
	// Nodes are the entries of the flake's own layer on top of them; those with content are Files, too.
	Nodes []hostlink.Node
	Files []string
}

// Where a layer comes from.
const (
	RoleBase    = "base"
	RoleLayer   = "layer"
	RoleDelta   = "delta"
	RoleImage   = "image" // of a flake that has but one
	RoleInclude = "include"
)

// Layer is one directory of a root.
type Layer struct {
	Dir string
	// Role is one of Role*; Name is the image's, as the flake has it, or the path that is included.
	Role, Name string
	// Digest is the image's; "" of an include.
	Digest string
	Store  *rootfs.Store
	ID     string
}

// describeLayers says of each directory where it comes from. What comes up twice counts where it is lowest, but for an
// include, which is taken away below.
func describeLayers(req Request, images []rootfs.Stored, includes *included, dirs []string) []Layer {
	var known []Layer
	for n, l := range includes.layers {
		for _, dir := range l.Store.LayerParts(l.ID) {
			known = append(known, Layer{Dir: dir, Role: RoleInclude, Name: includes.names[n], Store: l.Store, ID: l.ID})
		}
	}
	for n, img := range images {
		role := RoleLayer
		switch {
		case len(images) == 1:
			role = RoleImage
		case n == 0:
			role = RoleBase
		case n == len(images)-1:
			role = RoleDelta
		}
		for _, l := range img.Layers {
			for _, dir := range img.Store.LayerParts(l.ID) {
				known = append(known, Layer{Dir: dir, Role: role, Name: req.Images[n], Digest: img.Digest.String(), Store: img.Store, ID: l.ID})
			}
		}
	}
	out := make([]Layer, 0, len(dirs))
	for _, dir := range dirs {
		at := slices.IndexFunc(known, func(l Layer) bool { return l.Dir == dir })
		if at < 0 {
			out = append(out, Layer{Dir: dir, Role: RoleLayer})
			continue
		}
		out = append(out, known[at])
	}
	return out
}
