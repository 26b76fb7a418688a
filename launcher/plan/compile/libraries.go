package compile

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/hostlink/elflink"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

var _ elflink.Image = (*rootfs.View)(nil)

// libraries adds to what was resolved the libraries and interpreters that files of host packages need and the images
// lack. What other files of the host need is looked for in the app's root, if somebody wants to know, and reported if it is
// not there: see decisions/0001.
func (c *Compiler) libraries(out *hostFiles, req Request, images []rootfs.Stored, ask hostlink.Request, res *hostlink.Plan, view *rootfs.View) (*hostlink.Plan, error) {
	if req.Flake.HostFiles.Deps == DepsFiles {
		return res, nil
	}
	link := elflink.Request{
		Image: view, Host: ask.Host, Path: searchPath(req, images), Provided: ask.Provided, Keep: ask.Keep, Drop: ask.Drop,
	}
	var err error
	if link.Files = filesOf(res.Linked, true); len(link.Files) > 0 {
		if res, err = c.link(out, req, ask, link, res); err != nil {
			return nil, err
		}
	}
	if link.Files = filesOf(res.Linked, false); len(link.Files) > 0 && c.Needs {
		link.Linked = res
		missing, err := elflink.Lacks(link)
		if err != nil {
			return nil, fmt.Errorf("look for libraries of %q: %w", req.Name, err)
		}
		out.report.Libraries.Missing = append(out.report.Libraries.Missing, missing...)
	}
	return res, nil
}

// link resolves anew with what the files need.
func (c *Compiler) link(out *hostFiles, req Request, ask hostlink.Request, link elflink.Request, res *hostlink.Plan) (*hostlink.Plan, error) {
	link.Linked = res
	found, err := elflink.Link(link)
	if err != nil {
		return nil, fmt.Errorf("resolve libraries of %q: %w", req.Name, err)
	}
	out.report.Libraries = found.Report
	if len(found.Sources) > 0 {
		ask.Sources = append(slices.Clip(ask.Sources), found.Sources...)
		if res, err = hostlink.Resolve(ask); err != nil {
			return nil, fmt.Errorf("resolve host files of %q: %w", req.Name, err)
		}
	}
	found.AddNodes(res)
	return res, nil
}

// filesOf are the places of files, of packages that the flake names or of what images ask for.
func filesOf(linked []hostlink.Linked, packages bool) []string {
	var out []string
	for _, l := range linked {
		if l.Kind == hostlink.KindFile && l.From != hostlink.SourceLibrary && packages == (l.From == hostlink.SourcePackage) {
			out = append(out, l.Target)
		}
	}
	return out
}

// searchPath is the app's PATH as far as it is known now; nil if nobody says.
func searchPath(req Request, images []rootfs.Stored) []string {
	text := req.Flake.Env.Set["PATH"]
	if strings.Contains(text, "%") { // a variable of the caller
		text = ""
	}
	for _, v := range mergeConfigs(images).env {
		if value, ok := strings.CutPrefix(v, "PATH="); ok && text == "" {
			text = value
		}
	}
	var out []string
	for _, dir := range filepath.SplitList(text) {
		if filepath.IsAbs(dir) {
			out = append(out, dir)
		}
	}
	return out
}
