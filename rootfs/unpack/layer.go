package unpack

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// Options says how a layer is unpacked. The zero value is the form for root.
type Options struct {
	// Rootless asks for a tree that an ordinary user can make, with no more
	// ids than his own: everything belongs to him, and what cannot be kept is
	// told by Finish.
	Rootless bool
}

// Result says what a layer held.
type Result struct {
	// ImpliedParents are the directories, relative and sorted, that entries
	// lie in but that no entry names. If there are any and the layer is not
	// the lowest of its image, Settle has to be called before it is used.
	ImpliedParents []string
	Entries        int   // entries made, whiteouts included
	Devices        int   // device nodes that were left out
	Size           int64 // bytes of file content

	held *holdings // nil if not Rootless
}

// Layer unpacks the uncompressed tar stream r into dir, an existing, empty
// directory that nobody else writes to. Finish has to be called afterwards, and
// Settle before that where there are implied parents: until then a layer
// unpacked with Rootless is more open to its owner than the image says.
//
// It reads r to its end, so that a caller who hashes r has seen all of it.
// After an error the content of dir is undefined and must be thrown away. An
// error of r itself is returned as it is; everything else is an *EntryError, or
// meets ErrNotTar, ErrTruncated or ErrNoXattrs.
//
// Device nodes are left out and counted: a root's /dev is the launcher's. The
// xattrs that overlayfs gives a meaning are deleted from every entry, so that a
// layer cannot point outside of itself.
func Layer(ctx context.Context, r io.Reader, dir string, opt Options) (Result, error) {
	return newUnpacking(dir).layer(ctx, r, opt)
}

func (u *unpacking) layer(ctx context.Context, r io.Reader, opt Options) (Result, error) {
	src := &source{r: r}
	apply := []archive.ApplyOpt{archive.WithFilter(u.filter), archive.WithConvertWhiteout(u.whiteout)}
	if opt.Rootless {
		u.notes = map[string]*note{}
		apply = append(apply, archive.WithNoSameOwner())
	}
	_, err := archive.Apply(log.WithLogger(ctx, silent()), u.dir, src, apply...)
	if err == nil {
		// What follows the end mark is still part of what is hashed.
		_, err = io.Copy(io.Discard, src)
	}
	if err != nil {
		return Result{}, u.explain(ctx, src, err)
	}
	if err := u.finish(); err != nil {
		return Result{}, fmt.Errorf("finish layer: %w", err)
	}
	return u.result(), nil
}

// silent is the library's logger: what it warns of (xattrs that a file system
// refuses) is nothing that a user could act on, and stderr is the app's.
func silent() *log.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	return logrus.NewEntry(l)
}

// source remembers an error of the stream, to tell it from one of the tar.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// explain chooses the error that says most about why the library stopped.
func (u *unpacking) explain(ctx context.Context, src *source, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case src.err != nil:
		return src.err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w after entry %q", ErrTruncated, u.last)
	case errors.Is(err, tar.ErrHeader) && u.seen == 0:
		return ErrNotTar
	}
	var pe *os.PathError
	if errors.As(err, &pe) {
		// The path is one below the temporary directory: the entry's own name says more.
		err = fmt.Errorf("%s: %w", pe.Op, pe.Err)
	}
	return &EntryError{Name: u.last, Err: err}
}
