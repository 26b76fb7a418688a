package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Root's layers can be entered by everybody, and lie on the host's own file
// system, where no container stands between a user and a file. So what a user
// could alter there, or could gain rights by, is kept in a second tree that
// only root can enter, with what the image says about it; the open tree gets
// a harmless copy in its place. Root stacks the second tree on the first and
// sees the image as it is (decisions/0004).

const (
	xattrCapability = "security.capability"
	xattrACL        = "system.posix_acl_access"
	xattrDefaultACL = "system.posix_acl_default"
	overlayPrefix   = "user.overlay."

	writeByOthers = 0o022
	gainsRights   = 0o6000 // set-uid, set-gid
)

// LayerParts are the directories that a layer consists of for the caller,
// bottom first: the layer, and for root what of it is root's alone.
func (s *Store) LayerParts(id string) []string {
	parts := []string{s.LayerDir(id)}
	if !Privileged() {
		return parts
	}
	private := s.privateDir(id)
	if fi, err := os.Lstat(private); err == nil && fi.IsDir() {
		parts = append(parts, private)
	}
	return parts
}

// privateDir is the part of a layer that only root can enter.
func (s *Store) privateDir(id string) string { return s.path(privateDir, escape(id)) }

// separate moves what other users must not reach out of the tree dir into a
// new tree private, and says whether there was anything. After an error both
// are good for nothing.
func separate(dir, private string) (made bool, err error) {
	root, err := openDirAt(unix.AT_FDCWD, dir)
	if err != nil {
		return false, err
	}
	s := &separation{private: private, links: map[uint64]link{}}
	at := &frame{tree: root, rel: "."}
	if err := s.dir(at); err != nil {
		return false, fmt.Errorf("separate what is root's alone: %w", err)
	}
	return at.twin != nil, nil
}

type separation struct {
	private string
	links   map[uint64]link // by inode: files with several names, where they went first
}

// link is the first of several names of a file that was moved.
type link struct{ tree, private string }

// frame is one directory in work, and its twin in the private tree.
type frame struct {
	parent *frame
	tree   *os.File
	twin   *os.File // nil until something below has to go there
	rel    string   // for messages
	st     unix.Stat_t
}

func (s *separation) dir(at *frame) error {
	defer func() {
		at.tree.Close()
		if at.twin != nil {
			at.twin.Close()
		}
	}()
	if err := unix.Fstat(int(at.tree.Fd()), &at.st); err != nil {
		return err
	}
	names, err := at.tree.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.entry(at, name); err != nil {
			return fmt.Errorf("%q: %w", filepath.Join(at.rel, name), err)
		}
	}
	return s.closeDir(at)
}

func (s *separation) entry(at *frame, name string) error {
	var st unix.Stat_t
	if err := statAt(int(at.tree.Fd()), name, &st); err != nil {
		return err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		sub, err := openDirAt(int(at.tree.Fd()), name)
		if err != nil {
			return err
		}
		return s.dir(&frame{parent: at, tree: sub, rel: filepath.Join(at.rel, name)})
	case unix.S_IFLNK, unix.S_IFCHR, unix.S_IFBLK:
		return nil // a link's owner can do nothing with it; a whiteout is nothing
	}
	if bad, err := exposed(int(at.tree.Fd()), name, &st); err != nil || !bad {
		return err
	}
	return s.take(at, name, &st)
}

// exposed says whether somebody who is not root could alter the entry, or gain
// rights by it. What the group 0 may write counts as root's own.
func exposed(dirfd int, name string, st *unix.Stat_t) (bool, error) {
	if st.Uid != 0 || st.Mode&0o002 != 0 || st.Mode&0o020 != 0 && st.Gid != 0 {
		return true, nil
	}
	regular := st.Mode&unix.S_IFMT == unix.S_IFREG
	if regular && st.Mode&gainsRights != 0 {
		return true, nil
	}
	var ask []string
	if regular && st.Mode&0o111 != 0 {
		ask = append(ask, xattrCapability)
	}
	if st.Mode&0o020 != 0 { // with an ACL these bits are its mask
		ask = append(ask, xattrACL)
	}
	for _, attr := range ask {
		if has, err := hasXattr(dirfd, name, attr); err != nil || has {
			return has, err
		}
	}
	return false, nil
}

