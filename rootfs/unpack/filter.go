package unpack

import (
	"archive/tar"
	"path"
	"slices"
	"strings"
)

const (
	paxXattr = "SCHILY.xattr." // prefix of PAX records that hold an xattr
	// maxLinks is how many symlinks one name may lead through, as in the kernel.
	maxLinks = 40
)

// droppedXattrs are never taken from a layer. Overlayfs gives user.overlay.*
// (we mount with userxattr) and trusted.overlay.* a meaning of its own: redirects
// and metacopy would reach out of the layer, and real deltas made by KIWI carry
// trusted.overlay.uuid. The library refuses the rest of trusted.*, and an SELinux
// label of the build host is wrong here.
var droppedXattrs = []string{"user.overlay.", "trusted.", "security.selinux"}

// forgottenXattrs are those of them that mean nothing anywhere else either. The
// rest of trusted.* is recorded by an unpacker without privileges.
var forgottenXattrs = []string{"user.overlay.", "trusted.overlay.", "security.selinux"}

// absoluteRoots are the only places below which an absolute name is taken. ko
// writes its entries as /ko-app/NAME and /var/run/ko/NAME, and has in every
// image it ever made; anybody else's absolute name is refused.
var absoluteRoots = []string{"/ko-app", "/var/run/ko"}

// unpacking is the state of one layer while the library applies it. Names in it
// are relative, clean, and resolved through the symlinks of this same layer.
type unpacking struct {
	dir      string
	links    map[string]string   // symlinks of this layer
	named    map[string]struct{} // directories that an entry names
	implied  map[string]struct{}
	devices  map[string]struct{} // what was left out
	masks    []mask
	root     *tar.Header // entry of the root itself, which the library ignores
	seen     int
	entries  int
	nDevices int
	size     int64
	last     string // name of the entry in work
	// notes is what has to be done or told about entries, by name; nil as root.
	notes     map[string]*note
	held      *holdings
	heldBytes int // of xattrs
	// mknod makes whiteouts; a field so that a test can refuse.
	mknod func(dirfd int, name string) error
	// byXattr says that they can be made by xattrs, too.
	byXattr bool
}

func newUnpacking(dir string) *unpacking {
	return &unpacking{
		dir:     dir,
		links:   map[string]string{},
		named:   map[string]struct{}{},
		implied: map[string]struct{}{},
		devices: map[string]struct{}{},
		mknod:   mknodWhiteout,
		byXattr: knowsXattrs(),
	}
}

// filter sees each header before the library acts on it: it refuses, alters or
// skips (false). The library has cleaned the name.
func (u *unpacking) filter(hdr *tar.Header) (bool, error) {
	u.last, u.seen = hdr.Name, u.seen+1
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return false, nil
	}
	if u.notes == nil {
		dropXattrs(hdr, droppedXattrs)
	} else {
		dropXattrs(hdr, forgottenXattrs)
	}
	name, err := relative(hdr.Name)
	if err != nil {
		return false, err
	}
	hdr.Name = name
	if name == "." {
		if hdr.Typeflag != tar.TypeDir {
			return false, unsafeEntry("the root of a layer has to be a directory")
		}
		if u.notes != nil {
			if err := u.note(hdr, name, ""); err != nil {
				return false, err
			}
		}
		u.root = hdr
		u.entries++
		return false, nil
	}
	if name, err = u.resolve(name); err != nil {
		return false, err
	}
	target, ok, err := u.admit(hdr, name)
	if !ok || err != nil {
		return false, err
	}
	u.record(hdr, name)
	if u.notes != nil {
		return true, u.note(hdr, name, target)
	}
	return true, nil
}

// admit looks at what the entry is: hard links out of the layer are refused,
// devices skipped. It gives the name that a hard link leads to.
func (u *unpacking) admit(hdr *tar.Header, name string) (target string, ok bool, err error) {
	switch hdr.Typeflag {
	case tar.TypeChar, tar.TypeBlock:
		u.devices[name] = struct{}{}
		u.nDevices++
		return "", false, nil
	case tar.TypeLink:
		target, err := relative(path.Clean(hdr.Linkname))
		if err != nil {
			return "", false, unsafeEntry("hard link leads out of the layer")
		}
		if target, err = u.resolve(target); err != nil {
			return "", false, err
		}
		if _, ok := u.devices[target]; ok {
			u.nDevices++
			return "", false, nil
		}
		return target, true, nil
	}
	return "", true, nil
}

func (u *unpacking) record(hdr *tar.Header, name string) {
	u.entries++
	u.size += hdr.Size
	delete(u.links, name)
	delete(u.devices, name)
	for p := path.Dir(name); p != "."; p = path.Dir(p) {
		if _, ok := u.named[p]; ok {
			continue // its own parents may still be unnamed
		}
		if _, ok := u.implied[p]; ok {
			break
		}
		u.implied[p] = struct{}{}
	}
	switch hdr.Typeflag {
	case tar.TypeSymlink:
		u.links[name] = hdr.Linkname
	case tar.TypeDir:
		u.named[name] = struct{}{}
		delete(u.implied, name)
	}
}

func (u *unpacking) result() Result {
	res := Result{Entries: u.entries, Devices: u.nDevices, Size: u.size, held: u.held}
	for p := range u.implied {
		res.ImpliedParents = append(res.ImpliedParents, p)
	}
	slices.Sort(res.ImpliedParents)
	return res
}

// relative gives the name below the layer's root, "." for the root itself.
func relative(name string) (string, error) {
	if name == "/" {
		return ".", nil
	}
	if strings.HasPrefix(name, "/") {
		for _, root := range absoluteRoots {
			if name == root || strings.HasPrefix(name, root+"/") {
				return name[1:], nil
			}
		}
		return "", unsafeEntry("absolute name")
	}
	if name == ".." || strings.HasPrefix(name, "../") {
		return "", unsafeEntry("name leads out of the layer by ..")
	}
	return name, nil
}

// resolve follows the symlinks that this layer itself made, by name only, in
// all but the last component. A link that leads nowhere but into the layer is
// what merged packages have (lib -> usr/lib, then lib/x); one that is absolute
// or climbs out is refused if anything is to be written through it. This is a
// rule about which layers are taken: that nothing is written outside is seen to
// by the library, whatever is decided here.
func (u *unpacking) resolve(name string) (string, error) {
	if len(u.links) == 0 {
		return name, nil
	}
	done, rest := "", name
	for hops := 0; ; {
		part, tail, more := strings.Cut(rest, "/")
		switch part {
		case "", ".":
		case "..":
			if done == "" {
				return "", unsafeEntry("name leads out of the layer through a symbolic link")
			}
			if done = path.Dir(done); done == "." {
				done = ""
			}
		default:
			done = path.Join(done, part)
		}
		if !more {
			break
		}
		rest = tail
		target, ok := u.links[done]
		if !ok {
			continue
		}
		if hops++; hops > maxLinks {
			return "", unsafeEntry("name leads through too many symbolic links")
		}
		if strings.HasPrefix(target, "/") {
			return "", unsafeEntry("name leads through a symbolic link with an absolute target")
		}
		if done = path.Dir(done); done == "." {
			done = ""
		}
		rest = target + "/" + tail
	}
	if done == "" {
		return ".", nil
	}
	return done, nil
}

func dropXattrs(hdr *tar.Header, prefixes []string) {
	for key := range hdr.PAXRecords {
		name, ok := strings.CutPrefix(key, paxXattr)
		if !ok {
			continue
		}
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			delete(hdr.PAXRecords, key)
		}
	}
}
