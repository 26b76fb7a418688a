package ctl

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"unicode"

	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/importing"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// importRun is one run over a directory.
type importRun struct {
	importCmd
	*session
	store *rootfs.Store
	cat   *catalog.Catalog

	records []importRecord
	not     []string
}

// importRecord is one registration in JSON.
type importRecord struct {
	Name     string              `json:"name"`
	File     string              `json:"file"`
	Engine   string              `json:"engine"`
	Host     string              `json:"host_app_path"`
	State    string              `json:"state"`
	Findings []importing.Finding `json:"findings"`
}

// one reports on a registration and imports it if it can be. An error ends the run, and is none of the registration's.
func (r *importRun) one(ctx context.Context, reg importing.Registration) error {
	owner, err := r.cat.OwnerOf(reg.Name)
	if err != nil {
		return err
	}
	switch owner {
	case catalog.Ours:
		return nil
	case catalog.Imported, catalog.CutShort: // the latter in a dry run only
		state := map[catalog.Owner]string{catalog.Imported: "imported before", catalog.CutShort: "cut short"}[owner]
		r.records = append(r.records, importRecord{Name: reg.Name, File: reg.File, Engine: "podman", State: state, Findings: []importing.Finding{}})
		return nil
	}
	report := importing.Assess(reg, r.facts())
	if report.Importable() && !r.DryRun {
		if err := r.take(ctx, reg, &report); err != nil {
			return err
		}
	}
	state := "cannot"
	switch {
	case !report.Importable():
		r.not = append(r.not, report.Name)
	case r.DryRun:
		state = "importable"
	default:
		state = "imported"
	}
	r.records = append(r.records, importRecord{report.Name, report.File, report.Engine, report.HostPath, state, report.Findings})
	return nil
}

// take imports a flake, the images first. What keeps it from that becomes a finding.
func (r *importRun) take(ctx context.Context, reg importing.Registration, report *importing.Report) error {
	for _, name := range report.Missing {
		if _, err := r.fetch(r.store)(ctx, name); err != nil {
			report.Refuse("image "+name, err.Error())
			return ctx.Err()
		}
	}
	if len(report.Missing) > 0 { // the images are known now
		if *report = importing.Assess(reg, r.facts()); !report.Importable() {
			return nil
		}
	}
	if _, err := r.cat.Import(ctx, report.Flake, catalog.Origin{File: report.File, Link: report.Link.Target}); err != nil {
		report.Refuse("import", err.Error())
	}
	return ctx.Err()
}

func (r *importRun) facts() importing.Facts {
	return importing.Facts{
		Ordinary: !r.privileged, Pull: r.Pull, Link: importing.LinkAt, Image: r.image,
		Effective: flake.Effective,
	}
}

// image looks an image up in all of the caller's stores.
func (r *importRun) image(name string) importing.Image {
	set, err := r.stores(r.store)
	if err != nil {
		return importing.Image{Err: err}
	}
	d, err := set.Resolve(name)
	if ambiguous := (*rootfs.AmbiguousError)(nil); errors.As(err, &ambiguous) {
		return importing.Image{Err: err}
	}
	if err != nil {
		return importing.Image{}
	}
	img, store, err := set.Image(d)
	if err != nil {
		return importing.Image{}
	}
	return importing.Image{Stored: true, Own: r.store != nil && store.Root() == r.store.Root(), User: img.Config.Config.User}
}

var importHead = []string{"FLAKE", "KEY", "RESULT", "NOTE"}

func (r *importRun) print(site importing.Site) error {
	var err error
	if r.Format == "json" {
		enc := json.NewEncoder(r.Out)
		enc.SetIndent("", "  ")
		notes, records := site.Notes, r.records
		if notes == nil {
			notes = []importing.Note{}
		}
		if records == nil {
			records = []importRecord{}
		}
		err = enc.Encode(map[string]any{"site": notes, "flakes": records})
	} else {
		rows := [][]string{}
		for _, n := range site.Notes {
			rows = append(rows, []string{"-", "-", "note", n.File + ": " + n.Note})
		}
		for _, rec := range r.records {
			rows = append(rows, []string{rec.Name, "-", rec.State, rec.File})
			for _, f := range rec.Findings {
				rows = append(rows, []string{rec.Name, f.Key, string(f.Verdict), f.Note})
			}
		}
		for _, row := range rows {
			for n := range row {
				row[n] = printable(row[n])
			}
		}
		err = printRows(r.Out, r.Format, importHead, rows, nil)
	}
	if err == nil && len(r.not) > 0 {
		err = &NotAllError{r.not}
	}
	return err
}

// printable keeps a row one row, whatever a file of somebody else's says.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return '?'
		}
		return c
	}, s)
}
