package ctl

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/option"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/pull"
)

type registerCmd struct {
	App       string   `placeholder:"PATH" help:"The command on the host: a link is made there."`
	Container string   `required:"" placeholder:"IMAGE" help:"The app's own image."`
	Base      string   `placeholder:"IMAGE" help:"The image below it."`
	Layer     []string `sep:"none" placeholder:"IMAGE" help:"An image between base and app; may be repeated, lowest first."`
	Target    *string  `placeholder:"PATH" help:"The command inside (default: that of --app); / is the image's own entrypoint."`
	Force     bool     `help:"Replace a registration, or a file in the way (which is kept)."`
	Pull      bool     `help:"Pull images that are not stored."`
	Info      bool     `help:"Print what the image says about itself (/NAME.yaml) and register nothing."`

	Export bool `help:"Put the man pages and completions that the image has for the command on the host too; remove takes them away. Completions are code that your shell runs."`

	CheckHostDependencies bool `aliases:"check_host_dependencies" help:"Link the host files that the image asks for though it has no base."`

	Resume bool `help:"Keep the container: further calls run in it, and what they write stays (see reset)."`
	Attach bool `help:"Keep the container and its app in a terminal of its own: a further call comes back to it."`

	option.Common
}

func (registerCmd) Help() string {
	return `Example:

  flake-ctl register --container aws --base basepython --app /usr/local/bin/aws --target /usr/bin/aws
  flake-ctl register --container alpine --app /usr/local/bin/alpine-sh --target / --pull
  flake-ctl register --container joe --app /usr/local/bin/joe --opt "--volume %HOME:%HOME" --opt "--net host"

--opt takes the options of podman create that flake-pilot's registrations have; the README has a table of them.`
}

func (c *registerCmd) flake() *flake.Flake {
	target := filepath.Clean(c.App)
	if c.Target != nil {
		target = *c.Target
	}
	f := &flake.Flake{}
	f.Container = flake.Container{
		Name: c.Container, BaseContainer: c.Base, Layers: c.Layer, HostAppPath: c.App, TargetAppPath: target,
		CheckHostDependencies: c.CheckHostDependencies,
	}
	f.Container.Runtime.Resume, f.Container.Runtime.Attach = c.Resume, c.Attach
	describe(c.Common, f)
	return f
}

// Run registers, or with --info prints.
func (c *registerCmd) Run(ctx context.Context, s *session) error {
	if c.Resume && c.Attach {
		return usageError{errors.New("--resume and --attach exclude each other")}
	}
	if len(c.Layer) > 0 && c.Base == "" {
		return usageError{errors.New("--layer needs a --base")}
	}
	if c.Target != nil && *c.Target != "" && !filepath.IsAbs(*c.Target) {
		return usageError{fmt.Errorf("--target %s: not an absolute path", *c.Target)}
	}
	if err := c.Absolute(); err != nil {
		return usageError{err}
	}
	if c.App == "" && !c.Info {
		return usageError{errors.New("--app is wanted")}
	}
	store, err := s.store(true)
	if err != nil {
		return err
	}
	cat, err := s.catalog(store)
	if err != nil {
		return err
	}
	if c.Pull {
		cat.Compiler.Fetch = s.fetch(store)
	}
	if c.Info {
		b, err := cat.Compiler.Info(ctx, c.Container)
		if err != nil {
			return err
		}
		_, err = s.Out.Write(b)
		return err
	}
	cat.Compiler.Needs = true
	f := c.flake()
	if f.Container.HostAppPath, err = filepath.Abs(c.App); err != nil || !filepath.IsAbs(c.App) {
		return &catalog.PathError{Path: c.App, Reason: "not an absolute path", Fix: "give the full path of the command on the host"}
	}
	res, err := cat.Register(ctx, f, catalog.Options{Force: c.Force, Export: c.Export})
	if err != nil {
		return err
	}
	s.registered(f, res.Result)
	if c.Export {
		s.exported(res.Exported)
	}
	return nil
}

