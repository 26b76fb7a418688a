package compile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/flake-launcher/flake-launcher/rootfs"
)

// maxInfo bounds the text that an image says about itself.
const maxInfo = 1 << 20

// Info returns what an image says about itself: the file /NAME.yaml at its root, NAME being the last part of the
// image's name without its tag (flake-pilot keeps the tag: tried next).
func (c *Compiler) Info(ctx context.Context, image string) ([]byte, error) {
	img, err := c.image(ctx, image, "")
	if err != nil {
		return nil, err
	}
	view, err := rootfs.NewView(img.LayerDirs(img.Store))
	if err != nil {
		return nil, fmt.Errorf("open layers of image %q: %w", image, err)
	}
	defer view.Close()
	tagged := path.Base(image)
	name, _, _ := strings.Cut(tagged, ":")
	for _, n := range []string{name, tagged} {
		b, err := view.ReadFile("/"+n+".yaml", maxInfo)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return b, err
		}
	}
	return nil, &StackError{
		Flake: image, Reason: fmt.Sprintf("the image has no /%s.yaml", name), Fix: "register it without --info",
	}
}
