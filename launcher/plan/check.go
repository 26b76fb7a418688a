package plan

import (
	"crypto/sha1"
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Check is the fingerprint of one host path at compile time. It is met by the same inode with the same
// size and times, or, with Absent, by the path not being there. A directory's size is not compared.
type Check struct {
	Path   string
	Absent bool
	Dev    uint64
	Ino    uint64
	Size   int64
	// Mtime and Ctime are nanoseconds since the epoch. Ctime is 0 for a directory: making a file's link
	// count or mode change below it is none of a plan's business.
	Mtime int64
	Ctime int64
}

// Never is a check that no start finds to hold: its plan is right now and here, and not for later.
var Never = Check{}

// NewCheck takes the fingerprint of path as it is now, following symlinks: a registration may well be a link
// into a managed tree. It never fails: what can't be read counts as absent, and as changed once it can.
func NewCheck(path string) Check {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return CheckOf(path, nil)
	}
	return CheckOf(path, &st)
}

// CheckOf is the fingerprint of path when it was found to be st, nil for absent.
func CheckOf(path string, st *unix.Stat_t) Check {
	if st == nil {
		return Check{Path: path, Absent: true}
	}
	c := Check{Path: path, Dev: st.Dev, Ino: st.Ino, Mtime: st.Mtim.Nano()}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		c.Size, c.Ctime = st.Size, st.Ctim.Nano()
	}
	return c
}

// Holds reports whether the path still has the fingerprint.
func (c Check) Holds() bool { return NewCheck(c.Path) == c }

// Build names the build of the running program; set by the linker.
var Build = "devel"

// BuildID is a number for Build, which the Makefile gives the launcher's C part as well; 0 for a program that was built
// without it.
func BuildID() uint64 {
	if Build == "devel" {
		return 0
	}
	h := sha1.Sum([]byte(Build))
	return binary.BigEndian.Uint64(h[:8]) >> 16
}

// Kernel is the running kernel's release.
func Kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// DefaultWritable is the writable part of a flake that asks for none in particular: a tmpfs where it can hold the
// attributes that overlayfs needs, which it can from Linux 6.6 on; the store's disk before.
func DefaultWritable(kernel string) string {
	var major, minor int
	if _, err := fmt.Sscanf(kernel, "%d.%d", &major, &minor); err == nil && (major < 6 || major == 6 && minor < 6) {
		return WritableDisk
	}
	return WritableTmpfs
}

// Follows reports whether the plan was made by the settings in these files, whose fingerprints come first.
func (p *Plan) Follows(settings []string) bool {
	if len(p.Checks) < len(settings) {
		return false
	}
	for i, file := range settings {
		if p.Checks[i].Path != file {
			return false
		}
	}
	return true
}

// Fresh reports whether the plan was compiled by this build on this kernel and every check of it holds; if not,
// what has changed.
func (p *Plan) Fresh() (ok bool, changed string) {
	if p.Build != Build {
		return false, "flake-launcher"
	}
	if p.Kernel != Kernel() {
		return false, "the kernel"
	}
	for _, c := range p.Checks {
		if !c.Holds() {
			return false, c.Path
		}
	}
	return true, ""
}
