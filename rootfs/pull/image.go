package pull

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"

	"github.com/flake-launcher/flake-launcher/rootfs"
)

// maxNesting is how many indexes may lie inside each other.
const maxNesting = 4

// found is one image at its source, verified but for the layers.
type found struct {
	src      types.ImageSource
	manifest []byte
	digest   digest.Digest
	config   ispec.Image
	blob     []byte // the config as it is stored; nil: made from config (schema 1)
	layers   []types.BlobInfo
}

// pullImage brings one image, known exactly, into the store.
func (p *puller) pullImage(ctx context.Context, ref types.ImageReference, names []string) (img *rootfs.Image, err error) {
	var src types.ImageSource
	err = p.watched(ctx, func(ctx context.Context) (err error) {
		src, err = ref.NewImageSource(ctx, p.sys)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer src.Close()
	var f *found
	err = p.watched(ctx, func(ctx context.Context) (err error) {
		f, err = p.find(ctx, src)
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := p.store.Image(f.digest); err == nil {
		p.opt.Progress.Step("image " + shortID(f.digest) + " is in the store already")
		return p.publish(f.digest, names)
	}
	layers, err := p.fetchLayers(ctx, f)
	if err != nil {
		return nil, err
	}
	if f.blob == nil {
		if f.blob, err = schema1Config(f.config, layers); err != nil {
			return nil, err
		}
	}
	rec := rootfs.Record{
		Digest: f.digest, Source: p.source, Created: now(), Layers: layers,
		Architecture: f.config.Architecture, OS: f.config.OS,
	}
	if err := p.store.PutImage(rec, f.manifest, f.blob); err != nil {
		return nil, err
	}
	return p.publish(f.digest, names)
}

// find reads manifest and config: the instance for the platform out of an
// index, checked against the signature policy and the wanted platform.
func (p *puller) find(ctx context.Context, src types.ImageSource) (*found, error) {
	unparsed := image.UnparsedInstance(src, nil)
	chosen := false
	for range maxNesting {
		blob, mime, err := unparsed.Manifest(ctx)
		if err != nil {
			return nil, err
		}
		if !manifest.MIMETypeIsMultiImage(manifest.NormalizedMIMEType(mime)) {
			return p.parse(ctx, src, unparsed, chosen)
		}
		list, err := manifest.ListFromBlob(blob, mime)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadImage, err)
		}
		instance, err := list.ChooseInstance(p.sys)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrArchitecture, err)
		}
		unparsed, chosen = image.UnparsedInstance(src, &instance), true
	}
	return nil, fmt.Errorf("%w: indexes lie too deep inside each other", ErrBadImage)
}

func (p *puller) parse(ctx context.Context, src types.ImageSource, unparsed *image.UnparsedImage, chosen bool) (*found, error) {
	if allowed, err := p.policy.IsRunningImageAllowed(ctx, unparsed); !allowed || err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPolicy, err)
	}
	img, err := image.FromUnparsedImage(ctx, p.sys, unparsed)
	if err != nil {
		return nil, err
	}
	config, err := img.OCIConfig(ctx)
	if err != nil {
		return nil, err
	}
	if !chosen {
		if err := p.checkPlatform(config); err != nil {
			return nil, err
		}
	}
	f := &found{src: src, config: *config}
	if f.manifest, _, err = img.Manifest(ctx); err != nil {
		return nil, err
	}
	if f.digest, err = manifest.Digest(f.manifest); err != nil {
		return nil, err
	}
	if f.blob, err = img.ConfigBlob(ctx); err != nil {
		return nil, err
	}
	for _, l := range img.LayerInfos() {
		if _, mime, _ := img.Manifest(ctx); isSchema1(mime) && l.Digest == image.GzippedEmptyLayerDigest {
			continue // what schema 1 has for lines that change no file
		}
		f.layers = append(f.layers, l)
	}
	if f.blob != nil && len(config.RootFS.DiffIDs) != len(f.layers) {
		return nil, fmt.Errorf("%w: %d layers, but %d in the config", ErrBadImage, len(f.layers), len(config.RootFS.DiffIDs))
	}
	return f, nil
}

func isSchema1(mime string) bool {
	return mime == manifest.DockerV2Schema1MediaType || mime == manifest.DockerV2Schema1SignedMediaType
}

// checkPlatform refuses an image that says it is for another platform. One that
// says nothing is taken.
func (p *puller) checkPlatform(config *ispec.Image) error {
	want := p.opt.wanted()
	ok := rootfs.IsArch(config.Architecture, want) && (config.OS == "" || strings.EqualFold(config.OS, p.opt.OS))
	if p.opt.Arch == "" {
		ok = rootfs.Runs(config.OS, config.Architecture, want)
	}
	if !ok {
		return fmt.Errorf("%w: %s/%s, wanted is %s/%s", ErrArchitecture, config.OS, config.Architecture, p.opt.OS, want)
	}
	return nil
}

// schema1Config completes the config that schema 1 does not have with what only
// unpacking could tell.
func schema1Config(config ispec.Image, layers []rootfs.LayerRecord) ([]byte, error) {
	config.RootFS = ispec.RootFS{Type: "layers"}
	for _, l := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.DiffID)
	}
	return json.Marshal(config)
}
