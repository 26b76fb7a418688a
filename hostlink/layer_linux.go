package hostlink

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// XattrImage is what an [Image] may offer besides: [WriteLayer] then keeps the
// extended attributes of the image's directories (default ACLs among them).
// Paths are those of Image.
type XattrImage interface {
	Xattrs(path string) (map[string][]byte, error)
}

// HideManifests returns the nodes that take the image's own lists of host files
// out of the app's sight. A directory of such a name is none.
func HideManifests(img Image) []Node {
	var nodes []Node
	for _, p := range append(slices.Clone(RemovedManifests), SystemFiles) {
		if fi, err := img.Lstat(p); err == nil && !fi.IsDir() {
			nodes = append(nodes, Node{Path: p, Kind: KindWhiteout})
		}
	}
	return nodes
}

// WriteLayer makes nodes in dir, which must be an empty directory that nobody
// else writes to, in the form that overlayfs wants. The root and the parents
// that no node describes get mode, owner, times and attributes of img's
// directories, so that laying the result over img changes only the nodes.
//
// The order of nodes is of no concern; a directory may be named twice, and the
// first description counts. Owners are set by root only. It is not atomic: an
// incomplete dir has to be thrown away.
func WriteLayer(dir string, nodes []Node, img Image) (err error) {
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	w := &layerWriter{root: root, img: img, chown: os.Geteuid() == 0, made: make(map[string]Kind), holds: make(map[string][]Node), first: make(map[[2]uint64]string)}
	defer w.close()

	sorted := make([]Node, len(nodes))
	for i, n := range nodes {
		clean, reason := normalise(n.Path)
		if reason != "" {
			return fmt.Errorf("write layer entry %q: path %s", n.Path, reason)
		}
		n.Path = clean
		sorted[i] = n
	}
	slices.SortStableFunc(sorted, func(a, b Node) int { return strings.Compare(a.Path, b.Path) })

	attrs, err := w.imageDir("")
	if err != nil {
		return err
	}
	w.dirs = append(w.dirs, attrs)
	for _, n := range sorted {
		if err := w.add(n); err != nil {
			return fmt.Errorf("write layer entry %q: %w", n.Path, err)
		}
	}
	if err := w.fill(); err != nil {
		return err
	}
	return w.finishDirs()
}

// dirAttrs are applied last: a directory may be unwritable, and each entry
// changes its times.
type dirAttrs struct {
	path     string
	mode     uint32
	uid, gid int
	mtime    time.Time // zero: leave it
	xattrs   map[string][]byte
}

type layerWriter struct {
	root  *os.File
	img   Image
	chown bool
	made  map[string]Kind
	dirs  []dirAttrs           // parents first
	holds map[string][]Node    // by directory: what is to be made there, directories excepted
	first map[[2]uint64]string // of a host file with several names: the first
	again []Node               // further names

	atPath string // the directory that at is open on
	at     *os.File
}

func (w *layerWriter) close() {
	if w.at != nil {
		_ = w.at.Close() // O_PATH: nothing to lose
	}
}

// add makes a directory, and those above; anything else it puts down for fill.
func (w *layerWriter) add(n Node) error {
	if kind, ok := w.made[n.Path]; ok {
		if kind == KindDir && n.Kind == KindDir {
			return nil
		}
		return fmt.Errorf("is there already as a %s", kind)
	}
	for _, dir := range parents(n.Path) {
		if kind, ok := w.made[dir]; ok {
			if kind != KindDir {
				return fmt.Errorf("parent %q is there already as a %s", "/"+dir, kind)
			}
			continue
		}
		attrs, err := w.imageDir(dir)
		if err != nil {
			return err
		}
		if err := w.mkdir(attrs); err != nil {
			return err
		}
	}
	if n.Kind == KindDir {
		return w.mkdir(dirAttrs{path: n.Path, mode: n.Mode, uid: n.UID, gid: n.GID})
	}
	w.made[n.Path] = n.Kind
	if n.Kind == KindMeta && n.Names > 1 {
		if _, ok := w.first[n.HostID]; ok {
			w.again = append(w.again, n)
			return nil
		}
		w.first[n.HostID] = n.Path
	}
	dir := parent(n.Path)
	w.holds[dir] = append(w.holds[dir], n)
	return nil
}

// imageDir describes a directory as the image has it. A symlink there means
// that a node's path is not canonical: a directory would hide the link's.
func (w *layerWriter) imageDir(path string) (dirAttrs, error) {
	attrs := dirAttrs{path: path, mode: 0o755}
	if w.img == nil {
		return attrs, nil
	}
	fi, err := w.img.Lstat("/" + path)
	switch {
	case err != nil && missing(err):
		return attrs, nil
	case err != nil:
		return attrs, fmt.Errorf("look at image: %w", err)
	case fi.IsDir():
	default:
		return attrs, fmt.Errorf("parent %q is no directory in the image", "/"+path)
	}
	st := statOf(fi)
	attrs.mode, attrs.uid, attrs.gid, attrs.mtime = st.mode, st.uid, st.gid, fi.ModTime()
	if x, ok := w.img.(XattrImage); ok {
		if attrs.xattrs, err = x.Xattrs("/" + path); err != nil {
			return attrs, fmt.Errorf("look at image: %w", err)
		}
	}
	return attrs, nil
}

func (w *layerWriter) mkdir(attrs dirAttrs) error {
	at, err := w.open(parent(attrs.path))
	if err != nil {
		return err
	}
	if err := mkdirat(at, base(attrs.path), 0o700); err != nil {
		return err
	}
	w.made[attrs.path] = KindDir
	w.dirs = append(w.dirs, attrs)
	return nil
}

// open returns a handle on a directory of the layer, valid until the next call.
// No component is followed if it is a symlink: some nodes are.
func (w *layerWriter) open(path string) (*os.File, error) {
	if w.at != nil && w.atPath == path {
		return w.at, nil
	}
	at, err := openBelow(w.root, path)
	if err != nil {
		return nil, err
	}
	w.close()
	w.at, w.atPath = at, path
	return at, nil
}

func (w *layerWriter) finishDirs() error {
	for _, attrs := range slices.Backward(w.dirs) {
		if err := w.finishDir(attrs); err != nil {
			return fmt.Errorf("write layer directory %q: %w", "/"+attrs.path, err)
		}
	}
	return nil
}

func (w *layerWriter) finishDir(attrs dirAttrs) (err error) {
	d, err := openReadable(w.root, attrs.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if w.chown {
		if err := d.Chown(attrs.uid, attrs.gid); err != nil {
			return err
		}
	}
	for name, value := range attrs.xattrs {
		if err := setXattr(d, name, value, w.chown); err != nil {
			return err
		}
	}
	mode := attrs.mode
	if !w.chown && attrs.uid != os.Geteuid() {
		mode &^= 0o222 // it is the caller's only because he can't give it away: not his to write to in effect
	}
	if err := fchmod(d, mode); err != nil {
		return err
	}
	if attrs.mtime.IsZero() {
		return nil
	}
	return setMtime(d, attrs.mtime)
}
