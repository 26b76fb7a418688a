package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/hostlink/elflink"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// libraries looks whether all programs and libraries of the root have what they need. What is missing to a file of the
// host is a problem of the flake's. What is missing to the images' own, with nothing of the host in it, is their builder's
// affair: many ship plugins for libraries that they leave out.
func libraries(ctx context.Context, r *Report, res *compile.Result) {
	missing, linked, err := lacking(ctx, res)
	if err != nil {
		r.fail(CheckLibraries, err)
		return
	}
	var own []elflink.Missing
	for _, m := range missing {
		if !linked[m.File] && !linked[m.Has] {
			own = append(own, m)
			continue
		}
		r.add(Finding{Check: CheckLibraries, Cause: m.String(), Remedy: "name the host package that has it: hostsystem, or take an image that has it"})
	}
	if len(own) > 0 {
		r.add(Finding{
			Check: CheckLibraries, Note: true, Cause: fmt.Sprintf("%d needs within the images are not met, for example %v", len(own), own[0]),
			Remedy: "add a layer that has it, if the app uses that file",
		})
	}
}

// lacking looks at the images with all that is laid over them. linked are the places of the host's files.
func lacking(ctx context.Context, res *compile.Result) (missing []elflink.Missing, linked map[string]bool, err error) {
	var dirs []string
	for _, l := range res.Root.Layers {
		dirs = append(dirs, l.Dir)
	}
	view, err := rootfs.NewView(dirs)
	if err != nil {
		return nil, nil, fmt.Errorf("open layers: %w", err)
	}
	defer view.Close()
	over := &hostlink.Plan{Nodes: res.Root.Nodes}
	linked = map[string]bool{}
	for _, l := range res.Host.Linked {
		linked[l.Target] = true
		if l.Kind != hostlink.KindSymlink && l.Kind != hostlink.KindDir {
			over.Links = append(over.Links, hostlink.Link{Source: l.Source, Target: l.Target, Kind: l.Kind})
		}
	}
	missing, err = elflink.Check(ctx, elflink.Request{Image: readable{view}, Linked: over})
	return missing, linked, err
}

// readable are the images as somebody sees them who is not root: what he can't look into, his app can't either.
type readable struct{ *rootfs.View }

var _ elflink.Image = readable{}

// ReadDir takes a directory that is closed to the caller for an empty one.
func (r readable) ReadDir(path string) ([]fs.DirEntry, error) {
	list, err := r.View.ReadDir(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil, nil
	}
	return list, err
}
