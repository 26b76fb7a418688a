package hostlink

import (
	"io/fs"

	"golang.org/x/sys/unix"
)

// Kind is the type of a file; its text is what reports show.
type Kind string

// The kinds that links and nodes have.
const (
	KindFile     Kind = "file"
	KindDir      Kind = "dir"
	KindSymlink  Kind = "symlink"
	KindSocket   Kind = "socket"
	KindWhiteout Kind = "whiteout"
	// KindMeta is an entry of a host layer: metadata here, content in a directory of the host.
	KindMeta Kind = "meta"

	kindNone  Kind = ""        // nothing there
	kindOther Kind = "special" // FIFOs and devices: never linked
)

// Image is what the links are laid over: the merged view of a flake's images.
// Both methods get absolute paths whose parents are real directories of the
// image, the root being "/"; neither may follow a symlink in the last component. What is
// missing is fs.ErrNotExist. FileInfo.Sys is a *syscall.Stat_t where owners
// matter.
type Image interface {
	Lstat(path string) (fs.FileInfo, error)
	Readlink(path string) (string, error)
}

// What a manifest was made from.
const (
	SourceRemoved = "removed"     // an image's list of files
	SourceScript  = "systemfiles" // an image's script that lists packages, or files
	SourcePackage = "package"     // a package of the host that the flake names
	SourceLibrary = "library"     // what the files of such a package need
	SourceLink    = "link"        // of no manifest: what a symlink leads to, see Request.FollowLinks
)

// Source is one manifest with where it comes from.
type Source struct {
	Origin   string // the image's or package's name, for reports
	Kind     string // one of Source*
	Manifest Manifest
	// Barred says why nothing of it counts: each entry is skipped for that reason. "": all may count.
	Barred string
	// Refuse says why the source may not have a file of the host, "" if it may. Keep patterns do not overrule it. nil:
	// it may have all.
	Refuse func(HostFile) string
}

// HostFile is a file of the host that a source asks for. The paths are relative to the root, without a leading slash.
type HostFile struct {
	Path   string // as the source has it
	Source string // where that is on the host, directories that are symlinks resolved
	Target string // where it would be in the app's root
	Kind   Kind
	// Public says that every user of the host can reach and read it. A symlink, or a directory, whose content is never
	// linked, has to be reached only.
	Public bool
}

// Request is what [Resolve] works on. The zero value of each field but Image
// has a meaning.
type Request struct {
	Sources  []Source
	HostRoot string   // empty: "/"
	Host     *Host    // what was seen of HostRoot for this plan already; nil: nothing
	Image    Image    // base, layers and delta, without the flake's own layer
	Provided []string // paths that the launcher fills in itself, with what is below them
	Keep     []string // patterns: link these although they are noise or match Drop
	Drop     []string // patterns: treat these as noise
	// FollowLinks links the targets of symlinks, too, that only the host has: see decisions/0006.
	FollowLinks bool
}

// Plan is what has to be done to give an app its host files. It depends on
// nothing but the request and the host, and is sorted: equal plans are
// deeply equal.
type Plan struct {
	Links    []Link // for [Apply]
	Nodes    []Node // for [WriteLayer]; parents come before what they hold
	Linked   []Linked
	Skipped  []Skip
	Replaced []Replaced
	Dangling []Dangling
	// Watch holds the host's directories whose mtime the result depends on, as
	// they were at Host's first look. Content and mode of a linked file are the
	// host's own at any time and need no watching.
	Watch []Watched
}

// Count returns how many entries were left out for a cause.
func (p *Plan) Count(c Cause) int {
	n := 0
	for i := range p.Skipped {
		if p.Skipped[i].Cause == c {
			n++
		}
	}
	return n
}

// Link is a bind mount.
type Link struct {
	Source string // absolute path on the host, free of symlinks when it was planned
	Target string // in the app's root: absolute, no symlink on its way
	Kind   Kind   // KindFile, KindSocket or KindDir
}

// Node is an entry of the flake's own layer, which lies on top of all image
// layers: mount points, symlinks, missing parents, hidden manifests.
type Node struct {
	Path     string // as Link.Target; relative ones are accepted
	Kind     Kind   // KindDir, KindSymlink, KindFile or KindWhiteout
	Mode     uint32
	UID, GID int
	Target   string // of a symlink; of KindMeta the content's path in its data directory, with a leading slash

	Mtime unix.Timespec // of KindMeta, and of a symlink that the host has
	// Of KindMeta only.
	Size    int64
	Trusted bool
	HostID  [2]uint64 // device and inode: files that are one on the host are one here
	Names   uint64    // of the file on the host
}

// Linked is an entry that the app gets from the host.
type Linked struct {
	Path   string // as the manifest has it
	Target string // canonical place in the app's root
	Source string // absolute path on the host
	Kind   Kind
	Origin string
	From   string // the Source's Kind
	Line   int
	For    string // of SourceLink the entry that led to it
}

// Cause says why an entry was left out.
type Cause string

// The causes, from harmless to hostile.
const (
	CauseMissing    Cause = "missing"    // the host lacks it
	CausePackage    Cause = "package"    // the host lacks the package of that name
	CauseDuplicate  Cause = "duplicate"  // another entry has the same place
	CauseNoise      Cause = "noise"      // the built-in list
	CauseDropped    Cause = "dropped"    // the flake's own drop pattern
	CauseProvided   Cause = "provided"   // the launcher fills it in
	CauseType       Cause = "type"       // FIFO or device
	CauseConflict   Cause = "conflict"   // would hide or contradict other files
	CauseUnreadable Cause = "unreadable" // host or image can't be looked at there
	CausePolicy     Cause = "policy"     // its source may not ask for it
	CauseRefused    Cause = "refused"    // never linked, whatever the flake says
)

// Skip is an entry that was left out, and why.
type Skip struct {
	Path   string
	Origin string
	Line   int
	Cause  Cause
	Reason string
	From   string // as in Linked
}

// Replaced is a place where the own layer changes the type of what the image has.
type Replaced struct {
	Path   string
	Was    Kind
	Now    Kind
	Origin string
	Line   int
}

// Dangling is a symlink that was linked, leads nowhere in the app's root, and
// would lead to a file on the host.
type Dangling struct {
	Path    string // canonical place of the symlink
	Target  string // its text
	Missing string // the first path on its way that the app's root lacks and the host has
	Origin  string
	Line    int
	Reason  string // why that was not linked as well
	Cause   Cause  // of that, where the target was left out as an entry of its own would have been
	From    string // as in Linked, of the symlink
}
