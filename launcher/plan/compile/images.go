package compile

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// nameChecks fingerprints what decides the meaning of names that nothing pins: a tag that moves, or a name that
// becomes ambiguous, has the plan compiled again.
func (c *Compiler) nameChecks(req Request) []plan.Check {
	if !slices.ContainsFunc(req.Images, func(name string) bool { return req.Digests[name] == "" }) {
		return nil
	}
	var out []plan.Check
	for _, store := range c.Images.Stores() {
		for _, dir := range store.NameDirs() {
			out = append(out, plan.NewCheck(dir))
		}
	}
	return out
}

// images resolves the names of the request: a pinned name starts its digest and nothing else.
func (c *Compiler) images(ctx context.Context, req Request) ([]rootfs.Stored, map[string]string, error) {
	var out []rootfs.Stored
	digests := map[string]string{}
	for _, name := range req.Images {
		img, err := c.image(ctx, name, req.Digests[name])
		if err != nil {
			return nil, nil, err
		}
		out = append(out, img)
		digests[name] = img.Digest.String()
	}
	return out, digests, nil
}

func (c *Compiler) image(ctx context.Context, name, pinned string) (rootfs.Stored, error) {
	if pinned != "" {
		img, err := c.stored(digest.Digest(pinned))
		if err == nil {
			return img, nil
		}
		return c.fetchPinned(ctx, name, pinned, err)
	}
	d, err := c.Images.Resolve(name)
	if err == nil {
		var img rootfs.Stored
		if img, err = c.stored(d); err == nil {
			return img, nil
		}
	}
	var ambiguous *rootfs.AmbiguousError
	if errors.As(err, &ambiguous) {
		return rootfs.Stored{}, err
	}
	return c.fetch(ctx, name, err)
}

func (c *Compiler) stored(d digest.Digest) (rootfs.Stored, error) {
	img, store, err := c.Images.Image(d)
	return rootfs.Stored{Image: img, Store: store}, err
}

// fetch gets an image into the caller's own store; without Fetch, cause is why it is not there.
func (c *Compiler) fetch(ctx context.Context, name string, cause error) (rootfs.Stored, error) {
	if c.Fetch == nil {
		return rootfs.Stored{}, cause
	}
	img, err := c.Fetch(ctx, name)
	var missing *rootfs.NotFoundError
	if err != nil && errors.As(cause, &missing) && len(missing.Unread) > 0 {
		// What a registry says of the name explains less.
		return rootfs.Stored{}, &rootfs.NotFoundError{Name: name, Unread: missing.Unread}
	}
	return rootfs.Stored{Image: img, Store: c.Store}, err
}

// fetchPinned gets an image back that a flake pins and the store lost. Another digest under the same name is
// not what was registered.
func (c *Compiler) fetchPinned(ctx context.Context, name, pinned string, cause error) (rootfs.Stored, error) {
	if now, err := c.Images.Resolve(name); err == nil && now.String() != pinned {
		return rootfs.Stored{}, &MovedError{Name: name, Pinned: pinned, Now: now.String()}
	}
	img, err := c.fetch(ctx, name, cause)
	if err != nil {
		return rootfs.Stored{}, err
	}
	if img.Digest.String() != pinned {
		return rootfs.Stored{}, &MovedError{Name: name, Pinned: pinned, Now: img.Digest.String()}
	}
	return img, nil
}

// stackDirs are the layer directories of a stack, bottom first.
func stackDirs(images []rootfs.Stored) []string {
	var dirs []string
	for _, i := range images {
		dirs = append(dirs, i.LayerDirs(i.Store)...)
	}
	return dirs
}
