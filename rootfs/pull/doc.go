// Package pull brings images into the store: from registries, image layouts
// and archives, verified and unpacked on the way.
//
// It is the one door to containers/image (at its present module path,
// go.podman.io/image/v5), which gives it registries.conf with short names and
// mirrors, auth.json and credential helpers, TLS, policy.json and all manifest
// formats. Its copy package is not used: it works between image transports,
// while a layer here streams straight from the source through both digests and
// the decompressor into its unpacked tree. Transports are linked one by one.
//
// What it refuses to own: the store's format (package rootfs), what a layer may
// hold (package rootfs/unpack), and any output but through [Progress].
//
// Entry points are [Pull] for a source and [Load] for a file or directory.
// Their errors are *[Error]: one line of cause, one of remedy, met by errors.Is
// with the sentinels of this package.
package pull
