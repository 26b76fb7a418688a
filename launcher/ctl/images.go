package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/instance"
	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/gc"
	"github.com/flake-launcher/flake-launcher/rootfs/pull"
)

// stall is how long a source may send nothing before a pull gives up.
const stall = 60 * time.Second

type pullCmd struct {
	Image string        `arg:"" optional:"" help:"Docker reference, or docker://, oci:, oci-archive:, docker-archive:, dir: and what follows it."`
	Stall time.Duration `default:"60s" help:"Give up when the source sends nothing for so long."`
}

func (pullCmd) Help() string {
	return `Example:

  flake-ctl pull registry.example/basepython
  flake-ctl pull oci-archive:aws.tar

Short names are completed as registries.conf(5) says; credentials, mirrors and signature policy are those of
podman and skopeo. Layers that are stored are not fetched again.`
}

func (c pullCmd) Run(ctx context.Context, s *session) error {
	if c.Image == "" {
		return usageError{errors.New("an image is wanted")}
	}
	return s.get(c.Stall, func(store *rootfs.Store, opt pull.Options) (*rootfs.Image, error) {
		return pull.Pull(ctx, store, c.Image, opt)
	})
}

type loadCmd struct {
	File string `arg:"" optional:"" help:"Archive (docker-archive or oci-archive; gzip, xz, zstd, bzip2 or plain), or a directory."`
}

func (loadCmd) Help() string {
	return `Example:

  flake-ctl load aws.tar.xz
  flake-ctl load aws.x86_64-1

If there is no such file, the highest version of FILE* is taken.`
}

func (c loadCmd) Run(ctx context.Context, s *session) error {
	if c.File == "" {
		return usageError{errors.New("a file is wanted")}
	}
	return s.get(stall, func(store *rootfs.Store, opt pull.Options) (*rootfs.Image, error) {
		return pull.Load(ctx, store, c.File, opt)
	})
}

// watched runs a pull with its progress on stderr.
func (s *session) watched(stall time.Duration, pulled func(pull.Options) (*rootfs.Image, error)) (*rootfs.Image, error) {
	shown := s.Err
	if s.quiet {
		shown = io.Discard
	}
	p := pull.NewProgress(shown)
	defer p.Close()
	return pulled(pull.Options{Progress: p, Stall: stall})
}

func (s *session) get(stall time.Duration, from func(*rootfs.Store, pull.Options) (*rootfs.Image, error)) error {
	store, err := s.store(true)
	if err != nil {
		return err
	}
	img, err := s.watched(stall, func(opt pull.Options) (*rootfs.Image, error) { return from(store, opt) })
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s %s\n", displayName(img), img.Digest)
	return err
}

func displayName(i *rootfs.Image) string {
	if len(i.Names) == 0 {
		return "<none>"
	}
	return i.Names[0]
}

type imagesCmd struct {
	Format string `enum:"table,json,csv" default:"table" help:"table, json or csv."`
}

func (imagesCmd) Help() string {
	return "Example:\n\n  flake-ctl images\n  flake-ctl images --format json"
}

// imageRow is one image in JSON.
type imageRow struct {
	Name   string    `json:"name"`
	Names  []string  `json:"names"`
	Digest string    `json:"digest"`
	Layers int       `json:"layers"`
	Size   int64     `json:"size"`
	Pulled time.Time `json:"pulled"`
	Source string    `json:"source"`
	Store  string    `json:"store"`
}

func (c imagesCmd) Run(s *session) error {
	store, err := s.ownStore()
	if err != nil {
		return err
	}
	set, err := s.stores(store)
	if err != nil {
		return err
	}
	images, err := set.Images()
	if err != nil {
		return err
	}
	rows, records := [][]string{}, []imageRow{}
	for _, i := range images {
		r := imageRow{
			Name: displayName(i.Image), Names: i.Names, Digest: i.Digest.String(), Layers: len(i.Layers),
			Size: unpackedSize(i.Image), Pulled: i.Created, Source: i.Source, Store: i.Store.Root(),
		}
		records = append(records, r)
		rows = append(rows, []string{r.Name, i.Digest.Encoded()[:12], fmt.Sprint(r.Layers), humanSize(r.Size), r.Pulled.Local().Format("2006-01-02 15:04")})
		for n := 1; n < len(r.Names); n++ { // the same, by another name
			row := slices.Clone(rows[len(rows)-1])
			row[0] = r.Names[n]
			rows = append(rows, row)
		}
	}
	return printRows(s.Out, c.Format, imageHead, rows, records)
}

