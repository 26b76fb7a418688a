package explain

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// census counts the files of a root by directory and origin.
type census struct {
	r      *root
	counts map[string][]count // by directory; each has what is below it, too
	files  []File
	all    bool
}

type count struct {
	files int
	bytes int64
}

// count fills in where the files come from. Shared directories of the caller are not counted.
func (e *Explanation) count(s Subject, all bool) error {
	r, err := openRoot(s)
	if err != nil {
		return err
	}
	defer r.close()
	c := &census{r: r, counts: map[string][]count{}, all: all}
	if err := c.images("/"); err != nil {
		return err
	}
	for place, l := range r.linked {
		if l.Kind == hostlink.KindDir {
			continue
		}
		var size int64
		if st, err := os.Lstat(l.Source); err == nil {
			size = st.Size()
		}
		c.add(place, r.host(), size)
	}
	for place, n := range r.nodes {
		if _, host := r.linked[place]; !host && (n.Kind == hostlink.KindFile || n.Kind == hostlink.KindSymlink) && !c.copied(place) {
			c.add(place, r.launcher(), 0)
		}
	}
	for place := range r.copies {
		c.add(place, r.launcher(), 0)
	}
	e.Origins = c.origins("/")
	for _, dir := range c.worth() {
		e.Directories = append(e.Directories, Directory{dir, c.origins(dir)})
	}
	slices.SortFunc(c.files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	e.Files = c.files
	return nil
}

func (c *census) copied(place string) bool { _, ok := c.r.copies[place]; return ok }

// images counts what the layers have, but for what lies under something else.
func (c *census) images(dir string) error {
	entries, err := c.r.view.Entries(dir)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EBADF) {
		return nil // root's alone: the app can't look at it either
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := strings.TrimSuffix(dir, "/") + "/" + e.Info.Name()
		if c.covered(path, e.Info.IsDir()) {
			continue
		}
		if e.Info.IsDir() {
			if err := c.images(path); err != nil {
				return err
			}
			continue
		}
		c.add(path, c.r.ofLayer[e.Layer], e.Info.Size())
	}
	return nil
}

// covered says whether something is laid over the images' entry. Of two directories both show. One of the host that is
// linked is laid over nothing where the images have a symlink to a directory; where it is, it is among the nodes.
func (c *census) covered(path string, dir bool) bool {
	if l, ok := c.r.linked[path]; ok && l.Kind != hostlink.KindDir {
		return true
	}
	n, ok := c.r.nodes[path]
	return own(path) || ok && !(dir && n.Kind == hostlink.KindDir) || c.copied(path)
}

func (c *census) add(path string, origin int, bytes int64) {
	if c.all {
		o := c.r.origins[origin]
		c.files = append(c.files, File{path, o.Role, o.Name})
	}
	for dir := path; dir != "/"; {
		dir = parent(dir)
		counts := c.counts[dir]
		if counts == nil {
			counts = make([]count, len(c.r.origins))
			c.counts[dir] = counts
		}
		counts[origin].files++
		counts[origin].bytes += bytes
	}
}

// origins are the non-empty ones of a directory; of the root, all.
func (c *census) origins(dir string) []Origin {
	out := []Origin{}
	for i, o := range c.r.origins {
		if counts := c.counts[dir]; counts != nil {
			o.Files, o.Bytes = counts[i].files, counts[i].bytes
		}
		if o.Files > 0 || dir == "/" {
			out = append(out, o)
		}
	}
	return out
}

// depth is how far down directories are listed by themselves.
const depth = 3

// worth lists the directories that say something: down to a certain depth, and not below one that has files of one origin
// alone.
func (c *census) worth() []string {
	kids := map[string][]string{}
	for dir := range c.counts {
		if dir != "/" {
			kids[parent(dir)] = append(kids[parent(dir)], dir)
		}
	}
	var out []string
	var visit func(dir string, level int)
	visit = func(dir string, level int) {
		out = append(out, dir)
		if level >= depth || len(c.origins(dir)) < 2 && dir != "/" {
			return
		}
		slices.Sort(kids[dir])
		for _, kid := range kids[dir] {
			visit(kid, level+1)
		}
	}
	visit("/", 0)
	return out
}
