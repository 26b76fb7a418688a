package pull

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/directory"
	dockerarchive "go.podman.io/image/v5/docker/archive"
	"go.podman.io/image/v5/docker/reference"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/types"

	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/internal/decompress"
)

// plain gives an uncompressed form of file: itself, or a copy in the store's
// tmp. The transports would make such a copy as well, but more than once.
func (p *puller) plain(file string) (name string, cleanup func(), err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	br := bufio.NewReaderSize(f, decompress.Buffer)
	head, err := br.Peek(blockSize)
	if err != nil && err != io.EOF {
		return "", nil, err
	}
	if isTar(head) {
		return file, func() {}, nil
	}
	r, err := decompress.New(br)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %q: %w", ErrNotArchive, file, err)
	}
	defer r.Close()
	out, err := os.CreateTemp(p.tmp, "plain-")
	if err != nil {
		return "", nil, err
	}
	cleanup = func() { os.Remove(out.Name()) }
	p.opt.Progress.Step("decompressing " + file)
	// Not by r's own WriterTo: pgzip's says "short write" where the disk is full.
	_, err = io.Copy(out, struct{ io.Reader }{r})
	if err = errors.Join(err, out.Close()); err != nil {
		cleanup()
		return "", nil, p.plainError(file, err)
	}
	return out.Name(), cleanup, nil
}

// plainError tells a damaged archive from a full disk.
func (p *puller) plainError(file string, err error) error {
	switch {
	case isFull(err), errors.Is(err, syscall.EFBIG):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %q", ErrTruncated, file)
	}
	return fmt.Errorf("%w: decompress %q: %w", ErrNotArchive, file, err)
}

// inside is one image of an archive or layout.
type inside struct {
	ref   types.ImageReference
	names []string
}

// loadArchive loads one image of an archive, or all if inArchive is empty.
func (p *puller) loadArchive(ctx context.Context, a archiveFile, inArchive, file string) (*rootfs.Image, error) {
	if a.kind == kindOCIArchive {
		return p.loadOCIArchive(ctx, a, inArchive, file)
	}
	r, err := dockerarchive.NewReader(p.sys, a.path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotArchive, err)
	}
	defer r.Close()
	images, err := dockerImages(r, inArchive, file)
	if err != nil {
		return nil, err
	}
	return p.loadAll(ctx, images)
}

func dockerImages(r *dockerarchive.Reader, inArchive, file string) ([]inside, error) {
	list, err := r.List()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotArchive, err)
	}
	var images []inside
	for i, refs := range list {
		img := inside{ref: refs[0]}
		for _, ref := range refs {
			if named := ref.DockerReference(); named != nil {
				img.names = append(img.names, named.String())
			}
		}
		if inArchive != "" && inArchive != fmt.Sprintf("@%d", i) && !names(img.names, inArchive) {
			continue
		}
		if len(img.names) == 0 {
			img.names = []string{localName(file, "")}
			if len(list) > 1 {
				img.names = []string{localName(file, fmt.Sprintf("image%d", i))}
			}
		}
		images = append(images, img)
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("%w: %q in %q", ErrUnknown, inArchive, file)
	}
	return images, nil
}

// names says whether one of the full names is what the user wrote.
func names(full []string, text string) bool {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return false
	}
	for _, n := range full {
		if n == reference.TagNameOnly(named).String() {
			return true
		}
	}
	return false
}

// annotationImageName is what containerd and docker add: the full name.
const annotationImageName = "io.containerd.image.name"

// ociImages lists the images of an OCI layout; open makes the reference.
func ociImages(index ispec.Index, wanted, file string, open func(i int, name string) (types.ImageReference, error)) ([]inside, error) {
	var images []inside
	seen := map[digest.Digest]int{}
	for i, desc := range index.Manifests {
		refName := desc.Annotations[ispec.AnnotationRefName]
		if wanted != "" && wanted != refName && wanted != fmt.Sprintf("@%d", i) {
			continue
		}
		name := ociName(desc.Annotations[annotationImageName], refName, file)
		if at, ok := seen[desc.Digest]; ok {
			images[at].names = dedupe(append(images[at].names, name))
			continue
		}
		if len(index.Manifests) == 1 {
			refName = ""
		}
		ref, err := open(i, refName)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrReference, err)
		}
		seen[desc.Digest] = len(images)
		images = append(images, inside{ref: ref, names: []string{name}})
	}
	if len(images) == 0 {
		return nil, fmt.Errorf("%w: %q in %q", ErrUnknown, wanted, file)
	}
	return images, nil
}

