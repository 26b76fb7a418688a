// Package hostlink makes single files of the host visible in an app's root.
//
// It owns the manifest formats by which an image asks for host files, their
// resolution against the host and the image, the list of entries that are
// noise or must never be linked, and the two things that bring a result into
// being: the flake's own layer ([WriteLayer]) and the bind mounts ([Apply]).
//
// It refuses to know about flakes, about how images are stored (an [Image] is
// an interface) and about any mount that is no link.
//
// Entry points: [ParseManifest] and [Resolve] when a launch plan is compiled,
// [WriteLayer] for the layer the plan refers to, [Apply] at each start.
//
// Paths: what a manifest says stays as it is, relative to "/" without a leading
// slash ("usr/bin/openssl"). All places in results are absolute: [Link.Source]
// and [Plan.Watch] on the host, the others in the app's root.
package hostlink
