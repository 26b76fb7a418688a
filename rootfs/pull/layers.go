package pull

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"go.podman.io/image/v5/pkg/blobinfocache/none"
	"go.podman.io/image/v5/types"

	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/internal/complete"
	"github.com/flake-launcher/flake-launcher/rootfs/internal/decompress"
	"github.com/flake-launcher/flake-launcher/rootfs/unpack"
)

// emptyDiffID is the diffID of a layer without entries. A lowest layer with
// implied parents is stored as if this were below it: its plain chainID is its
// diffID, under which other images would take it to fit everywhere.
const emptyDiffID = digest.Digest("sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef")

// layer is one layer of the image in work.
type layer struct {
	info   types.BlobInfo
	want   digest.Digest // diffID, "" if only unpacking will tell (schema 1)
	below  []*layer
	record rootfs.LayerRecord
	done   chan struct{} // closed when record is filled
}

// fetchLayers brings all layers of an image into the store, several at once,
// bottom first.
func (p *puller) fetchLayers(ctx context.Context, f *found) ([]rootfs.LayerRecord, error) {
	layers := make([]*layer, len(f.layers))
	for i, info := range f.layers {
		layers[i] = &layer{info: info, below: layers[:i:i], done: make(chan struct{})}
		if f.blob != nil {
			layers[i].want = f.config.RootFS.DiffIDs[i]
			if err := layers[i].want.Validate(); err != nil {
				return nil, fmt.Errorf("%w: diffID: %w", ErrBadImage, err)
			}
		} else if known, ok := p.known[info.Digest]; ok {
			layers[i].want = known.DiffID
		}
	}
	jobs := p.opt.Jobs
	if !f.src.HasThreadSafeGetBlob() {
		jobs = 1
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	slots := make(chan struct{}, jobs)
	for _, l := range layers {
		// In order, so that whoever waits for lower layers never keeps them out.
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := p.fetchLayer(ctx, f.src, l); err != nil {
				cancel(fmt.Errorf("layer %s: %w", shortID(l.info.Digest), err))
				return
			}
			close(l.done)
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	records := make([]rootfs.LayerRecord, len(layers))
	for i, l := range layers {
		records[i] = l.record
	}
	return records, nil
}

// fetchLayer makes sure that one layer is in the store.
func (p *puller) fetchLayer(ctx context.Context, src types.ImageSource, l *layer) error {
	if err := l.info.Digest.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrBadImage, err)
	}
	if p.present(l) {
		p.opt.Progress.Step("layer " + shortID(l.info.Digest) + ": in the store already")
		return nil
	}
	unlock, err := p.store.LockLayer(ctx, l.key())
	if err != nil {
		return err
	}
	defer unlock()
	if p.present(l) { // another pull brought it while this one waited
		p.opt.Progress.Step("layer " + shortID(l.info.Digest) + ": in the store already")
		return nil
	}
	bar := p.opt.Progress.Layer(shortID(l.info.Digest), l.info.Size)
	err = p.bring(ctx, src, l, bar)
	bar.Done(err)
	return err
}

// diffID is known from the config, or when the layer is done.
func (l *layer) diffID() digest.Digest {
	if l.want != "" {
		return l.want
	}
	select {
	case <-l.done:
		return l.record.DiffID
	default:
		return ""
	}
}

// key is what pulls of the same layer are told by. It depends on the layers
// below: a layer that waits for lower ones then never waits in a circle.
func (l *layer) key() string {
	ids := make([]digest.Digest, 0, len(l.below)+1)
	for _, b := range append(slices.Clone(l.below), l) {
		ids = append(ids, cmp.Or(b.want, b.info.Digest))
	}
	return identity.ChainID(ids).String()
}

// chainID is the name of a layer that depends on those below it; "" if one of
// their diffIDs is not known yet.
func (l *layer) chainID(diffID digest.Digest) digest.Digest {
	if len(l.below) == 0 {
		return identity.ChainID([]digest.Digest{emptyDiffID, diffID})
	}
	ids := make([]digest.Digest, 0, len(l.below)+1)
	for _, b := range l.below {
		id := b.diffID()
		if id == "" {
			return ""
		}
		ids = append(ids, id)
	}
	return identity.ChainID(append(ids, diffID))
}