func (p *puller) loadLayout(ctx context.Context, spec string) (*rootfs.Image, error) {
	dir, wanted := splitImage(spec)
	list, err := layout.List(dir)
	if err != nil {
		return nil, fmt.Errorf("read image layout %q: %w", dir, err)
	}
	index := ispec.Index{}
	for _, l := range list {
		index.Manifests = append(index.Manifests, l.ManifestDescriptor)
	}
	images, err := ociImages(index, wanted, dir, func(i int, _ string) (types.ImageReference, error) {
		return layout.NewIndexReference(dir, i)
	})
	if err != nil {
		return nil, err
	}
	return p.loadAll(ctx, images)
}

func (p *puller) loadDir(ctx context.Context, dir string) (*rootfs.Image, error) {
	ref, err := directory.NewReference(dir)
	if err != nil {
		return nil, err
	}
	return p.loadAll(ctx, []inside{{ref: ref, names: []string{localName(dir, "")}}})
}

func (p *puller) loadAll(ctx context.Context, images []inside) (first *rootfs.Image, err error) {
	for _, img := range images {
		p.opt.Progress.Step("loading " + strings.Join(img.names, ", "))
		got, err := p.pullImage(ctx, img.ref, img.names)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = got
		}
	}
	// The source stands for the first of them.
	if len(images) > 1 {
		return p.publish(first.Digest, images[0].names)
	}
	return first, nil
}

// ociName gives a layout's image its name. What people write into the ref.name
// annotation is a full name, a short one with a tag, or only one of the two.
func ociName(full, refName, file string) string {
	for _, text := range []string{full, refName} {
		named, err := reference.ParseNormalizedNamed(text)
		if text == "" || err != nil {
			continue
		}
		domain, _, slash := strings.Cut(text, "/")
		switch {
		case slash && (strings.ContainsAny(domain, ".:") || domain == "localhost"):
			return reference.TagNameOnly(named).String()
		case !slash && !strings.Contains(text, ":") && isTagLike(text):
			return localName(file, text)
		}
		if named, err = reference.ParseNormalizedNamed("localhost/" + text); err == nil {
			return reference.TagNameOnly(named).String()
		}
	}
	if full == "" && refName != "" && reference.TagRegexp.FindString(refName) == refName {
		return localName(file, refName)
	}
	return localName(file, "")
}

// isTagLike tells a lone tag (latest, 1.2, v3) from a lone name.
func isTagLike(text string) bool {
	text = strings.TrimPrefix(text, "v")
	return text == "latest" || text != "" && digits(text) > 0
}

// archiveEndings are cut off a file's name, from the end, as long as they fit.
var archiveEndings = []string{".xz", ".zst", ".gz", ".tgz", ".bz2", ".tar", ".oci", ".docker", ".oci-archive", ".docker-archive"}

// localName makes a name in localhost/ from that of a file.
func localName(file, tag string) string {
	base := strings.ToLower(filepath.Base(file))
	for cut := true; cut; {
		cut = false
		for _, ending := range archiveEndings {
			if rest, ok := strings.CutSuffix(base, ending); ok && rest != "" {
				base, cut = rest, true
			}
		}
	}
	if tag == "" {
		tag = "latest"
	}
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '-'
	}, base)
	clean = strings.Trim(clean, "._-")
	if named, err := reference.ParseNormalizedNamed("localhost/" + clean + ":" + tag); err == nil {
		return named.String()
	}
	return "localhost/image-" + digest.FromString(base).Encoded()[:12] + ":latest"
}
