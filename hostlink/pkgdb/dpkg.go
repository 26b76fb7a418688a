package pkgdb

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

const dpkgDir = "/var/lib/dpkg"

// dpkg is Debian's database: one file with what is known of each package, and one with the paths of each.
type dpkg struct {
	host     *host
	dir      string
	packages []dpkgPackage // installed ones
	native   string        // architecture
	diverted map[string]diversion
}

type dpkgPackage struct {
	relation
	arch string
	same bool // several architectures may be installed
	conf []string
}

// diversion is a file that one package moved away from another's place for it.
type diversion struct{ to, by string }

func openDpkg(h *host) (Database, error) {
	dir, err := h.path(dpkgDir)
	if err != nil || !isFile(filepath.Join(dir, "status")) {
		return nil, err
	}
	d := &dpkg{host: h, dir: dir, diverted: map[string]diversion{}}
	if err := d.readStatus(); err != nil {
		return nil, fmt.Errorf("read package database (dpkg): %w", err)
	}
	if len(d.packages) == 0 {
		return nil, nil // of a host that dpkg does not manage
	}
	return d, d.readDiversions()
}

func (d *dpkg) Name() string { return "dpkg" }

func (d *dpkg) Fingerprint() []string {
	return []string{filepath.Join(d.dir, "status"), filepath.Join(d.dir, "diversions")}
}

func (d *dpkg) readStatus() error {
	f, err := os.Open(filepath.Join(d.dir, "status"))
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<16)
	var p dpkgPackage
	installed, field := false, ""
	for {
		line, err := r.ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		end := err != nil
		line = strings.TrimRight(line, "\n")
		if line == "" {
			if installed && p.name != "" {
				d.add(p)
			}
			p, installed, field = dpkgPackage{}, false, ""
			if end {
				return nil
			}
			continue
		}
		if line[0] == ' ' || line[0] == '\t' {
			if field == "Conffiles" {
				p.addConf(line)
			}
			continue
		}
		var value string
		field, value, _ = strings.Cut(line, ":")
		if field == "Status" {
			installed = isInstalled(value)
		} else {
			p.set(field, strings.TrimSpace(value))
		}
	}
}

// isInstalled takes "install ok installed", also where an administrator holds the package or a trigger is due.
func isInstalled(status string) bool {
	w := strings.Fields(status)
	return len(w) == 3 && w[1] == "ok" && (w[2] == "installed" || w[2] == "triggers-pending" || w[2] == "triggers-awaited")
}

func (d *dpkg) add(p dpkgPackage) {
	if p.name == "dpkg" {
		d.native = p.arch
	}
	d.packages = append(d.packages, p)
}

func (p *dpkgPackage) set(field, value string) {
	switch field {
	case "Package":
		p.name = value
	case "Architecture":
		p.arch = value
	case "Multi-Arch":
		p.same = value == "same"
	case "Depends", "Pre-Depends":
		for need := range strings.SplitSeq(value, ",") {
			var alternatives []string
			for word := range strings.SplitSeq(need, "|") {
				name, _, _ := strings.Cut(bare(word), ":")
				alternatives = append(alternatives, name)
			}
			p.needs = append(p.needs, alternatives)
		}
	case "Provides":
		for word := range strings.SplitSeq(value, ",") {
			p.provides = append(p.provides, bare(word))
		}
	}
}

// addConf takes "PATH SUM" or "PATH SUM obsolete"; a path may hold blanks.
func (p *dpkgPackage) addConf(line string) {
	line = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(line), " remove-on-upgrade"), " obsolete")
	if i := strings.LastIndexByte(line, ' '); i > 0 {
		p.conf = append(p.conf, line[:i])
	}
}

// readDiversions reads records of three lines: the place, where its file went, and which package had it moved.
func (d *dpkg) readDiversions() error {
	b, err := os.ReadFile(filepath.Join(d.dir, "diversions"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read package database (dpkg): %w", err)
	}
	lines := strings.Split(string(b), "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		d.diverted[lines[i]] = diversion{to: lines[i+1], by: lines[i+2]}
	}
	return nil
}

// named are the packages that a name means: "NAME:ARCH" one, "NAME" that of the native architecture, else all.
func (d *dpkg) named(name string) []*dpkgPackage {
	bare, arch, exact := strings.Cut(name, ":")
	var all []*dpkgPackage
	for i := range d.packages {
		p := &d.packages[i]
		switch {
		case p.name != bare || exact && p.arch != arch:
		case !exact && (p.arch == d.native || p.arch == "all"):
			return []*dpkgPackage{p}
		default:
			all = append(all, p)
		}
	}
	return all
}

func (d *dpkg) Files(names ...string) (map[string][]string, error) {
	out := map[string][]string{}
	for _, name := range names {
		for _, p := range d.named(name) {
			files := out[name]
			if files == nil {
				files = []string{}
			}
			err := d.eachFile(p, func(path string) { files = append(files, path) })
			if err != nil {
				return nil, err
			}
			out[name] = files
		}
	}
	return out, missingOf(d, out, names)
}

// eachFile goes through the paths of a package, where they are after diversions.
func (d *dpkg) eachFile(p *dpkgPackage, do func(path string)) error {
	b, err := d.list(p)
	if err != nil {
		return fmt.Errorf("read package database (dpkg): %w", err)
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		if line == "" || line == "/." || line[0] != '/' {
			continue
		}
		if v, ok := d.diverted[line]; ok && v.by != p.name {
			line = v.to
		}
		do(line)
	}
	return nil
}

func (d *dpkg) list(p *dpkgPackage) ([]byte, error) {
	names := []string{p.name + ".list", p.name + ":" + p.arch + ".list"}
	if p.same {
		slices.Reverse(names)
	}
	b, err := os.ReadFile(filepath.Join(d.dir, "info", names[0]))
	if errors.Is(err, fs.ErrNotExist) {
		b, err = os.ReadFile(filepath.Join(d.dir, "info", names[1]))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // dpkg itself warns and goes on: the package has no files
	}
	return b, err
}

func (d *dpkg) Owners(paths []string) (map[string]Owner, error) {
	want, out := wanted(paths), make(map[string]Owner, len(paths))
	var mu sync.Mutex
	one := func(p *dpkgPackage) error {
		var mine []string
		err := d.eachFile(p, func(path string) {
			if path = d.host.canonical(path); want[path] {
				mine = append(mine, path)
			}
		})
		if err != nil || len(mine) == 0 {
			return err
		}
		conf := map[string]bool{}
		for _, c := range p.conf {
			conf[d.host.canonical(c)] = true
		}
		mu.Lock()
		defer mu.Unlock()
		for _, path := range mine {
			if _, taken := out[path]; !taken {
				out[path] = Owner{Package: p.name, Config: conf[path]}
			}
		}
		return nil
	}
	return out, d.each(one)
}

// each does something with all packages, several at a time: it is thousands of small files to read.
func (d *dpkg) each(do func(p *dpkgPackage) error) error {
	n := min(runtime.GOMAXPROCS(0), 4)
	errs := make([]error, n)
	var all sync.WaitGroup
	for worker := range n {
		all.Go(func() {
			for i := worker; i < len(d.packages) && errs[worker] == nil; i += n {
				errs[worker] = do(&d.packages[i])
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

func (d *dpkg) Needs(names ...string) ([]string, error) {
	var all []relation
	for _, p := range d.packages {
		all = append(all, p.relation)
	}
	return closure(all, names), nil
}