func hasXattr(dirfd int, name, attr string) (bool, error) {
	_, err := unix.Lgetxattr(fdPath(dirfd, name), attr, nil)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return false, nil
	}
	return false, &os.PathError{Op: "getxattr", Path: name, Err: err}
}

// fdPath names one entry of an open directory for the calls that know paths only.
func fdPath(dirfd int, name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", dirfd, name) }

// take moves a file to the private tree and leaves a harmless copy.
func (s *separation) take(at *frame, name string, st *unix.Stat_t) error {
	if err := s.needTwin(at); err != nil {
		return err
	}
	from, to := int(at.tree.Fd()), int(at.twin.Fd())
	if first, ok := s.links[st.Ino]; ok {
		return errors.Join(
			unix.Linkat(unix.AT_FDCWD, first.private, to, name, 0),
			unix.Unlinkat(from, name, 0),
			unix.Linkat(unix.AT_FDCWD, first.tree, from, name, 0))
	}
	if err := unix.Renameat(from, name, to, name); err != nil {
		return &os.LinkError{Op: "rename", Old: name, New: name, Err: err}
	}
	if st.Nlink > 1 {
		s.links[st.Ino] = link{tree: fdReal(at.tree, name), private: fdReal(at.twin, name)}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFIFO {
		if err := unix.Mkfifoat(from, name, 0); err != nil {
			return err
		}
	} else if err := copyFile(to, from, name); err != nil {
		return err
	}
	return harmless(from, name, st)
}

// needTwin makes the directory in the private tree, and those it lies in.
func (s *separation) needTwin(at *frame) error {
	if at.twin != nil {
		return nil
	}
	var err error
	if at.parent == nil {
		if err = os.Mkdir(s.private, 0o700); err == nil {
			at.twin, err = openDirAt(unix.AT_FDCWD, s.private)
		}
		return err
	}
	if err := s.needTwin(at.parent); err != nil {
		return err
	}
	name := filepath.Base(at.rel)
	if err := unix.Mkdirat(int(at.parent.twin.Fd()), name, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: at.rel, Err: err}
	}
	at.twin, err = openDirAt(int(at.parent.twin.Fd()), name)
	return err
}

// closeDir gives the twin all that the image says of the directory, and makes
// the directory itself harmless.
func (s *separation) closeDir(at *frame) error {
	bad, err := exposed(int(at.tree.Fd()), ".", &at.st)
	if err != nil {
		return err
	}
	mode := at.st.Mode & 0o7777
	open := mode
	if at.parent == nil {
		// Every start opens the root of a layer, to lock it.
		open |= 0o555
	}
	if bad || open != mode {
		if err := s.needTwin(at); err != nil {
			return err
		}
	}
	if at.twin == nil {
		return nil
	}
	if err := s.dressTwin(at, mode); err != nil {
		return err
	}
	fd := int(at.tree.Fd())
	if bad {
		for _, attr := range []string{xattrACL, xattrDefaultACL} {
			if err := unix.Fremovexattr(fd, attr); err != nil && !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) {
				return &os.PathError{Op: "removexattr", Path: at.rel, Err: err}
			}
		}
		if err := unix.Fchown(fd, 0, int(at.st.Gid)); err != nil {
			return &os.PathError{Op: "chown", Path: at.rel, Err: err}
		}
		open &^= writeByOthers
	}
	if err := unix.Fchmod(fd, open); err != nil {
		return &os.PathError{Op: "chmod", Path: at.rel, Err: err}
	}
	return setTimes(at.tree, &at.st)
}

func (s *separation) dressTwin(at *frame, mode uint32) error {
	fd := int(at.twin.Fd())
	if err := unix.Fchown(fd, int(at.st.Uid), int(at.st.Gid)); err != nil {
		return &os.PathError{Op: "chown", Path: at.rel, Err: err}
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return &os.PathError{Op: "chmod", Path: at.rel, Err: err}
	}
	// The twin hides nothing of the tree below it.
	err := copyXattrs(at.tree, at.twin, func(attr string) bool {
		return !strings.HasPrefix(attr, overlayPrefix) && attr != "security.selinux"
	})
	if err != nil {
		return err
	}
	return setTimes(at.twin, &at.st)
}

func setTimes(f *os.File, st *unix.Stat_t) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), []unix.Timespec{st.Atim, st.Mtim}, 0)
}
