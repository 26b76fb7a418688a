package elflink

import (
	"context"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"
	"sync"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// maxWalked is how many entries a root may have.
const maxWalked = 4 << 20

// Check looks at all programs and libraries of a whole root, the images with what is laid over them, and returns each
// need that nothing in it satisfies, sorted. Of req it uses Image and Linked. A library that no program loads by its own
// account may be loaded by one that has what it needs: for such, a need counts only if the whole root has no file of
// that name.
//
// Errors are a [*LimitError], the context's, or that the root can't be read.
func Check(ctx context.Context, req Request) ([]Missing, error) {
	app := newAppTree(req.Image)
	if req.Linked != nil {
		app.lay(req.Linked.Links, req.Linked.Nodes)
	}
	c := &checker{ctx: ctx, app: newSide(app, app.names), tree: app, names: make(map[string]string), missing: make(map[string]Missing)}
	if err := c.read(); err != nil {
		return nil, err
	}
	if err := c.run(); err != nil {
		return nil, err
	}
	return sortedMissing(c.missing), nil
}

type checker struct {
	ctx  context.Context
	app  *side
	tree *appTree

	programs, libraries []*found
	walked              int
	names               map[string]string // base name → a place of it
	missing             map[string]Missing
}

// read finds and parses all objects: one walks, the others read.
func (c *checker) read() error {
	ctx, stop := context.WithCancel(c.ctx)
	defer stop()
	var walkErr error
	files, objects := make(chan spot, 256), make(chan found, 256)
	go func() {
		defer close(files)
		walkErr = c.walk(ctx, files)
	}()
	var readers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 2) {
		readers.Go(func() {
			for at := range files {
				if o := readSpot(c.tree, at); o != nil {
					objects <- found{spot: at, as: at.path, obj: o}
				}
			}
		})
	}
	go func() {
		readers.Wait()
		close(objects)
	}()
	var err error
	for f := range objects {
		switch {
		case len(c.app.objects) >= maxObjects:
			err = &LimitError{What: "programs and libraries", Limit: maxObjects}
			stop()
			continue
		case f.obj.interp != "":
			c.programs = append(c.programs, &f)
		default:
			c.libraries = append(c.libraries, &f)
		}
		c.app.objects[f.key()] = f.obj
	}
	if err != nil {
		return err
	}
	return walkErr
}

// readSpot is readObject without a look at the tree's memory, which is the walker's.
func readSpot(t *appTree, at spot) *object {
	if at.source != "" {
		return readObject(hostOnly{}, at.source)
	}
	return readObject(imageOnly{t.img}, at.path)
}

// hostOnly opens files of the host by their absolute paths.
type hostOnly struct{}

func (hostOnly) entry(string) entry { return entry{} }

func (hostOnly) open(path string) (*os.File, error) { return os.Open(path) }

// imageOnly are the images as they are.
type imageOnly struct{ Image }

func (imageOnly) entry(string) entry { return entry{} }

func (i imageOnly) open(path string) (*os.File, error) { return i.Open(path) }

// walk sends all files that may be objects: those of the images that are not covered, and those of the host.
func (c *checker) walk(ctx context.Context, files chan<- spot) error {
	send := func(at spot) error {
		c.names[baseOf(at.path)] = at.path
		if at.kind != hostlink.KindFile || at.mode&0o111 == 0 && !strings.Contains(baseOf(at.path), ".so") {
			return nil
		}
		select {
		case files <- at:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for place, e := range c.tree.over {
		if e.kind == "" || e.kind == hostlink.KindDir {
			continue
		}
		if e.kind == hostlink.KindFile && e.source == "" {
			continue // a mount point of what the launcher brings
		}
		if err := send(spot{entry: e, path: place}); err != nil {
			return err
		}
	}
	return c.walkImage("/", send)
}

func (c *checker) walkImage(dir string, send func(spot) error) error {
	list, err := c.tree.img.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list directory %q of the images: %w", dir, err)
	}
	if c.walked += len(list); c.walked > maxWalked {
		return &LimitError{What: "files", Limit: maxWalked}
	}
	for _, d := range list {
		at := path.Join(dir, d.Name())
		if o, covered := c.tree.over[at]; covered && o.kind != hostlink.KindDir {
			continue
		}
		if d.IsDir() {
			if err := c.walkImage(at, send); err != nil {
				return err
			}
			continue
		}
		if o, covered := c.tree.over[at]; covered && o.kind == hostlink.KindDir {
			continue
		}
		fi, err := d.Info()
		if err != nil {
			return fmt.Errorf("look at %q of the images: %w", at, err)
		}
		if err := send(spot{entry: entryOf(fi), path: at}); err != nil {
			return err
		}
	}
	return nil
}

// run starts all programs, then the libraries that none of them loads.
func (c *checker) run() error {
	loaded := map[string]bool{}
	for _, f := range c.programs {
		for _, m := range c.start(f, true) {
			loaded[m.key()] = true
		}
		if err := c.stopped(); err != nil {
			return err
		}
	}
	for _, f := range c.libraries {
		if loaded[f.key()] || c.superseded(f) {
			continue
		}
		c.start(f, false)
		if err := c.stopped(); err != nil {
			return err
		}
	}
	return nil
}

// superseded says whether a library of that name is found elsewhere: what the host's C library took the place of is still
// there, by another name.
func (c *checker) superseded(f *found) bool {
	if f.obj.soname == "" {
		return false
	}
	other := c.app.find(c.app.loaderOf(f.obj), f.obj.soname, nil)
	return other != nil && other.key() != f.key()
}

func (c *checker) stopped() error {
	if err := c.app.limit(); err != nil {
		return err
	}
	return c.ctx.Err()
}

func (c *checker) start(f *found, program bool) []*member {
	p := c.app.start(f)
	for _, problem := range p.problems {
		elsewhere := c.names[path.Base(problem.name)]
		if !program && problem.has == nil && elsewhere != "" {
			continue
		}
		m := Missing{Need: problem.need(), Has: elsewhere, Reason: "nothing in the root is that"}
		switch {
		case problem.has != nil:
			m.Has, m.Reason = problem.has.path, problem.has.path+" "+problem.shortcoming()
		case elsewhere != "":
			m.Reason = elsewhere + " is not where the loader looks"
		}
		c.missing[m.File+"\x00"+m.Name+"\x00"+strings.Join(m.Versions, " ")] = m
	}
	return p.members
}
