// Package overlay mounts an app's root: image layers stacked by kernel overlayfs, with a writable part or without.
//
// It owns the choice of the mount interface (the new mount API, with mount(2) as the fallback), the writable part,
// the option userxattr under which one store serves every user, and the locks that tell a collector which layers
// are in use.
//
// It refuses to know about images and flakes: a layer is a directory. It also refuses to make a mount namespace:
// Mount works in the one of the calling thread, which should be private, for the mounts to vanish with it.
//
// Layers are opened once and named to the kernel as /proc/self/fd/N ever after. So a path may hold any character,
// any length and any number of layers fit, and what is mounted is what was locked. The price is that the options
// in /proc/self/mountinfo show these names.
//
// Entry point: Mount.
package overlay
