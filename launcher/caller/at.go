package caller

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// Caller is whoever starts an app, at the moment of the start.
type Caller struct {
	Lookup func(name string) (string, bool)
	// Getwd is where he is, without symlinks on the way.
	Getwd func() (string, error)
}

// Self is the caller of this process.
func Self() Caller { return Caller{Lookup: os.LookupEnv, Getwd: unixGetwd} }

func unixGetwd() (string, error) {
	dir, err := unix.Getwd()
	if err == nil && !strings.HasPrefix(dir, "/") {
		err = unix.ENOENT // "(unreachable)": outside of this process's root
	}
	return dir, err
}

// Moment is what a plan becomes at one start.
type Moment struct {
	// Seed and Symlinks come before Binds: nodes of the writable part, and links to make in the mounted root where
	// nothing is.
	Seed     []plan.Node
	Symlinks []Symlink
	Binds    []Bind
	// Cwd is where the app starts.
	Cwd Cwd
}

// Cwd is a directory inside. Path is how the caller names it; if that is another one inside, it is Real.
type Cwd struct {
	Path, Real string
	// Dev and Ino are the host's of the directory, 0 where it is not the host's.
	Dev, Ino uint64
	// Make has it made if it is missing.
	Make bool
}

// Symlink is one to make at Path.
type Symlink struct{ Path, Text string }

// Bind shows a path of the host at a place inside, with all that is mounted below it; or it is a file system of the
// app's own there, with the options Tmpfs.
type Bind struct {
	Source, Target    string
	ReadOnly, Devices bool
	Tmpfs             string
	NoExec            bool
}

// At works out what the caller's directory and environment add to a plan. Errors are *ShareError and *CwdError.
func At(p *plan.Plan, c Caller) (*Moment, error) {
	m := &Moment{Cwd: Cwd{Path: p.Cwd, Make: true}}
	if p.CwdVars {
		dir, unset := plan.Expand(p.Cwd, c.Lookup)
		if unset != "" || !filepath.IsAbs(dir) {
			return nil, &CwdError{p.Cwd, errors.New("not an absolute path with this environment")}
		}
		m.Cwd.Path = filepath.Clean(dir)
	}
	for _, b := range p.Binds {
		if _, err := m.add(b, c.Lookup); err != nil {
			return nil, err
		}
	}
	if p.ShareCwd {
		if err := m.cwd(c); err != nil {
			return nil, err
		}
	}
	return m, m.complete(p)
}

// complete has what is protected stay so, and makes places.
func (m *Moment) complete(p *plan.Plan) error {
	m.Binds = protect(m.Binds, touched(m.ours(p), m.Binds))
	if len(m.Binds) > 0 && p.FixedRoot() {
		return m.seed(p)
	}
	return nil
}

// ours are the directories that no bind may make writable, under all their names.
func (m *Moment) ours(p *plan.Plan) []string {
	return slices.Concat(p.Protect, aliases(p.Protect, m.Binds, m.Cwd.Real, identify))
}

// add expands one bind and sees whether its source is there.
func (m *Moment) add(b plan.Bind, lookup func(string) (string, bool)) (seen Source, err error) {
	source, unset := plan.Expand(b.Source, lookup)
	target, unset2 := plan.Expand(b.Target, lookup)
	if unset == "" {
		unset = unset2
	}
	switch {
	case unset != "" && b.Optional:
		return seen, nil
	case unset != "":
		return seen, &ShareError{b.Source, "the variable " + unset + " is not set", "set it, or write the path without it"}
	}
	if source != b.Source || target != b.Target { // the others were looked at when the plan was made
		if !filepath.IsAbs(source) && b.Tmpfs == "" || !filepath.IsAbs(target) {
			return seen, &ShareError{b.Source, "not an absolute path with this environment: " + source, "name an absolute path"}
		}
		if Never(filepath.Clean(target)) {
			return seen, &ShareError{b.Source, filepath.Clean(target) + " is the image's own", "show it at another place"}
		}
		source, target = filepath.Clean(source), filepath.Clean(target)
	}
	if b.Tmpfs != "" {
		source = ""
	} else {
		// Where its links lead now: what is protected is told by its path.
		real, err := filepath.EvalSymlinks(source)
		seen = Source{source, real}
		if b.Optional && (errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR)) {
			return Source{source, ""}, nil
		}
		if err != nil {
			return seen, &ShareError{source, reason(err), "make it, or allow that it is missing (share: PATH?, mounts: optional)"}
		}
		source = real
	}
	m.put(Bind{source, target, b.ReadOnly, b.Devices, b.Tmpfs, b.NoExec})
	return seen, nil
}

// put adds a bind over those before it, and below those at places within its own: they would be hidden.
func (m *Moment) put(b Bind) {
	n := slices.IndexFunc(m.Binds, func(o Bind) bool { return o.Target != b.Target && within(o.Target, b.Target) })
	if n < 0 {
		n = len(m.Binds)
	}
	m.Binds = slices.Insert(m.Binds, n, b)
}

// reason is an error without the operation and the path, which the sentence around it has.
func reason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return err.Error()
}

// cwd has the app start where the caller is, and shows that directory if nothing does yet.
func (m *Moment) cwd(c Caller) error {
	real, err := c.Getwd()
	var here unix.Stat_t
	if err == nil {
		err = unix.Stat(".", &here)
	}
	if err != nil {
		return &CwdError{"", err}
	}
	if real == "/" {
		m.Cwd = Cwd{Path: "/"}
		return nil
	}
	if !shown(m.Binds, real) {
		if Own(real) {
			m.Cwd = Cwd{Path: real}
			return nil
		}
		m.put(Bind{Source: real, Target: real})
	}
	m.Cwd = Cwd{Path: real, Real: real, Dev: here.Dev, Ino: here.Ino}
	if pwd, ok := c.Lookup("PWD"); ok && names(pwd, &here) && pwd != real {
		m.Cwd.Path = pwd
		m.Symlinks = Way(pwd)
	}
	return nil
}

// names says whether path is a name of that directory which can be used inside.
func names(path string, dir *unix.Stat_t) bool {
	var st unix.Stat_t
	return filepath.IsAbs(path) && filepath.Clean(path) == path && !Own(path) && unix.Stat(path, &st) == nil && st.Dev == dir.Dev && st.Ino == dir.Ino
}

// touched are those of the paths that a bind shows, or lies in, and that are there: what is not can't be bound, nor does it
// hold anything of ours.
func touched(paths []string, binds []Bind) []string {
	var out []string
	for _, p := range paths {
		if slices.ContainsFunc(binds, func(b Bind) bool { return !b.ReadOnly && (within(p, b.Source) || within(b.Source, p)) }) {
			if _, err := os.Lstat(p); err == nil {
				out = append(out, p)
			}
		}
	}
	return out
}

// Way lists the symlinks on the way to a path of the host, in the order in which they are passed by its own components.
func Way(path string) []Symlink {
	var out []Symlink
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if text, err := os.Readlink(path[:i]); err == nil {
			out = append(out, Symlink{path[:i], text})
		}
	}
	return out
}

// PWD is the variable of that name for the app: its directory as the caller names it, or "" where it is the image's.
func (m *Moment) PWD() string {
	if m.Cwd.Make {
		return ""
	}
	return m.Cwd.Path
}
