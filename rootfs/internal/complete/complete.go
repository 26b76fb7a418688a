// Package complete does what a layer needs between being unpacked and being
// used: it gives it the parents that it left unnamed, and commits it.
//
// It joins rootfs, which does not know unpacking, and rootfs/unpack, which does
// not know the store. Entry points: [Settle], [Commit].
package complete

import (
	"cmp"
	"errors"
	"io/fs"
	"strings"
	"sync"

	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/unpack"
)

// Part is one layer of a stack, and the store it lies in.
type Part struct {
	Store *rootfs.Store
	ID    string
}

// Settle is [unpack.Settle] for a layer on top of these, bottom first. What it
// came to know of them is returned: on top of others of which the same is true
// ([Holds]) it would have made the same.
func Settle(dir string, res *unpack.Result, parts []Part) (known []Answer, err error) {
	if len(res.ImpliedParents) == 0 || len(parts) == 0 {
		return nil, nil
	}
	below, err := open(parts)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, below.Close()) }()
	err = unpack.Settle(dir, res, below)
	return below.known, err
}

// open opens a stack, bottom first.
func open(parts []Part) (*view, error) {
	v := &view{asked: map[Answer]bool{}}
	var dirs []string
	for _, p := range parts {
		owners := sync.OnceValues(func() (map[string]rootfs.Owner, error) { return recorded(p) })
		for _, d := range p.Store.LayerParts(p.ID) {
			dirs = append(dirs, d)
			v.owners = append(v.owners, owners)
		}
	}
	shown, err := rootfs.TrimOpaque(dirs)
	if err != nil {
		return nil, err
	}
	v.owners = v.owners[len(dirs)-len(shown):]
	v.View, err = rootfs.NewView(shown)
	return v, err
}

// recorded is what is recorded about a layer, by path.
func recorded(p Part) (map[string]rootfs.Owner, error) {
	list, err := p.Store.Owners(p.ID)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	owners := make(map[string]rootfs.Owner, len(list))
	for _, o := range list {
		owners[o.Path] = o
	}
	return owners, err
}

// view are the layers below one, and what is recorded about them. It remembers
// what it was asked.
type view struct {
	*rootfs.View
	owners []func() (map[string]rootfs.Owner, error) // of each directory of the view
	known  []Answer
	asked  map[Answer]bool
}

var _ unpack.BelowOwners = (*view)(nil)

func (v *view) Lstat(path string) (fs.FileInfo, error) {
	fi, err := v.View.Lstat(path)
	v.note(askStat, path, statAnswer(fi, err))
	return fi, err
}

func (v *view) Resolve(path string) (string, error) {
	name, err := v.View.Resolve(path)
	v.note(askResolve, path, resolveAnswer(name, err))
	return name, err
}

func (v *view) Owner(path string) (unpack.Owner, bool, error) {
	o, ok, err := v.owner(path)
	v.note(askOwner, path, ownerAnswer(o, ok, err))
	return o, ok, err
}

func (v *view) owner(path string) (unpack.Owner, bool, error) {
	at, err := v.Origin(path)
	if err != nil {
		return unpack.Owner{}, false, err
	}
	owners, err := v.owners[at]()
	if err != nil {
		return unpack.Owner{}, false, err
	}
	name, err := v.View.Resolve(path)
	if err != nil {
		return unpack.Owner{}, false, err
	}
	o, ok := owners[cmp.Or(strings.TrimPrefix(name, "/"), ".")]
	return unpack.Owner(o), ok, nil
}

// Commit finishes the tree at dir, which lies in a temporary directory of the
// store, and makes it the layer id. rootless is what it was unpacked with.
func Commit(s *rootfs.Store, dir, id string, res *unpack.Result, rootless bool) error {
	lost, err := unpack.Finish(dir, res)
	if err != nil {
		return err
	}
	if !rootless {
		return s.CommitLayer(dir, id)
	}
	owners := make([]rootfs.Owner, len(lost))
	for i, o := range lost {
		owners[i] = rootfs.Owner(o)
	}
	return s.CommitLayerOwners(dir, id, owners)
}
