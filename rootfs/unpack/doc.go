// Package unpack turns one image layer, a tar stream, into a directory in the
// form that overlayfs takes as a lower layer.
//
// It owns the on-disk form of a layer (whiteouts as 0:0 devices, opaque
// directories by the xattr user.overlay.opaque), the rules by which a hostile
// layer is refused, and the treatment of layers that name an entry without
// naming its parents. It does not fetch, decompress or verify anything, it does
// not know the store, and it does not itself walk paths that a tar names: that
// is the library's part (see decisions/0001-unpacker.md).
//
// The entry point is [Layer]; [Settle] completes a layer with implied parents
// once the layers below it are known; [Finish] comes last and tells what an
// unpacker without privileges could not keep (decisions/0002-rootless.md).
package unpack
