package image

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Compression of layers in a registry or layout, or of an archive file as a whole.
const (
	Gzip = "gzip"
	Xz   = "xz" // archives only
	Zstd = "zstd"
)

const refNameAnnotation = "org.opencontainers.image.ref.name"

// Image is what a test asks for; the zero value of each field is left out of the image's config.
type Image struct {
	Name         string // NAME:TAG, for archives and layouts
	Layers       []*Layer
	Config       v1.Config
	Architecture string // this machine's when empty
	OS           string // linux when empty

	// Of layouts and registries:
	LayerCompression string // "", Gzip, Zstd
	Docker           bool   // Docker's media types (v2s2) instead of OCI's
}

func (i Image) configFile() (*v1.ConfigFile, error) {
	arch, system := i.Architecture, i.OS
	if arch == "" {
		arch = runtime.GOARCH
	}
	if system == "" {
		system = "linux"
	}
	file := &v1.ConfigFile{
		Architecture: arch, OS: system, Config: i.Config, Created: v1.Time{Time: Epoch},
		RootFS: v1.RootFS{Type: "layers"},
	}
	for n, layer := range i.Layers {
		sum, _, err := layer.DiffID()
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", n, err)
		}
		file.RootFS.DiffIDs = append(file.RootFS.DiffIDs, v1.Hash{Algorithm: "sha256", Hex: sum})
		file.History = append(file.History, v1.History{Created: file.Created, CreatedBy: "flake-launcher tests"})
	}
	return file, nil
}

// Registry returns the image as go-containerregistry's own kind, for pushing and for the digest.
func (i Image) Registry() (v1.Image, error) {
	file, err := i.configFile()
	if err != nil {
		return nil, err
	}
	history := file.History
	file.RootFS.DiffIDs, file.History = nil, nil // Append adds them again
	img, err := mutate.ConfigFile(empty.Image, file)
	if err != nil {
		return nil, fmt.Errorf("set image config: %w", err)
	}
	media, config := types.OCIManifestSchema1, types.OCIConfigJSON
	if i.Docker {
		media, config = types.DockerManifestSchema2, types.DockerConfigJSON
	}
	img = mutate.ConfigMediaType(mutate.MediaType(img, media), config)
	for n, layer := range i.Layers {
		l, err := layer.registryLayer(i.LayerCompression, !i.Docker)
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", n, err)
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, History: history[n]}); err != nil {
			return nil, fmt.Errorf("append layer %d: %w", n, err)
		}
	}
	return img, nil
}

// WriteLayout writes an OCI layout with this one image to dir, which may exist if it is empty.
func (i Image) WriteLayout(dir string) error {
	img, err := i.Registry()
	if err != nil {
		return err
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	var options []layout.Option
	if i.Name != "" {
		options = append(options, layout.WithAnnotations(map[string]string{refNameAnnotation: i.Name}))
	}
	if err := path.AppendImage(img, options...); err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	return nil
}

// WriteArchive writes a docker-archive as KIWI and `podman save` do: uncompressed layers, the image
// tagged docker.io/library/NAME.
func (i Image) WriteArchive(w io.Writer) error {
	file, err := i.configFile()
	if err != nil {
		return err
	}
	config, err := json.Marshal(file)
	if err != nil {
		return fmt.Errorf("encode image config: %w", err)
	}
	sum := sha256.Sum256(config)
	entry := archiveEntry{Config: hex.EncodeToString(sum[:]) + ".json"}
	if i.Name != "" {
		entry.RepoTags = []string{"docker.io/library/" + i.Name}
	}
	tw := tar.NewWriter(w)
	written := map[string]bool{}
	for _, layer := range i.Layers {
		name, err := writeLayer(tw, layer, written)
		if err != nil {
			return err
		}
		entry.Layers = append(entry.Layers, name)
	}
	manifest, err := json.Marshal([]archiveEntry{entry})
	if err != nil {
		return fmt.Errorf("encode manifest: %w", err)
	}
	if err := writeFile(tw, entry.Config, config); err != nil {
		return err
	}
	if err := writeFile(tw, "manifest.json", manifest); err != nil {
		return err
	}
	if err := tw.Close(); err != nil {
		return fmt.Errorf("end archive: %w", err)
	}
	return nil
}

// archiveEntry is one image in a docker-archive's manifest.json.
type archiveEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func writeLayer(tw *tar.Writer, layer *Layer, written map[string]bool) (name string, err error) {
	sum, size, err := layer.DiffID()
	if err != nil {
		return "", err
	}
	name = sum + ".tar"
	if written[name] {
		return name, nil
	}
	written[name] = true
	r, err := layer.Open()
	if err != nil {
		return "", fmt.Errorf("open layer: %w", err)
	}
	defer r.Close()
	hdr := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o444, ModTime: time.Unix(0, 0)}
	if err := tw.WriteHeader(hdr); err != nil {
		return "", fmt.Errorf("write archive: %w", err)
	}
	if _, err := io.Copy(tw, r); err != nil {
		return "", fmt.Errorf("write archive: %w", err)
	}
	return name, nil
}

func writeFile(tw *tar.Writer, name string, content []byte) error {
	hdr := &tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o444, ModTime: time.Unix(0, 0),
	}
	if err := tw.WriteHeader(hdr); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	if _, err := tw.Write(content); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return nil
}
