package explain

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// root is the app's root as a start would put it together, without mounting anything.
type root struct {
	s       Subject
	view    *rootfs.View
	layers  []compile.Layer
	origins []Origin
	ofLayer []int // the origin of each layer

	linked map[string]hostlink.Linked // by place
	nodes  map[string]hostlink.Node
	copies map[string]plan.Copy
	seeds  map[string]plan.Node
	binds  []plan.Bind
}

// entry is what is at one place.
type entry struct {
	mode     fs.FileMode // type and permissions; setuid and friends too
	uid, gid int
	size     int64
	text     string // of a symlink
	origin   int
	layer    int    // of the images' or includes'; -1
	source   string // on the host; ""
	how      string // in words, for what comes from no layer
	fixed    bool   // uid and gid are those inside already
}

func openRoot(s Subject) (*root, error) {
	res := s.Compiled
	r := &root{
		s: s, layers: res.Root.Layers, linked: map[string]hostlink.Linked{}, nodes: map[string]hostlink.Node{},
		copies: map[string]plan.Copy{}, seeds: map[string]plan.Node{},
	}
	var dirs []string
	for _, l := range r.layers {
		dirs = append(dirs, l.Dir)
		r.ofLayer = append(r.ofLayer, r.origin(l.Role, l.Name))
	}
	r.origin(roleHost, "")
	r.origin(roleLauncher, "")
	for _, n := range res.Root.Nodes {
		r.nodes["/"+strings.TrimPrefix(n.Path, "/")] = n
	}
	for _, l := range res.Host.Linked {
		r.linked[l.Target] = l
	}
	for _, c := range res.Plan.Copies {
		r.copies[c.Target] = c
	}
	for _, n := range res.Plan.Seed {
		r.seeds["/"+n.Path] = n
	}
	for _, b := range res.Plan.Binds {
		b.Source, _ = plan.Expand(b.Source, s.Getenv)
		b.Target, _ = plan.Expand(b.Target, s.Getenv)
		if _, err := os.Lstat(b.Source); err == nil || b.Tmpfs != "" {
			r.binds = append(r.binds, b)
		}
	}
	var err error
	if r.view, err = rootfs.NewView(dirs); err != nil {
		return nil, fmt.Errorf("open layers of %q: %w", s.Name, err)
	}
	return r, nil
}

func (r *root) close() { _ = r.view.Close() }

// origin is the index of an origin, made if need be.
func (r *root) origin(role, name string) int {
	at := slices.IndexFunc(r.origins, func(o Origin) bool { return o.Role == role && o.Name == name })
	if at >= 0 {
		return at
	}
	r.origins = append(r.origins, Origin{Role: role, Name: name})
	return len(r.origins) - 1
}

func (r *root) host() int     { return r.origin(roleHost, "") }
func (r *root) launcher() int { return r.origin(roleLauncher, "") }

// at tells what is at a place whose parents are no symlinks. What is not there is fs.ErrNotExist.
func (r *root) at(path string) (entry, error) {
	for _, b := range slices.Backward(r.binds) {
		switch {
		case path == b.Target && b.Tmpfs != "":
			return entry{mode: fs.ModeDir | 0o755, origin: r.launcher(), layer: -1, how: "an empty file system, made at each start", fixed: true}, nil
		case within(path, b.Target) && b.Tmpfs != "":
			return entry{}, fs.ErrNotExist
		case within(path, b.Target):
			return r.onHost(b.Source+strings.TrimPrefix(path, b.Target), "shared with its caller: "+b.Source)
		}
	}
	if own(path) {
		return r.launchers(path)
	}
	if c, ok := r.copies[path]; ok {
		e, err := r.onHost(c.Source, "a copy of the host's "+c.Source+", made at each start")
		e.mode, e.uid, e.gid, e.fixed, e.origin = modeOf(c.Mode), int(r.s.Compiled.Plan.UID), int(r.s.Compiled.Plan.GID), true, r.launcher()
		return e, err
	}
	if l, ok := r.linked[path]; ok && l.Kind != hostlink.KindDir {
		return r.onHost(l.Source, "")
	}
	if n, ok := r.nodes[path]; ok {
		return r.ofNode(n)
	}
	if e, found, err := r.seeded(path); found {
		return e, err
	}
	st, err := r.view.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) && r.mountPoint(path) {
		p := r.s.Compiled.Plan
		return entry{mode: fs.ModeDir | 0o755, uid: int(p.UID), gid: int(p.GID), origin: r.launcher(), layer: -1, how: "made at each start, for a mount below it", fixed: true}, nil
	}
	if err != nil {
		return entry{}, err
	}
	layer, err := r.view.Origin(path)
	if err != nil {
		return entry{}, err
	}
	e := entryOf(st)
	e.layer, e.origin = layer, r.ofLayer[layer]
	if st.Mode()&fs.ModeSymlink != 0 {
		e.text, err = r.view.Readlink(path)
	}
	return e, err
}

