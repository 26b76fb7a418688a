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

// libraries adds to what was resolved the libraries and interpreters that files of host packages need and the images lack.
func (c *Compiler) libraries(out *hostFiles, req Request, images []rootfs.Stored, ask hostlink.Request, res *hostlink.Plan, view *rootfs.View) (*hostlink.Plan, error) {
	files := ofPackages(res.Linked)
	if len(files) == 0 || req.Flake.HostFiles.Deps == DepsFiles {
		return res, nil
	}
	found, err := elflink.Link(elflink.Request{
		Image: view, Host: ask.Host, Linked: res, Files: files, Path: searchPath(req, images),
		Provided: ask.Provided, Keep: ask.Keep, Drop: ask.Drop,
	})
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

// ofPackages are the places of files of packages that the flake names.
func ofPackages(linked []hostlink.Linked) []string {
	var out []string
	for _, l := range linked {
		if l.From == hostlink.SourcePackage && l.Kind == hostlink.KindFile {
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
