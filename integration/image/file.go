package image

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// WriteFile writes the image as a docker-archive to path, compressed as its ending says: .gz, .xz,
// .zst, or anything else for none. The file is complete or, on an error, gone.
func (i Image) WriteFile(path string) error {
	return writeTo(path, i.WriteArchive)
}

// TreeFile writes the tree below dir as an uncompressed layer to path.
func TreeFile(path, dir string, whiteouts Whiteouts) error {
	return writeTo(path, func(w io.Writer) error { return Tree(w, dir, whiteouts) })
}

func writeTo(path string, write func(io.Writer) error) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			os.Remove(path)
		}
	}()
	w, err := compressor(f, path)
	if err != nil {
		return fmt.Errorf("compress %s: %w", path, err)
	}
	if err := write(w); err != nil {
		return err
	}
	return w.Close()
}

func compressor(w io.Writer, path string) (io.WriteCloser, error) {
	switch {
	case strings.HasSuffix(path, ".gz"), strings.HasSuffix(path, ".tgz"):
		return gzip.NewWriterLevel(w, gzip.BestSpeed)
	case strings.HasSuffix(path, ".zst"):
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest))
	case strings.HasSuffix(path, ".xz"):
		return xz.NewWriter(w)
	default:
		return plain{w}, nil
	}
}

// plain ends nothing: the file below is closed by whoever opened it.
type plain struct{ io.Writer }

func (plain) Close() error { return nil }
