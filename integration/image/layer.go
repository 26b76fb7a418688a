package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/google/go-containerregistry/pkg/compression"
)

// Layer is one layer as an uncompressed tar, in memory or in a file. It can be opened any number
// of times and by several at once.
type Layer struct {
	open func() (io.ReadCloser, error)

	once sync.Once
	sum  string
	size int64
	err  error
}

// FromBytes is a layer of a ready tar, whatever its content.
func FromBytes(tar []byte) *Layer {
	return &Layer{open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tar)), nil }}
}

// FromFile is a layer of a ready tar file, which has to stay for as long as the layer is used.
func FromFile(path string) *Layer {
	return &Layer{open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

// Open returns the uncompressed tar.
func (l *Layer) Open() (io.ReadCloser, error) { return l.open() }

// DiffID returns the layer's digest (hexadecimal, SHA-256 of the uncompressed tar) and its size.
func (l *Layer) DiffID() (sum string, size int64, err error) {
	l.once.Do(func() {
		r, err := l.open()
		if err != nil {
			l.err = fmt.Errorf("open layer: %w", err)
			return
		}
		defer r.Close()
		h := sha256.New()
		if l.size, l.err = io.Copy(h, r); l.err != nil {
			l.err = fmt.Errorf("hash layer: %w", l.err)
			return
		}
		l.sum = hex.EncodeToString(h.Sum(nil))
	})
	return l.sum, l.size, l.err
}

// Headers returns the layer's entries as they stand in the tar.
func (l *Layer) Headers() ([]*tar.Header, error) {
	r, err := l.open()
	if err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	defer r.Close()
	var headers []*tar.Header
	for tr := tar.NewReader(r); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			return headers, nil
		}
		if err != nil {
			return headers, fmt.Errorf("read layer: %w", err)
		}
		headers = append(headers, hdr)
	}
}

// registryLayer is the layer as an image of the given family holds it; algorithm "" leaves it
// uncompressed.
func (l *Layer) registryLayer(algorithm string, oci bool) (v1.Layer, error) {
	media := map[string]types.MediaType{
		"": types.DockerUncompressedLayer, Gzip: types.DockerLayer, Zstd: types.OCILayerZStd,
	}
	if oci {
		media = map[string]types.MediaType{
			"": types.OCIUncompressedLayer, Gzip: types.OCILayer, Zstd: types.OCILayerZStd,
		}
	}
	kind, ok := media[algorithm]
	if !ok {
		return nil, fmt.Errorf("no media type for a layer compressed by %q", algorithm)
	}
	if algorithm == "" {
		return &plainLayer{layer: l, media: kind}, nil
	}
	return tarball.LayerFromOpener(l.open,
		tarball.WithCompression(compression.Compression(algorithm)),
		tarball.WithMediaType(kind), tarball.WithCompressionLevel(1))
}

// plainLayer is a layer that is stored as it is: go-containerregistry's own would compress it.
type plainLayer struct {
	layer *Layer
	media types.MediaType
}

var _ v1.Layer = (*plainLayer)(nil)

func (p *plainLayer) Digest() (v1.Hash, error) { return p.DiffID() }

func (p *plainLayer) DiffID() (v1.Hash, error) {
	sum, _, err := p.layer.DiffID()
	return v1.Hash{Algorithm: "sha256", Hex: sum}, err
}

func (p *plainLayer) Compressed() (io.ReadCloser, error) { return p.layer.Open() }

func (p *plainLayer) Uncompressed() (io.ReadCloser, error) { return p.layer.Open() }

func (p *plainLayer) Size() (int64, error) {
	_, size, err := p.layer.DiffID()
	return size, err
}

func (p *plainLayer) MediaType() (types.MediaType, error) { return p.media, nil }