var imageHead = []string{"NAME", "ID", "LAYERS", "SIZE", "PULLED"}

func unpackedSize(i *rootfs.Image) (n int64) {
	for _, l := range i.Layers {
		n += l.UnpackedSize
	}
	return n
}

type gcCmd struct {
	DryRun bool `help:"Only say what would be deleted."`
}

func (gcCmd) Help() string {
	return `Example:

  flake-ctl gc --dry-run
  flake-ctl gc

Kept is what a name, a registration or a running flake needs.`
}

func (c gcCmd) Run(ctx context.Context, s *session) error {
	store, err := s.store(false)
	if errors.Is(err, rootfs.ErrNoStore) {
		return nil
	}
	if err != nil {
		return err
	}
	cat, err := s.catalog(store)
	if err != nil {
		return err
	}
	return s.collect(ctx, store, cat, c.DryRun)
}

// roots are what registrations and plans need, for the collector.
func roots(cat *catalog.Catalog) (gc.Roots, error) {
	pins, err := cat.Pins()
	if err != nil {
		return gc.Roots{}, err
	}
	out := gc.Roots{Flakes: map[digest.Digest][]string{}}
	for d, flakes := range pins {
		out.Flakes[digest.Digest(d)] = flakes
	}
	includes, err := cat.Includes()
	if err != nil {
		return gc.Roots{}, err
	}
	out.Layers = includes.Needed
	// What was written over images is of no use without them, whether it runs or not.
	kept, err := instance.List(cat.Compiler.Store.Root())
	if err != nil {
		return gc.Roots{}, err
	}
	for _, e := range kept {
		if e.Err != nil && e.Config == nil {
			return gc.Roots{}, fmt.Errorf("read what kept instance %s needs: %w", e.Name, e.Err)
		}
		if e.Config == nil {
			continue
		}
		for _, d := range e.Config.Digests {
			// Under the flake's name where that pins it anyway.
			if d := digest.Digest(d); !slices.Contains(out.Flakes[d], e.Flake) {
				out.Flakes[d] = append(out.Flakes[d], e.Name.String())
			}
		}
	}
	return out, nil
}

func (s *session) collect(ctx context.Context, store *rootfs.Store, cat *catalog.Catalog, dry bool) error {
	// First, since they keep images.
	if err := s.sweepInstances(store, dry); err != nil {
		return err
	}
	pinned, err := roots(cat)
	if err != nil {
		return err
	}
	derived, err := cat.Derived()
	if err != nil {
		return err
	}
	pinned.Again = func() (gc.Roots, error) { return roots(cat) }
	report, err := gc.Plan(store, pinned)
	if err != nil {
		return err
	}
	if dry {
		s.tell(report, derived, "would delete")
		if err := s.sweepRanges(ctx, store, cat.Compiler, true); err != nil {
			return err
		}
		_, err := fmt.Fprintf(s.Out, "would free %s\n", humanSize(report.Size()))
		return err
	}
	if err := report.Apply(ctx); err != nil {
		return err
	}
	if derived, err = cat.DeleteDerived(derived); err != nil {
		return err
	}
	s.tell(report, derived, "deleted")
	if err := s.sweepRanges(ctx, store, cat.Compiler, false); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "freed %s\n", humanSize(report.Freed))
	return err
}

// tell lists what a collection deletes, one line a thing.
func (s *session) tell(r *gc.Report, derived []string, verb string) {
	for _, name := range r.Refs {
		fmt.Fprintf(s.Out, "%s name %s\n", verb, name)
	}
	for _, i := range r.Images {
		fmt.Fprintf(s.Out, "%s image %s\n", verb, i.Digest)
	}
	for _, l := range r.Layers {
		fmt.Fprintf(s.Out, "%s layer %s (%s)\n", verb, l.ID[:12], humanSize(l.Size))
	}
	for _, t := range r.Temp {
		fmt.Fprintf(s.Out, "%s unfinished work %s\n", verb, filepath.Base(t.Path))
	}
	for _, path := range derived {
		fmt.Fprintf(s.Out, "%s derived %s\n", verb, filepath.Base(path))
	}
	for _, id := range r.InUse {
		fmt.Fprintf(s.Out, "kept layer %s: a running flake uses it\n", id[:12])
	}
	for _, d := range r.Damaged {
		fmt.Fprintf(s.Err, "flake-ctl: warning: image %s is damaged; pull or load it again\n", d)
	}
}
