package include

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/internal/complete"
	"github.com/flake-launcher/flake-launcher/rootfs/internal/decompress"
	"github.com/flake-launcher/flake-launcher/rootfs/unpack"
)

const (
	// attempts is how often a source is read that changes meanwhile.
	attempts = 3
	tarBlock = 512
)

// Part is one layer of the stack below, and the store it lies in.
type Part = complete.Part

// Maker makes layers in the caller's own store.
type Maker struct {
	Store *rootfs.Store
	// Stores are asked for a layer that is there already, the own one first.
	Stores []*rootfs.Store
	// Progress is told what takes time; nil is nobody.
	Progress func(text string)
}

// Layer is a layer that was made of a source.
type Layer struct {
	Part
	// Implied are the directories, relative and sorted, that the layer has
	// entries in without naming them.
	Implied []string
}

// Have gives the layer of a source on top of those below, bottom first, if one
// of the stores has it. A nil state is that of a source that the caller cannot
// look at: then what another store has of it is taken as it is, and its record
// (RecordFile) says when that changed. own wants it from the own store.
func (m *Maker) Have(s Source, state *State, below []Part, own bool) (*Layer, bool) {
	for _, store := range m.Stores {
		mine := store.Root() == m.Store.Root()
		if own && !mine || mine && state == nil {
			continue
		}
		r := readRecord(store, s)
		if r == nil || state != nil && r.Fingerprint != state.fingerprint {
			continue
		}
		for _, l := range r.Layers {
			if store.HasLayer(l.ID) && fits(r, l, below, !mine) {
				return &Layer{Part{Store: store, ID: l.ID}, r.Implied}, true
			}
		}
	}
	return nil, false
}

// Make is Have, and makes the layer in the own store where there is none. Who
// calls it holds [rootfs.Store.Writing]. Of several that do so at once one
// unpacks. The error is an *Error, or that of a context that ended.
func (m *Maker) Make(ctx context.Context, state *State, below []Part, own bool) (*Layer, error) {
	s := state.Source
	if l, ok := m.Have(s, state, below, own); ok {
		return l, nil
	}
	unlock, err := m.Store.LockLayer(ctx, "include "+recordName(s))
	if err != nil {
		return nil, err
	}
	defer unlock()
	for range attempts {
		if l, ok := m.Have(s, state, below, own); ok {
			return l, nil
		}
		if m.Progress != nil {
			m.Progress("unpacking " + s.Path)
		}
		l, err := m.bring(ctx, state, below)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err == nil:
			return l, nil
		case !errors.Is(err, errChanged) && !errors.Is(err, fs.ErrNotExist):
			return nil, sourceError(s, err)
		}
		if state, err = m.Look(s); err != nil {
			return nil, err
		}
	}
	return nil, sourceError(s, errChanged)
}

// fits says whether a layer is right for a stack; others is that another user
// made it.
func fits(r *record, l made, below []Part, others bool) bool {
	if len(r.Implied) == 0 {
		return true
	}
	ok, err := complete.Holds(l.Below, below, others)
	return ok && err == nil
}

// layerID names a layer by its diffID, as those of images are named, or, where
// it was completed from the layers below it, by that and what they said.
func layerID(diffID digest.Digest, implied []string, known []complete.Answer) string {
	if len(implied) == 0 {
		return diffID.Encoded()
	}
	d := digest.Canonical.Digester()
	fmt.Fprintf(d.Hash(), "include %s\n", diffID)
	for _, a := range known {
		fmt.Fprintf(d.Hash(), "%q %q %q\n", a.Ask, a.Path, a.Told)
	}
	return d.Digest().Encoded()
}

// bring unpacks, settles and commits.
func (m *Maker) bring(ctx context.Context, state *State, below []Part) (l *Layer, err error) {
	tmp, err := m.Store.Temp("include")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, tmp.Close()) }()
	dir := filepath.Join(tmp.Dir(), "layer")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // whatever the umask
		return nil, err
	}
	rootless := !rootfs.Privileged()
	var res unpack.Result
	var diffID digest.Digest
	err = read(ctx, state.Source, func(r io.Reader) error {
		d := digest.Canonical.Digester()
		res, err = unpack.Layer(ctx, io.TeeReader(r, d.Hash()), dir, unpack.Options{Rootless: rootless})
		diffID = d.Digest()
		return err
	})
	if err != nil {
		return nil, err
	}
	if now, err := m.Look(state.Source); err != nil || now.fingerprint != state.fingerprint {
		return nil, errors.Join(err, errChanged)
	}
	known, err := complete.Settle(dir, &res, below)
	if err != nil {
		return nil, fmt.Errorf("complete layer: %w", err)
	}
	id := layerID(diffID, res.ImpliedParents, known)
	if err := complete.Commit(m.Store, dir, id, &res, rootless); err != nil {
		return nil, err
	}
	r := record{Fingerprint: state.fingerprint, DiffID: diffID, Implied: res.ImpliedParents, Layers: []made{{id, known}}}
	if old := readRecord(m.Store, state.Source); old != nil && old.DiffID == diffID {
		stale := func(o made) bool { return o.ID == id || !m.Store.HasLayer(o.ID) }
		r.Layers = append(slices.DeleteFunc(old.Layers, stale), r.Layers...)
	}
	return &Layer{Part{Store: m.Store, ID: id}, res.ImpliedParents}, writeRecord(m.Store, state.Source, &r)
}

// read hands the source to take as a plain tar stream. What take did not read
// of an archive is not read either.
func read(ctx context.Context, s Source, take func(io.Reader) error) error {
	if s.Kind == Tar {
		return readTar(s.Path, take)
	}
	own := ids{0, 0}
	if !rootfs.Privileged() {
		own = ids{uint32(os.Geteuid()), uint32(os.Getegid())}
	}
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := writeTree(ctx, pw, s.Path, own)
		pw.CloseWithError(err) // nil is the end
		done <- err
	}()
	err := take(pr)
	pr.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	if treeErr := <-done; treeErr != nil && (err == nil || errors.Is(err, treeErr)) {
		return treeErr
	}
	return err
}

func readTar(path string, take func(io.Reader) error) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return errors.Join(errKind, err)
	}
	plain, err := decompress.New(bufio.NewReaderSize(f, decompress.Buffer))
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	err = unpack.ErrNotTar
	head := bufio.NewReaderSize(plain, decompress.Buffer)
	if b, _ := head.Peek(tarBlock); len(b) == 0 || len(b) == tarBlock {
		err = take(head)
	}
	if closeErr := plain.Close(); err == nil && closeErr != nil {
		return fmt.Errorf("decompress: %w", closeErr)
	}
	return err
}

// Hidden says that a source is out of the caller's reach, though it may be there.
func Hidden(err error) bool { return errors.Is(err, fs.ErrPermission) }