// registered tells what came of it, in two lines on stderr: stdout stays empty, as flake-pilot's does.
func (s *session) registered(f *flake.Flake, res *compile.Result) {
	what := f.Container.TargetAppPath
	if f.OwnEntrypoint() {
		what = "the image's entrypoint"
	}
	fmt.Fprintf(s.Err, "registered %s: %s of %s\n", f.Container.HostAppPath, what, f.Container.Name)
	h := res.Host
	if len(h.Linked)+len(h.Skipped) > 0 {
		fmt.Fprintf(s.Err, "host files: %d linked, %d left out (noise, or not on this host)\n", len(h.Linked), len(h.Skipped))
	}
	if gone := h.MissingPackages(); len(gone) > 0 {
		fmt.Fprintf(s.Err, "warning: the host lacks packages that were asked for: %s\n", strings.Join(gone, ", "))
	}
	for _, text := range h.Libraries.Warnings() {
		fmt.Fprintf(s.Err, "warning: %s\n", text)
	}
	if n := h.Count(hostlink.CausePolicy); n > 0 {
		first := slices.IndexFunc(h.Skipped, func(k hostlink.Skip) bool { return k.Cause == hostlink.CausePolicy })
		fmt.Fprintf(s.Err, "warning: %d files are refused by the policy, for example %s: flake-ctl explain %s says why\n",
			n, printable("/"+h.Skipped[first].Path), filepath.Base(f.Container.HostAppPath))
	}
	if n := len(h.Unreadable); n > 0 {
		fmt.Fprintf(s.Err, "warning: %d files of the host are not yours to read, nor the app's: for example %s\n", n, h.Unreadable[0])
	}
	if n := len(h.Dangling); n > 0 {
		d := h.Dangling[0]
		fmt.Fprintf(s.Err, "warning: %d links of the host lead to files that the app's root lacks, for example %s to %s\n", n, d.Path, d.Missing)
	}
}

func (s *session) exported(files []string) {
	if len(files) == 0 {
		fmt.Fprintln(s.Err, "warning: nothing to export: the image has no man page and no completion for this command")
		return
	}
	fmt.Fprintf(s.Err, "exported: %d files, for example %s\n", len(files), files[0])
}

// fetch gets a missing image as flake-ctl pull would.
func (s *session) fetch(store *rootfs.Store) func(context.Context, string) (*rootfs.Image, error) {
	return func(ctx context.Context, name string) (*rootfs.Image, error) {
		return s.watched(stall, func(opt pull.Options) (*rootfs.Image, error) { return pull.Pull(ctx, store, name, opt) })
	}
}

type listCmd struct {
	Format string `enum:"table,json,csv" default:"table" help:"table, json or csv."`
}

func (listCmd) Help() string { return "Example:\n\n  flake-ctl list\n  flake-ctl list --format json" }

// listRow has flake-pilot's keys; what can't be read is null.
type listRow struct {
	Name   string  `json:"name"`
	Engine string  `json:"engine"`
	Target *string `json:"target_app_path"`
	Host   *string `json:"host_app_path"`
	Config string  `json:"config"`
}

var listHead = []string{"NAME", "ENGINE", "TARGET", "HOST PATH", "CONFIG"}

func (c listCmd) Run(s *session) error {
	cat := &catalog.Catalog{Searched: plan.SearchDirs(s.getenv)}
	items, err := cat.List()
	if err != nil {
		return err
	}
	rows, records := [][]string{}, []listRow{}
	for _, i := range items {
		if i.Shadowed {
			continue
		}
		r := listRow{Name: i.Name, Engine: "flake-launcher", Config: i.File}
		row := []string{i.Name, r.Engine, "", "", i.File}
		if i.Flake != nil {
			r.Target, r.Host = &i.Flake.Container.TargetAppPath, &i.Flake.Container.HostAppPath
			row[2], row[3] = *r.Target, *r.Host
		} else {
			fmt.Fprintf(s.Err, "flake-ctl: warning: %v\n", i.Err)
		}
		if c.Format == "table" {
			for n := range row {
				if row[n] == "" {
					row[n] = "-"
				}
			}
		}
		rows, records = append(rows, row), append(records, r)
	}
	return printRows(s.Out, c.Format, listHead, rows, records)
}
