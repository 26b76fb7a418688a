package compile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/hostlink/pkgdb"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/policy"
)

// How far the needs of host packages are followed; the values are those of the flake's host_files.deps.
const (
	DepsFiles    = "files"    // not at all
	DepsLibs     = "libs"     // libraries and interpreters that the images lack
	DepsPackages = "packages" // all that the package database says, as well
)

// PackageError says which packages a flake wants that the host does not have.
type PackageError struct {
	Flake string
	// By asks for them, as a message has it: `image "x"` or "hostsystem".
	By       string
	Missing  []string
	Database string
}

func (e *PackageError) Error() string {
	what, are := "package", "is"
	if len(e.Missing) > 1 {
		what, are = "packages", "are"
	}
	return fmt.Sprintf("flake %q: %s asks for the host's %s %s, which %s not installed (%s)", e.Flake, e.By, what, strings.Join(e.Missing, ", "), are, e.Database)
}

// Remedy implements the CLI's second line.
func (e *PackageError) Remedy() string {
	return fmt.Sprintf("install %s on the host, or do without: --ignore-missing-packages (host_files.ignore_missing)", strings.Join(e.Missing, " "))
}

// MissingPackages are those that were asked for and left out, as the host lacks them.
func (r *HostReport) MissingPackages() []string {
	var out []string
	for _, s := range r.Skipped {
		if s.Cause == hostlink.CausePackage && !slices.Contains(out, s.Path) {
			out = append(out, s.Path)
		}
	}
	return out
}

// packages is the host's package database in one compilation, opened when it is first asked for.
type packages struct {
	root   string
	opened bool
	db     pkgdb.Database
	err    error
	checks []plan.Check // what tells another state; taken before it was read
}

func (p *packages) open() (pkgdb.Database, error) {
	if p.opened {
		return p.db, p.err
	}
	p.opened = true
	before := map[string]plan.Check{}
	for _, path := range pkgdb.Places(p.root) {
		before[path] = plan.NewCheck(path)
	}
	if p.db, p.err = pkgdb.Open(p.root); p.err != nil {
		return nil, p.err
	}
	for _, path := range p.db.Fingerprint() {
		check, ok := before[path]
		if !ok {
			check = plan.NewCheck(path)
		}
		p.checks = append(p.checks, check)
	}
	return p.db, nil
}

// wish is a list of packages that somebody wants the files of.
type wish struct {
	by, kind string
	origin   string // "" is each package's own name
	names    []string
	rules    *policy.Rules // of the image that it comes from; nil: no policy counts
}

// grant makes sources of wishes, in one query of the database.
func (p *packages) grant(flake string, wishes []wish, ignoreMissing bool) (sources []hostlink.Source, skipped []hostlink.Skip, err error) {
	var all []string
	for _, w := range wishes {
		all = append(all, w.names...)
	}
	if len(all) == 0 {
		return nil, nil, nil
	}
	files := map[string][]string{}
	db, err := p.open()
	if err == nil {
		files, err = db.Files(all...)
	}
	var missing *pkgdb.NoPackageError
	switch {
	case err == nil, errors.As(err, &missing), ignoreMissing && errors.Is(err, pkgdb.ErrNoDatabase):
	default:
		return nil, nil, fmt.Errorf("find host packages of %q: %w", flake, err)
	}
	seen := map[listed]bool{}
	for _, w := range wishes {
		var gone []string
		for n, name := range w.names {
			paths, ok := files[name]
			if !ok {
				gone = append(gone, name)
				skipped = append(skipped, hostlink.Skip{
					Path: name, Origin: w.by, Line: n + 1, Cause: hostlink.CausePackage, Reason: "the host has no package of that name",
				})
				continue
			}
			sources = append(sources, w.source(name, paths, seen))
		}
		if len(gone) > 0 && !ignoreMissing {
			return nil, nil, &PackageError{Flake: flake, By: w.by, Missing: gone, Database: missing.Database}
		}
	}
	return sources, skipped, nil
}

// listed is a path that is in a source already, packages share directories: for images with the same rules only, since
// what one may not have another may.
type listed struct {
	rules *policy.Rules
	path  string
}

func (w *wish) source(name string, paths []string, seen map[listed]bool) hostlink.Source {
	var own []string
	for _, path := range paths {
		if l := (listed{w.rules, path}); !seen[l] {
			seen[l] = true
			own = append(own, path)
		}
	}
	src := hostlink.Source{Origin: w.origin, Kind: w.kind, Manifest: hostlink.PackageManifest(own)}
	if src.Origin == "" {
		src.Origin = name
	}
	if w.rules != nil {
		src.Refuse = w.rules.Refuse
	}
	return src
}

// hostSystem is the wish for the packages that the flake itself names, with what they need if it says so.
func (p *packages) hostSystem(req Request) ([]wish, error) {
	names := req.Flake.HostSystem
	if len(names) == 0 {
		return nil, nil
	}
	wishes := []wish{{by: "hostsystem", kind: hostlink.SourcePackage, names: names}}
	if req.Flake.HostFiles.Deps != DepsPackages {
		return wishes, nil
	}
	db, err := p.open()
	if err != nil {
		return wishes, nil // grant says so
	}
	needs, err := db.Needs(names...)
	if err != nil {
		return nil, fmt.Errorf("find host packages of %q: %w", req.Name, err)
	}
	return append(wishes, wish{by: "what hostsystem needs", kind: hostlink.SourcePackage, names: needs}), nil
}
