package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
)

// hashing is a reader that hashes what passes.
type hashing struct {
	r   io.Reader
	d   digest.Digester
	n   int64
	add func(int)
	err error // of r, other than io.EOF
}

func newHashing(r io.Reader, algorithm digest.Algorithm, add func(int)) *hashing {
	return &hashing{r: r, d: algorithm.Digester(), add: add}
}

func (h *hashing) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	if n > 0 {
		_, _ = h.d.Hash().Write(p[:n])
		h.n += int64(n)
		if h.add != nil {
			h.add(n)
		}
	}
	if err != nil && err != io.EOF {
		h.err = err
	}
	return n, err
}

// check reads what is left and compares. Content that ended too early (cut), and
// is shorter than size, is told from content that is another's.
func (h *hashing) check(want digest.Digest, size int64, cut bool) error {
	if _, err := io.Copy(io.Discard, h); err != nil {
		return err
	}
	got := h.d.Digest()
	switch {
	case got == want:
		return nil
	case cut && h.n < size:
		return fmt.Errorf("%w: %d of %d bytes of %s", ErrTruncated, h.n, size, want)
	}
	return fmt.Errorf("%w: %s instead of %s", ErrDigest, got, want)
}

// watchdog ends a context when nothing happens for too long.
type watchdog struct {
	timer *time.Timer
	limit time.Duration
}

func newWatchdog(ctx context.Context, limit time.Duration) (context.Context, *watchdog, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watchdog{limit: limit}
	w.timer = time.AfterFunc(limit, func() {
		cancel(fmt.Errorf("%w: nothing came for %v", ErrStalled, limit))
	})
	return ctx, w, func() {
		w.timer.Stop()
		cancel(nil)
	}
}

// reader counts only the time in which somebody waits for r: a slow disk is
// not the registry's fault.
func (w *watchdog) reader(ctx context.Context, r io.Reader) io.Reader {
	w.timer.Stop()
	return &watchedReader{ctx: ctx, w: w, r: r}
}

type watchedReader struct {
	ctx context.Context
	w   *watchdog
	r   io.Reader
}

func (r *watchedReader) Read(p []byte) (int, error) {
	r.w.timer.Reset(r.w.limit)
	n, err := r.r.Read(p)
	r.w.timer.Stop()
	return n, causeOf(r.ctx, err)
}

// causeOf says why a context ended where the error only says that it did.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, io.EOF) {
		return cause
	}
	return err
}

// watched runs one exchange with the source under the stall limit.
func (p *puller) watched(ctx context.Context, do func(context.Context) error) error {
	ctx, _, stop := newWatchdog(ctx, p.opt.Stall)
	defer stop()
	return causeOf(ctx, do(ctx))
}
