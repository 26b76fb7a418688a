package initproc

import (
	"encoding/binary"
	"strings"
)

// Handle is a directory of the host: a descriptor and its path. What is used is at the path, and has to be what the
// descriptor is of.
type Handle struct {
	FD   int
	Path string
}

// Upper makes the writable part: in the scratch directory (UpperDisk), like is a descriptor of the directory whose mode
// and owner the root gets, size that of a tmpfs, hosts how many operations Bind with the source "/" will follow.
func (o *Ops) Upper(kind uint32, scratch Handle, like int, size uint64, hosts int) {
	o.add(opUpper, []uint32{kind, uint32(scratch.FD), uint32(like), uint32(hosts),
		binary.NativeEndian.Uint32(u64(size)), binary.NativeEndian.Uint32(u64(size)[4:])}, scratch.Path)
}

// Node is a directory, an empty file or a symlink; Mode is that of stat(2), S_IFDIR where it names no type.
type Node struct {
	Path           string
	Mode, UID, GID uint32
	Text           string
	Opaque         bool
}

// Seed makes a node in the writable part before the overlay lies on it. One that is there already stays as it is.
func (o *Ops) Seed(n Node) {
	opaque := uint32(0)
	if n.Opaque {
		opaque = 1
	}
	o.add(opSeed, []uint32{n.Mode, n.UID, n.GID, opaque}, strings.Trim(n.Path, "/"), n.Text)
}

// Copy makes a file in the writable part with the content that one of the host has now. A missing source is none.
func (o *Ops) Copy(source, path string, mode, uid, gid uint32) {
	o.add(opCopy, []uint32{mode, uid, gid}, source, strings.Trim(path, "/"))
}

// Preserve names descriptors beyond 2 that the app gets as well.
func (o *Ops) Preserve(fds []int) {
	numbers := []uint32{uint32(len(fds))}
	for _, fd := range fds {
		numbers = append(numbers, uint32(fd))
	}
	o.add(opPreserve, numbers)
}

// Overlay mounts the root from layers, topmost first.
func (o *Ops) Overlay(layers []Handle) {
	numbers, paths := []uint32{uint32(len(layers))}, make([]string, len(layers))
	for i, l := range layers {
		numbers = append(numbers, uint32(l.FD))
		paths[i] = l.Path
	}
	o.add(opOverlay, numbers, paths...)
}

// Links mounts the host layer, which becomes the topmost of the overlay's lower layers: a layer that holds only metadata,
// and directories of the host that hold the content.
func (o *Ops) Links(layer Handle, data []Handle, flags uint32) {
	numbers, paths := []uint32{flags, uint32(layer.FD), uint32(len(data))}, []string{layer.Path}
	for _, d := range data {
		numbers, paths = append(numbers, uint32(d.FD)), append(paths, d.Path)
	}
	o.add(opLinks, numbers, paths...)
}

// Verify ends a list: it reads a byte of the file at path below the mounted root, and ends with 0 if that works.
func (o *Ops) Verify(path string) { o.add(opVerify, nil, strings.TrimPrefix(path, "/")) }

// Host makes the host's root, or a directory of it, the root: read-only, with all that is mounted there, without setuid
// programs and devices. It stands in for Upper and Overlay.
func (o *Ops) Host(path string) { o.add(opHost, nil, path) }

// Link binds a host file read-only. Neither path may lead through a symlink.
func (o *Ops) Link(kind, flags uint32, source, target string) {
	o.add(opLink, []uint32{kind, flags}, source, target)
}

// Mount makes a file system with attributes (MOUNT_ATTR_*) and options ("key=value,key").
func (o *Ops) Mount(fs, source, target, options string, attrs, flags uint32) {
	o.add(opMount, []uint32{attrs, flags}, fs, source, target, options)
}

// Bind shows a file or directory of the host.
func (o *Ops) Bind(source, target string, attrs, flags uint32) {
	o.add(opBind, []uint32{attrs, flags}, source, target)
}

// Node makes a device node, or shows the host's of the same path where that is not allowed.
func (o *Ops) Node(path string, mode, major, minor, uid, gid, flags uint32) {
	o.add(opNode, []uint32{mode, major, minor, uid, gid, flags}, path)
}

// Symlink makes a symlink unless there is something already.
func (o *Ops) Symlink(text, path string) { o.add(opSymlink, nil, text, path) }

// Mask covers a path, if it is there, with something empty.
func (o *Ops) Mask(path string, flags uint32) { o.add(opMask, []uint32{flags}, path) }

// ReadOnly makes a path, if it is there, and what is mounted below it read-only.
func (o *Ops) ReadOnly(path string) { o.add(opReadonly, nil, path) }

// Pivot makes the overlay the root. What comes behind it can't mount.
func (o *Ops) Pivot(readOnly bool) {
	var v uint32
	if readOnly {
		v = 1
	}
	o.add(opPivot, []uint32{v})
}