// mountPoint says whether something is mounted below a path.
func (r *root) mountPoint(path string) bool {
	return slices.ContainsFunc(r.binds, func(b plan.Bind) bool { return within(b.Target, path) })
}

func (r *root) onHost(path, how string) (entry, error) {
	st, err := os.Lstat(path)
	if err != nil {
		return entry{}, err
	}
	e := entryOf(st)
	e.origin, e.layer, e.source, e.how = r.host(), -1, path, how
	if st.Mode()&fs.ModeSymlink != 0 {
		e.text, err = os.Readlink(path)
	}
	return e, err
}

func (r *root) ofNode(n hostlink.Node) (entry, error) {
	e := entry{uid: n.UID, gid: n.GID, origin: r.launcher(), layer: -1, mode: modeOf(n.Mode), text: n.Target}
	switch n.Kind {
	case hostlink.KindWhiteout:
		return entry{}, fs.ErrNotExist
	case hostlink.KindDir:
		e.mode |= fs.ModeDir
	case hostlink.KindSymlink:
		e.mode |= fs.ModeSymlink
	}
	e.how = "of the flake's own layer"
	return e, nil
}

// seeded looks for what the writable part has before the app starts: that counts where the images have nothing, and below
// a directory that hides theirs.
func (r *root) seeded(path string) (e entry, found bool, err error) {
	if n, ok := r.seeds[path]; ok {
		_, err := r.view.Lstat(path)
		if err == nil && !n.Opaque {
			return e, false, nil
		}
		e = entry{mode: modeOf(n.Mode), uid: int(n.UID), gid: int(n.GID), origin: r.launcher(), layer: -1, text: n.Text, how: "made at each start", fixed: true}
		switch n.Mode & syscall.S_IFMT {
		case syscall.S_IFREG:
		case syscall.S_IFLNK:
			e.mode |= fs.ModeSymlink
		default:
			e.mode |= fs.ModeDir
		}
		return e, true, nil
	}
	for dir, n := range r.seeds {
		if n.Opaque && within(path, dir) {
			return e, true, fs.ErrNotExist
		}
	}
	return e, false, nil
}

func entryOf(st fs.FileInfo) entry {
	e := entry{mode: st.Mode(), size: st.Size()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		e.uid, e.gid = int(sys.Uid), int(sys.Gid)
	}
	return e
}

// Step is a symlink on the way.
type Step struct {
	Path string `json:"path"`
	Text string `json:"text"`
	Role string `json:"role"`
	Name string `json:"name,omitempty"`
}

// errLoop ends a way in circles.
var errLoop = errors.New("too many symlinks on the way")

// walk follows a path to its place. The last component is followed if asked. missing says that it ends where nothing is.
func (r *root) walk(path string, follow bool) (place string, steps []Step, missing bool, err error) {
	todo := strings.Split(path, "/")
	place = "/"
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			place = parent(place)
			continue
		}
		next := strings.TrimSuffix(place, "/") + "/" + name
		if missing {
			place = next
			continue
		}
		e, err := r.at(next)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			missing, place = true, next
			continue
		case err != nil:
			return place, steps, false, err
		}
		if e.mode&fs.ModeSymlink == 0 || !follow && len(todo) == 0 {
			// What the images have below a directory that is a file here is not to be reached.
			place, missing = next, !e.mode.IsDir() && slices.ContainsFunc(todo, func(name string) bool { return name != "" })
			continue
		}
		if len(steps) >= 40 {
			return place, steps, false, errLoop
		}
		steps = append(steps, Step{next, e.text, r.origins[e.origin].Role, r.origins[e.origin].Name})
		if strings.HasPrefix(e.text, "/") {
			place = "/"
		}
		todo = append(strings.Split(e.text, "/"), todo...)
	}
	return place, steps, missing, nil
}

func parent(path string) string {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 1)]
}

// within says whether path is dir or lies below it.
func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir) && path[len(dir)] == '/'
}
