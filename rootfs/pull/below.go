package pull

import (
	"cmp"
	"errors"
	"io/fs"
	"strings"

	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/unpack"
)

// owners is what is recorded about a layer, by path.
func (p *puller) owners(id string) (map[string]rootfs.Owner, error) {
	list, err := p.store.Owners(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	owners := make(map[string]rootfs.Owner, len(list))
	for _, o := range list {
		owners[o.Path] = o
	}
	return owners, err
}

// belowView are the layers below one, and what is recorded about them.
type belowView struct {
	*rootfs.View
	owners []func() (map[string]rootfs.Owner, error) // of each directory of the view
}

var _ unpack.BelowOwners = belowView{}

func (b belowView) Owner(path string) (unpack.Owner, bool, error) {
	at, err := b.Origin(path)
	if err != nil {
		return unpack.Owner{}, false, err
	}
	owners, err := b.owners[at]()
	if err != nil {
		return unpack.Owner{}, false, err
	}
	name, err := b.Resolve(path)
	if err != nil {
		return unpack.Owner{}, false, err
	}
	o, ok := owners[cmp.Or(strings.TrimPrefix(name, "/"), ".")]
	return unpack.Owner(o), ok, nil
}
