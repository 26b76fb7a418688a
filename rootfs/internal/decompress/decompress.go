// Package decompress opens a stream whatever it is compressed with.
//
// It bounds the memory that a hostile stream can ask for, and knows nothing of
// what is in it. The entry point is [New].
package decompress

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/klauspost/pgzip"
	"github.com/ulikunitz/xz"
)

const (
	// Memory for one stream: pgzip reads this far ahead of the unpacker, which
	// is enough to keep two processors busy.
	gzipBlock  = 256 << 10
	gzipBlocks = 4
	// A frame that wants a larger window is refused: it could take all memory.
	// zstd's own strongest level uses 128 MiB.
	zstdWindow = 128 << 20

	// Buffer is a good size for the reader that New gets.
	Buffer = 128 << 10
)

// New recognises gzip, zstd, xz and bzip2 by their first bytes, whatever a
// name or a media type says; anything else comes out as it is. Closing what it
// returns stops reading from r.
func New(r *bufio.Reader) (io.ReadCloser, error) {
	head, err := r.Peek(6)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return pgzip.NewReaderN(r, gzipBlock, gzipBlocks)
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")), isSkippable(head):
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(2), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		d, err := xz.NewReader(r)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(d), nil
	case bytes.HasPrefix(head, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(r)), nil
	}
	return io.NopCloser(r), nil
}

// isSkippable knows the frame that zstd:chunked layers may begin with.
func isSkippable(head []byte) bool {
	return len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18})
}
