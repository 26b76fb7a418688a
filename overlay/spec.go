package overlay

import (
	"fmt"
	"os"
)

// Writable says where changes go.
type Writable int

// The kinds of writable parts.
const (
	// Tmpfs: a private tmpfs that nobody else sees and that vanishes with the mount.
	Tmpfs Writable = iota
	// Disk: Spec.Scratch.
	Disk
	// None: the root is read-only.
	None
)

// ParseWritable reads the value of --writable.
func ParseWritable(s string) (Writable, error) {
	switch s {
	case "tmpfs", "":
		return Tmpfs, nil
	case "disk":
		return Disk, nil
	case "none":
		return None, nil
	}
	return 0, fmt.Errorf("read writable part %q: must be tmpfs, disk or none", s)
}

func (w Writable) String() string {
	switch w {
	case Tmpfs:
		return "tmpfs"
	case Disk:
		return "disk"
	case None:
		return "none"
	}
	return fmt.Sprintf("Writable(%d)", int(w))
}

// Spec is one root.
type Spec struct {
	// Lower are layer directories, absolute, topmost first; at least one. They are never changed.
	Lower []string
	// Writable says where changes go; the zero value is Tmpfs.
	Writable Writable
	// Scratch is an existing directory for Disk: upper/ and work/ are made in it, or used again with what they
	// hold. Only one mount can use it at a time.
	Scratch string
	// TmpfsSize is the size of the tmpfs in bytes; 0 is the kernel's default, half of the memory.
	TmpfsSize int64
	// HostLayer is one more layer above Lower; nil without.
	HostLayer *HostLayer
	// Seed is what the root has beside what the layers hold, in this order. In a kept upper it is made only where it is
	// missing. With None it lies in a layer of its own on top.
	Seed []Node
}

// HostLayer is a layer that holds names and metadata alone, and directories with the content (data-only layers). Trusted:
// its attributes are in root's name space.
type HostLayer struct {
	Dir     string
	Data    []string
	Trusted bool
}

// Node is a directory, a file or a symlink to make. Its parent must be a Node before it, or the root.
type Node struct {
	Path     string // below the root; a leading slash makes no difference
	Mode     uint32 // that of stat(2); S_IFDIR where it names no type
	UID, GID int
	Text     string // of a symlink
	Content  []byte // of a file
	Opaque   bool   // hides what the layers have in the directory
}

// Mounted is a mounted root.
type Mounted struct {
	root  *os.File
	locks []*os.File
}

// Root is a handle on the mounted root that can't be read from (O_PATH). It belongs to the Mounted.
func (m *Mounted) Root() *os.File { return m.root }

// Close gives up the locks on the layers and the handle on the root. It does not unmount: what is mounted stays
// until its mount namespace ends. It may be called again.
func (m *Mounted) Close() error {
	for _, f := range m.locks {
		f.Close()
	}
	m.locks = nil
	if m.root != nil {
		m.root.Close()
		m.root = nil
	}
	return nil
}
