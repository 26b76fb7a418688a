package pull

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/flake-launcher/flake-launcher/rootfs"
)

// The kinds of files and directories, named as the transports are.
const (
	kindDockerArchive = "docker-archive"
	kindOCIArchive    = "oci-archive"
	kindOCI           = "oci"
	kindDir           = "dir"

	dockerManifest = "manifest.json" // in a docker-archive and in a dir:
	maxIndex       = 4 << 20
	blockSize      = 512 // of tar
)

// load finds out what path is.
func (p *puller) load(ctx context.Context, name string) (*rootfs.Image, error) {
	file, err := pick(name)
	if err != nil {
		return nil, err
	}
	if file != name {
		p.opt.Progress.Step(fmt.Sprintf("%s is missing, taking %s", name, file))
	}
	fi, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		// Both at once is what docker saves: its OCI layout is the whole image.
		for _, d := range []struct{ kind, mark string }{{kindOCI, ispec.ImageLayoutFile}, {kindDir, dockerManifest}} {
			_, err := os.Stat(filepath.Join(file, d.mark))
			if err == nil {
				return p.loadKind(ctx, d.kind, file)
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		return nil, fmt.Errorf("%w: directory %q has neither %s nor %s", ErrNotArchive, file, ispec.ImageLayoutFile, dockerManifest)
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %q is no file", ErrNotArchive, file)
	}
	plain, cleanup, err := p.plain(file)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	a, err := scan(plain)
	if err != nil {
		return nil, err
	}
	return p.loadArchive(ctx, a, "", file)
}

// loadKind loads from a place whose kind the user gave, with an optional image
// in it, as the transports write it: PATH[:IMAGE].
func (p *puller) loadKind(ctx context.Context, kind, spec string) (*rootfs.Image, error) {
	return fileKinds[kind](p, ctx, spec)
}

// fileKinds says how each kind is loaded.
var fileKinds map[string]func(*puller, context.Context, string) (*rootfs.Image, error)

func init() {
	fileKinds = map[string]func(*puller, context.Context, string) (*rootfs.Image, error){
		kindDockerArchive: (*puller).loadFile,
		kindOCIArchive:    (*puller).loadFile,
		kindOCI:           (*puller).loadLayout,
		kindDir:           (*puller).loadDir,
	}
}

func (p *puller) loadFile(ctx context.Context, spec string) (*rootfs.Image, error) {
	file, inside := splitImage(spec)
	plain, cleanup, err := p.plain(file)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	a, err := scan(plain)
	if err != nil {
		return nil, err
	}
	return p.loadArchive(ctx, a, inside, file)
}

// splitImage divides PATH[:IMAGE]; a path that exists is not divided.
func splitImage(spec string) (file, image string) {
	if _, err := os.Lstat(spec); err == nil {
		return spec, ""
	}
	file, image, _ = strings.Cut(spec, ":")
	return file, image
}

// pick is flake-pilot's rule: a file that is missing stands for the highest of
// those whose names begin with it. Archives go before what lies beside them,
// checksums and package lists, which would otherwise often be the highest.
func pick(name string) (string, error) {
	if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
		return name, err
	}
	dir, prefix := filepath.Split(name)
	if prefix == "" {
		return "", fmt.Errorf("%w: %q", ErrNoFile, name)
	}
	entries, err := os.ReadDir(filepath.Clean(dir + "."))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	best, bestArchive := "", false
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		archive := e.IsDir() || looksLikeArchive(dir+e.Name())
		if best == "" || archive && !bestArchive || archive == bestArchive && compareVersions(e.Name(), best) > 0 {
			best, bestArchive = e.Name(), archive
		}
	}
	if best == "" {
		return "", fmt.Errorf("%w: %q, nor any file whose name begins so", ErrNoFile, name)
	}
	return dir + best, nil
}

// magics are how archives begin: gzip, zstd, xz, bzip2.
var magics = []string{"\x1f\x8b", "\x28\xb5\x2f\xfd", "\xfd7zXZ\x00", "BZh"}

func looksLikeArchive(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, blockSize)
	n, _ := io.ReadFull(f, head)
	head = head[:n]
	return isTar(head) || slices.ContainsFunc(magics, func(m string) bool { return strings.HasPrefix(string(head), m) })
}

// isTar knows a tar archive by its first block.
func isTar(head []byte) bool { return len(head) == blockSize && string(head[257:262]) == "ustar" }

// compareVersions compares as people read it: runs of digits by their value,
// so that 1.10 is above 1.9, and a tilde below everything, as packages have it.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na > 0 && nb > 0 {
			va, vb := strings.TrimLeft(a[:na], "0"), strings.TrimLeft(b[:nb], "0")
			if c := len(va) - len(vb); c != 0 {
				return c
			}
			if c := strings.Compare(va, vb); c != 0 {
				return c
			}
			a, b = a[na:], b[nb:]
			continue
		}
		if c := weight(a[0]) - weight(b[0]); c != 0 {
			return c
		}
		a, b = a[1:], b[1:]
	}
	switch {
	case strings.HasPrefix(a, "~"):
		return -1
	case strings.HasPrefix(b, "~"):
		return 1
	}
	return len(a) - len(b)
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

func weight(c byte) int {
	if c == '~' {
		return -1
	}
	return int(c)
}

// archiveFile is an uncompressed archive and what is in it.
type archiveFile struct {
	path  string
	kind  string
	index ispec.Index // of an oci-archive
}

// scan finds out what kind of archive a tar file is. An archive of docker 25
// and later is both kinds; what comes first decides, both are read well.
func scan(file string) (archiveFile, error) {
	f, err := os.Open(file)
	if err != nil {
		return archiveFile{}, err
	}
	defer f.Close()
	a := archiveFile{path: file}
	tr := tar.NewReader(f)
	for n := 0; ; n++ {
		hdr, err := tr.Next()
		switch {
		case err == io.EOF && n > 0 && !isComplete(f):
			return a, ErrTruncated
		case err == io.EOF:
			return a, fmt.Errorf("%w: it holds neither %s nor %s", ErrNotArchive, dockerManifest, ispec.ImageIndexFile)
		case errors.Is(err, io.ErrUnexpectedEOF) && n > 0:
			return a, ErrTruncated
		case err != nil:
			return a, fmt.Errorf("%w: %w", ErrNotArchive, err)
		}
		switch path.Clean(hdr.Name) {
		case dockerManifest:
			a.kind = kindDockerArchive
			return a, nil
		case ispec.ImageIndexFile:
			a.kind = kindOCIArchive
			data, err := io.ReadAll(io.LimitReader(tr, maxIndex))
			if err != nil {
				return a, err
			}
			if err := json.Unmarshal(data, &a.index); err != nil {
				return a, fmt.Errorf("%w: %s: %w", ErrBadImage, ispec.ImageIndexFile, err)
			}
			return a, nil
		}
	}
}

// isComplete looks for the zeroes that end every tar file. A reader that skips
// over contents does not notice when one is cut.
func isComplete(f *os.File) bool {
	fi, err := f.Stat()
	if err != nil || fi.Size()%blockSize != 0 {
		return false
	}
	end := make([]byte, blockSize)
	_, err = f.ReadAt(end, fi.Size()-blockSize)
	return err == nil && bytes.Equal(end, make([]byte, blockSize))
}

func isPath(source string) bool {
	return strings.ContainsRune(source, '/') && !strings.Contains(source, ":") || fileExists(source)
}

func fileExists(p string) bool {
	_, err := os.Lstat(p)
	return err == nil
}

// dedupe keeps the first of equal names.
func dedupe(names []string) []string {
	var out []string
	for _, n := range names {
		if !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
