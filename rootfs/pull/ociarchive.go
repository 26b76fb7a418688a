package pull

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/types"

	"github.com/flake-launcher/flake-launcher/rootfs"
)

// loadOCIArchive takes the archive apart and reads what it holds as a layout. The
// library's own transport does so too, once for each image, and it gives the
// files the owners that the archive names, which only root can.
func (p *puller) loadOCIArchive(ctx context.Context, a archiveFile, inArchive, file string) (_ *rootfs.Image, err error) {
	dir, err := os.MkdirTemp(p.tmp, "layout-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := extractLayout(ctx, a.path, dir); err != nil {
		return nil, err
	}
	images, err := ociImages(a.index, inArchive, file, func(i int, _ string) (types.ImageReference, error) {
		return layout.NewIndexReference(dir, i)
	})
	if err != nil {
		return nil, err
	}
	return p.loadAll(ctx, images)
}

// extractLayout writes the files of an image layout that lie in an archive to a
// directory of ours. Only names that a layout has are taken, and only files.
func extractLayout(ctx context.Context, archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	for tr := tar.NewReader(f); ; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		hdr, err := tr.Next()
		switch {
		case err == io.EOF && isComplete(f):
			return nil
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
			return ErrTruncated
		case err != nil:
			return fmt.Errorf("%w: %w", ErrNotArchive, err)
		}
		name := path.Clean(hdr.Name)
		if hdr.Typeflag != tar.TypeReg || !inLayout(name) {
			continue
		}
		if err := writeFile(filepath.Join(dir, name), tr); err != nil {
			return err
		}
	}
}

// inLayout knows the names of the image layout specification.
func inLayout(name string) bool {
	if name == ispec.ImageLayoutFile || name == ispec.ImageIndexFile {
		return true
	}
	parts := strings.Split(name, "/")
	return len(parts) == 3 && parts[0] == ispec.ImageBlobsDir &&
		digest.Digest(parts[1]+":"+parts[2]).Validate() == nil
}

func writeFile(name string, r io.Reader) (err error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	err = errors.Join(err, f.Close())
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}
