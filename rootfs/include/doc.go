// Package include turns archives, files and directories of the host into layers
// of the store, each once.
//
// It owns what such a layer is named by, how it is known that its source
// changed, and the records of that below includes/ (FORMAT.md). Unpacking is
// rootfs/unpack's: a file or directory is handed to it as a tar, too. It does
// not know flakes and plans.
//
// Entry points: [Look], which says what has to be watched, [Maker.Layer], and
// [Records].
package include
