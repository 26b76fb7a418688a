package ctl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher"
	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/early"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/selftest"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

type selftestCmd struct {
	App    string `arg:"" help:"The flake, by name or by the path of its link."`
	Quick  bool   `help:"Leave out exit statuses and signals, which take over 300 starts."`
	Format string `enum:"table,json" default:"table" help:"table or json."`
}

func (selftestCmd) Help() string {
	return `Example:

  flake-ctl selftest aws
  flake-ctl selftest --quick --format json aws

A small program is run natively and in the place of the flake's app, and what it finds is compared: exit statuses and
signals, descriptors and terminals, directory, environment, limits, identity, names of hosts, time zone. What the flake's
profile makes different on purpose is marked as expected, with the reason. Anything else, also what an option of the flake
asks for, is marked DIFFERS, and the exit status is 1.`
}

// DifferError says that a flake differs from a native program.
type DifferError struct {
	App    string
	Fields []string
}

func (e *DifferError) Error() string {
	return fmt.Sprintf("selftest of %s: not as a native program: %s", e.App, strings.Join(e.Fields, ", "))
}

// Remedy implements the CLI's second line.
func (e *DifferError) Remedy() string {
	return "look for an option of the flake that asks for it; where there is none it is a fault of flake-launcher"
}

// Run compares, prints, and fails if there is a difference that is not expected.
func (c selftestCmd) Run(ctx context.Context, s *session) error {
	store, err := s.store(true)
	if err != nil {
		return err
	}
	cat, err := s.catalog(store)
	if err != nil {
		return err
	}
	rows, err := c.compare(ctx, s, cat, store)
	if err != nil {
		return err
	}
	if err := c.print(s, rows); err != nil {
		return err
	}
	var differ []string
	for _, r := range rows {
		if r.Verdict == selftest.Differs {
			differ = append(differ, r.Field)
		}
	}
	if len(differ) > 0 {
		return &DifferError{App: filepath.Base(c.App), Fields: differ}
	}
	return nil
}

// compare makes the derived plan, and takes it away again.
func (c selftestCmd) compare(ctx context.Context, s *session, cat *catalog.Catalog, store *rootfs.Store) (_ []selftest.Row, err error) {
	name := filepath.Base(c.App)
	own, profile, err := planOf(ctx, cat, name)
	if err != nil {
		return nil, err
	}
	tmp, err := store.Temp("selftest")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tmp.Close()) }()
	probe, err := selftest.WriteProbe(tmp.Dir())
	if err != nil {
		return nil, err
	}
	derived := "selftest-" + strconv.Itoa(os.Getpid())
	file := filepath.Join(store.PlansDir(), plan.FileName(derived, s.getenv("HOME")))
	of := selftest.Derive(own, name, probe)
	if of.Early, err = early.Section(of); err != nil {
		return nil, err
	}
	if err := of.Write(file); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.Remove(file)) }()
	link, err := launcher.Sibling("flake-launcher")
	if err != nil {
		return nil, err
	}
	t := &selftest.Test{Probe: probe, Launcher: link, Name: derived, Plan: own, Profile: profile, Quick: c.Quick}
	return t.Run(ctx)
}

// planOf is the plan of a registered flake, as it is now, and its profile.
func planOf(ctx context.Context, cat *catalog.Catalog, name string) (*plan.Plan, string, error) {
	res, err := cat.Compiler.Flake(ctx, name)
	if err != nil {
		return nil, "", err
	}
	if res.Plan.Sudo {
		return nil, "", &SelftestError{name, "it runs as root (runas)", "run flake-ctl selftest as root"}
	}
	file, err := flake.Find(cat.Searched, name)
	if err != nil {
		return nil, "", err
	}
	f, _, err := flake.Parse(file)
	if err != nil {
		return nil, "", err
	}
	if f.Profile == "" {
		return res.Plan, caller.Native, nil
	}
	return res.Plan, f.Profile, nil
}

// SelftestError says why a flake can't be compared.
type SelftestError struct{ App, Reason, Fix string }

func (e *SelftestError) Error() string { return fmt.Sprintf("selftest of %s: %s", e.App, e.Reason) }

// Remedy implements the CLI's second line.
func (e *SelftestError) Remedy() string { return e.Fix }

// longest is how much of a value the table shows.
const longest = 44

func (c selftestCmd) print(s *session, rows []selftest.Row) error {
	table := [][]string{}
	for _, r := range rows {
		note := r.Verdict
		if r.Reason != "" {
			note += ": " + r.Reason
		}
		native, flake := shown(r.Native), shown(r.Flake)
		if r.Verdict == selftest.Same {
			flake = "="
		}
		table = append(table, []string{r.Field, native, flake, note})
	}
	return printRows(s.Out, c.Format, []string{"FIELD", "NATIVE", "FLAKE", "VERDICT"}, table, rows)
}

// shown is a value that may hold any bytes, on one line of a table.
func shown(value string) string {
	if value == "" {
		return "-"
	}
	quoted := strconv.QuoteToASCII(value)
	if inner := quoted[1 : len(quoted)-1]; inner == value {
		quoted = value
	}
	if len(quoted) > longest {
		return quoted[:longest] + "..."
	}
	return quoted
}