// present fills the record if the store has the layer. One whose id depends on the layers below has implied parents, which
// only a record tells: without one, as a pull leaves it that was cut short, it is brought again.
func (p *puller) present(l *layer) bool {
	if l.want == "" {
		return false
	}
	for _, id := range []digest.Digest{l.want, l.chainID(l.want)} {
		known, recorded := p.known[l.want]
		if id != "" && (id == l.want || recorded) && p.store.HasLayer(id.Encoded()) {
			l.fill(id, l.want, unpack.Result{Size: known.UnpackedSize, Devices: known.Devices, ImpliedParents: known.Implied})
			return true
		}
	}
	return false
}

func (l *layer) fill(id, diffID digest.Digest, res unpack.Result) {
	l.record = rootfs.LayerRecord{
		ID: id.Encoded(), DiffID: diffID, Digest: l.info.Digest, Size: l.info.Size,
		MediaType: l.info.MediaType, UnpackedSize: res.Size, Devices: res.Devices, Implied: res.ImpliedParents,
	}
}

// bring fetches, verifies, unpacks and commits.
func (p *puller) bring(ctx context.Context, src types.ImageSource, l *layer, bar Bar) (err error) {
	tmp, err := p.store.Temp("layer")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tmp.Close()) }()
	dir, err := spread(tmp.Dir(), shortID(l.info.Digest))
	if err != nil {
		return err
	}
	res, diffID, err := p.stream(ctx, src, l, dir, bar)
	if err != nil {
		return err
	}
	id := diffID
	if len(res.ImpliedParents) > 0 {
		if err := p.settle(ctx, l, dir, &res); err != nil {
			return err
		}
		id = l.chainID(diffID)
	}
	if err := complete.Commit(p.store, dir, id.Encoded(), &res, p.rootless); err != nil {
		return err
	}
	l.fill(id, diffID, res)
	return nil
}

// stream unpacks the blob while it comes, and verifies both digests.
func (p *puller) stream(ctx context.Context, src types.ImageSource, l *layer, dir string, bar Bar) (res unpack.Result, diffID digest.Digest, err error) {
	ctx, dog, stop := newWatchdog(ctx, p.opt.Stall)
	defer stop()
	body, size, err := src.GetBlob(ctx, l.info, none.NoCache)
	if err != nil {
		return res, "", causeOf(ctx, err)
	}
	defer body.Close()
	if l.info.Size < 0 {
		l.info.Size = size
	}
	raw := newHashing(dog.reader(ctx, body), l.info.Digest.Algorithm(), bar.Add)
	res, diffID, err = p.unpackStream(ctx, raw, dir)
	switch {
	case raw.err != nil:
		return res, "", raw.err
	case ctx.Err() != nil:
		return res, "", context.Cause(ctx)
	case isFull(err):
		return res, "", err
	}
	// Content that is not what it should be explains whatever else is wrong with it.
	cut := errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unpack.ErrTruncated)
	if err := raw.check(l.info.Digest, l.info.Size, cut); err != nil {
		return res, "", err
	}
	if err != nil {
		return res, "", err
	}
	if l.want != "" && diffID != l.want {
		return res, "", fmt.Errorf("%w: unpacked %s instead of %s", ErrDigest, diffID, l.want)
	}
	return res, diffID, nil
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// unpackStream decompresses and unpacks; the reader is not in use any more
// when it returns.
func (p *puller) unpackStream(ctx context.Context, raw io.Reader, dir string) (unpack.Result, digest.Digest, error) {
	tarStream, err := decompress.New(bufio.NewReaderSize(raw, decompress.Buffer))
	if err != nil {
		return unpack.Result{}, "", fmt.Errorf("decompress: %w", err)
	}
	plain := newHashing(tarStream, digest.Canonical, nil)
	res, err := unpack.Layer(ctx, plain, dir, unpack.Options{Rootless: p.rootless})
	if closeErr := tarStream.Close(); err == nil && closeErr != nil {
		err = fmt.Errorf("decompress: %w", closeErr)
	}
	return res, plain.d.Digest(), err
}

// settle waits for the lower layers, which always are ahead of this one, and
// gives the layer the parents it left unnamed.
func (p *puller) settle(ctx context.Context, l *layer, dir string, res *unpack.Result) error {
	var below []complete.Part
	for _, b := range l.below {
		select {
		case <-b.done:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		below = append(below, complete.Part{Store: p.store, ID: b.record.ID})
	}
	_, err := complete.Settle(dir, res, below)
	return err
}
