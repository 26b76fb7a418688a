// Package rootfs owns the store: the content-addressed place on disk where
// unpacked image layers, image manifests and configs, and the names that point
// at them live. FORMAT.md beside this file describes the layout, who writes
// what and when, and the locks.
//
// It offers four things:
//
//   - reading: [Open], [Store.Resolve], [Store.Image], [Store.Images];
//   - the write primitives that rootfs/pull, rootfs/gc and the plan compiler
//     are made of: [Store.Writing], [Store.Temp], [Store.LockLayer],
//     [Store.CommitLayer], [Store.PutImage], [Store.SetRef],
//     [Store.RetireLayer], [Store.RemoveTree];
//   - [Set]: the caller's own store together with root's and others, read in
//     place;
//   - [View], which answers what a stack of layers looks like once merged,
//     without mounting anything.
//
// It does not fetch or unpack images (rootfs/pull, rootfs/unpack), does not
// decide what is garbage (rootfs/gc), and never mounts. It is linked into the
// launcher binary and therefore stays light: it must not import
// containers/image.
//
// # Order of work of a writer
//
// A pull that wants to be safe against a crash, against a second pull and
// against a collection running beside it does:
//
//	done, err := s.Writing(ctx)               // collection waits until done()
//	unlock, err := s.LockLayer(ctx, key)      // per layer
//	if !s.HasLayer(id) {
//		t, err := s.Temp("layer")             // unpack into t.Dir()
//		err = s.CommitLayer(t.Dir(), id)      // sync + rename; CommitLayerOwners if unpacked without privileges
//		t.Close()
//	}
//	unlock()
//	s.PutImage(rec, manifest, config)         // only once every layer is there
//	s.SetRef(name, rec.Digest)                // last: makes it reachable
//	done()
//
// Each step leaves a store that opens, whatever happens between two of them.
package rootfs
