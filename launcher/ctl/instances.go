package ctl

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/instance"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

type showCmd struct {
	Format string `enum:"table,json,csv" default:"table" help:"table, json or csv."`
}

func (showCmd) Help() string {
	return `Example:

  flake-ctl show
  flake-ctl show --format json

Listed are your own kept instances. A stopped one starts with the next call of its flake, as it was left.`
}

// showRow is one instance in JSON; what is not known is null.
type showRow struct {
	Name     string  `json:"name"`
	Instance string  `json:"instance"`
	User     string  `json:"user"`
	PID      *int    `json:"pid"`
	Status   string  `json:"status"`
	Image    *string `json:"image"`
	Config   *string `json:"config"`
}

var showHead = []string{"NAME", "INSTANCE", "USER", "PID", "STATUS", "IMAGE", "CONFIG"}

// Run lists the instances.
func (c showCmd) Run(s *session) error {
	root, err := rootfs.CallersRoot()
	if err == nil {
		if err = rootfs.CheckRoot(root); errors.Is(err, rootfs.ErrNoStore) {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	entries, err := instance.List(root)
	if err != nil {
		return err
	}
	items, err := (&catalog.Catalog{Searched: plan.SearchDirs(s.getenv)}).List()
	if err != nil {
		return err
	}
	rows, records := [][]string{}, []showRow{}
	for _, e := range entries {
		if e.Err != nil {
			fmt.Fprintf(s.Err, "flake-ctl: warning: %v\n", e.Err)
		}
		r := showRow{Name: e.Flake, Instance: e.Instance, User: s.userName(), Status: e.Status}
		row := []string{r.Name, r.Instance, r.User, "", r.Status, "", ""}
		if e.PID > 0 {
			r.PID, row[3] = &e.PID, strconv.Itoa(e.PID)
		}
		r.Image, r.Config = describeInstance(e, items)
		for n, v := range []*string{r.Image, r.Config} {
			if v != nil {
				row[5+n] = *v
			}
		}
		for n := range row {
			if row[n] == "" && c.Format == "table" {
				row[n] = "-"
			}
		}
		rows, records = append(rows, row), append(records, r)
	}
	return printRows(s.Out, c.Format, showHead, rows, records)
}

func (s *session) userName() string {
	if u, err := user.LookupId(strconv.Itoa(s.euid)); err == nil {
		return u.Username
	}
	return strconv.Itoa(s.euid)
}

// describeInstance gives the app's image, by the name that the registration has for it while that is the one which runs,
// else by its digest; and the registration.
func describeInstance(e instance.Entry, items []catalog.Item) (image, config *string) {
	if e.Config != nil && len(e.Config.Digests) > 0 {
		image = &e.Config.Digests[len(e.Config.Digests)-1]
	}
	n := slices.IndexFunc(items, func(i catalog.Item) bool { return i.Name == e.Flake && !i.Shadowed })
	if n < 0 {
		return image, nil
	}
	if f := items[n].Flake; f != nil && image != nil {
		if d := f.Container.Digests[f.Container.Name]; d == *image || d == "" {
			image = &f.Container.Name
		}
	}
	return image, &items[n].File
}

type resetCmd struct {
	Name  string `arg:"" name:"name" help:"NAME, or NAME@INSTANCE."`
	All   bool   `help:"All instances of the flake."`
	Quiet bool   `short:"q" help:"Say nothing when it worked."`
}

func (resetCmd) Help() string {
	return `Example:

  flake-ctl reset aws
  flake-ctl reset aws@work
  flake-ctl reset --all aws

What runs in the instance is killed, and what was written in it is removed. The next call begins anew.`
}

// Run resets one instance, or all of a flake.
func (c resetCmd) Run(s *session) error {
	if _, inst, ok := strings.Cut(c.Name, "@"); ok && !c.All {
		if err := instance.CheckName(inst); err != nil {
			return err
		}
	}
	store, err := s.store(false)
	if errors.Is(err, rootfs.ErrNoStore) {
		return &instance.NotFoundError{Name: c.Name}
	}
	if err != nil {
		return err
	}
	names, err := instance.Find(store.Root(), c.Name, c.All)
	if err != nil {
		return err
	}
	return s.reset(store, names, c.Quiet)
}

// reset resets one after the other; one that can't be does not keep the others.
func (s *session) reset(store *rootfs.Store, names []instance.Name, quiet bool) error {
	var errs []error
	for _, n := range names {
		if err := instance.Reset(store, n); err != nil {
			errs = append(errs, err)
		} else if !quiet {
			fmt.Fprintf(s.Err, "reset %s\n", n)
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// resetFlake resets all instances of a flake, if there are any.
func (s *session) resetFlake(store *rootfs.Store, name string) error {
	entries, err := instance.List(store.Root())
	if err != nil {
		return err
	}
	var names []instance.Name
	for _, e := range entries {
		if e.Flake == name { // by that alone: NAME@X could be a flake
			names = append(names, e.Name)
		}
	}
	return s.reset(store, names, false)
}

// resetImage resets the instances that were made from an image.
func (s *session) resetImage(store *rootfs.Store, digest string) error {
	entries, err := instance.List(store.Root())
	if err != nil {
		return err
	}
	var names []instance.Name
	for _, e := range entries {
		if e.Config != nil && slices.Contains(e.Config.Digests, digest) {
			names = append(names, e.Name)
		}
	}
	return s.reset(store, names, false)
}

// orphans are instances of flakes that are registered no more. What runs is left alone: somebody may be at work in it.
func orphans(root string) ([]instance.Name, error) {
	entries, err := instance.List(root)
	if err != nil {
		return nil, err
	}
	var out []instance.Name
	for _, e := range entries {
		if e.Status != instance.StatusStopped || e.Config == nil || len(e.Config.Searched) == 0 {
			continue
		}
		var gone *flake.NotFoundError
		if _, err := flake.Find(e.Config.Searched, e.Flake); errors.As(err, &gone) {
			out = append(out, e.Name)
		}
	}
	return out, nil
}

// sweepInstances removes the instances of flakes that are gone.
func (s *session) sweepInstances(store *rootfs.Store, dry bool) error {
	names, err := orphans(store.Root())
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range names {
		verb := "would delete"
		if !dry {
			verb = "deleted"
			if err := instance.Reset(store, n); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		fmt.Fprintf(s.Out, "%s kept instance %s\n", verb, n)
	}
	return errors.Join(errs...)
}

// podmanResetCmd takes --app and --instance instead of an argument.
type podmanResetCmd struct {
	App      string `required:"" placeholder:"PATH"`
	Instance string `placeholder:"NAME"`
}

// Run resets as resetCmd does.
func (c podmanResetCmd) Run(_ context.Context, s *session) error {
	n := instance.Name{Flake: c.App[strings.LastIndexByte(c.App, '/')+1:], Instance: c.Instance}
	return resetCmd{Name: n.String()}.Run(s)
}
