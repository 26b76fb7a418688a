package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	remedyOwner    = "take a store of your own: unset FLAKES_ROOT, or let it name a directory that belongs to you"
	remedyRoot     = "as root use a store that only root can write to: unset FLAKES_ROOT (sudo env -u FLAKES_ROOT ...)"
	remedyWritable = "chmod go-w %s, if you trust everybody who could write to it until now; otherwise remove it and pull the images again"
	remedyLink     = "let FLAKES_ROOT name the directory itself, and no symbolic link to it"
	remedyCreate   = "let FLAKES_ROOT, XDG_DATA_HOME or HOME name a directory that you can write to"
	remedyOwnStore = "take a store of your own: unset FLAKES_ROOT, or let it name a directory that belongs to you"
)

// checkRoot refuses a root that somebody else could exchange or fill, and gives
// its owner. It looks at the opened directory, not at the path, and does not
// follow a final link: whoever may replace the link would choose what the
// caller executes.
func checkRoot(root string) (owner int, err error) {
	f, err := openDirAt(unix.AT_FDCWD, root)
	var st unix.Stat_t
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("open store %q: %w", root, ErrNoStore)
	case errors.Is(err, unix.ENOTDIR) && errors.Is(unix.Lstat(root, &st), unix.ENOTDIR): // what is above it is a file
		return 0, fmt.Errorf("open store %q: %w", root, ErrNoStore)
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return 0, &UnsafeRootError{Root: root, Reason: "it is a symbolic link or no directory", remedy: remedyLink}
	case err != nil:
		return 0, accessError("open", root, err)
	}
	defer f.Close()
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, fmt.Errorf("open store: stat %q: %w", root, err)
	}
	euid := os.Geteuid()
	if root == SystemRoot && likeSlash(st.Uid) {
		euid = -1 // real root's, whatever he is called in this user namespace
	} else if st.Uid != 0 && int(st.Uid) != euid {
		e := &UnsafeRootError{Root: root, Reason: "it belongs to " + userName(int(st.Uid)), remedy: remedyOwner}
		if euid == 0 {
			e.Reason, e.remedy = e.Reason+", who could put images there for root to run", remedyRoot
		}
		return 0, e
	}
	if st.Mode&writeByOthers != 0 {
		return 0, &UnsafeRootError{
			Root: root, Reason: fmt.Sprintf("its mode %04o lets others write", st.Mode&0o7777),
			remedy: fmt.Sprintf(remedyWritable, root),
		}
	}
	if euid == 0 {
		return int(st.Uid), checkAbove(root)
	}
	return int(st.Uid), nil
}

// likeSlash says that an id is that of the owner of "/". In a user namespace
// that does not map root, it shows as everybody else's does; but nobody else can
// have put a directory in the place of root's store.
func likeSlash(uid uint32) bool {
	var st unix.Stat_t
	return !Privileged() && unix.Stat("/", &st) == nil && st.Uid == uid
}

// CheckRoot refuses a store that somebody else could exchange or fill, with the
// errors of [Open]. It is for those who only use what was made from it before.
func CheckRoot(root string) error {
	_, err := checkRoot(root)
	return err
}

// checkAbove looks at all directories that the way to root leads through, as
// far as they are there, and at those that symbolic links on the way lie in. A
// directory that others can write to passes when it is sticky and what lies in
// it is root's own, like /tmp. It is for root as the caller: an ordinary user
// has only himself to lose, and home directories are group-writable in places.
func checkAbove(root string) error {
	at, rest := "/", strings.Split(filepath.Dir(root), "/")
	for links := 0; ; {
		next := at
		if len(rest) > 0 {
			next, rest = filepath.Join(at, rest[0]), rest[1:] // at holds no link: ".." is its parent
		}
		var st unix.Stat_t
		if err := unix.Lstat(next, &st); err != nil {
			return nil //nolint:nilerr // what is missing is made by us
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			target, err := os.Readlink(next)
			if links++; err != nil || links > maxLinks {
				return &UnsafeRootError{Root: root, Reason: "too many symbolic links lead to it", remedy: remedyLink}
			}
			if filepath.IsAbs(target) {
				at = "/"
			}
			rest = append(strings.Split(target, "/"), rest...)
			continue
		}
		at = next
		if st.Uid != 0 && next == "/" {
			return nil // a user namespace in which nothing of the host is root's: an ordinary user
		}
		if st.Uid != 0 {
			return &UnsafeRootError{
				Root: root, Reason: fmt.Sprintf("%s above it belongs to %s", at, userName(int(st.Uid))), remedy: remedyRoot,
			}
		}
		if st.Mode&writeByOthers != 0 && st.Mode&unix.S_ISVTX == 0 {
			return &UnsafeRootError{
				Root: root, Reason: fmt.Sprintf("the mode %04o of %s above it lets others write", st.Mode&0o7777, at), remedy: remedyRoot,
			}
		}
		if len(rest) == 0 {
			return nil
		}
	}
}

// userName is for messages.
func userName(uid int) string {
	if uid == 0 {
		return "root"
	}
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return fmt.Sprintf("user %s (%d)", u.Username, uid)
	}
	return fmt.Sprintf("user %d", uid)
}

// accessRemedies says what to do about what keeps a caller from his store.
var accessRemedies = []struct {
	errno  error
	remedy string
}{
	{unix.EROFS, "its file system is read-only: mount it for writing, or let FLAKES_ROOT name a place that you can write to"},
	{unix.ENOSPC, "free some space there (flake-ctl gc), or let FLAKES_ROOT name a place that has some"},
	{unix.EDQUOT, "your quota there is used up: free some space (flake-ctl gc), or let FLAKES_ROOT name another place"},
	{unix.EACCES, "ask its owner for the right to read it, or let FLAKES_ROOT name a directory that belongs to you"},
	{unix.EPERM, "the file system does not let you: let FLAKES_ROOT name a directory on another one"},
	{unix.ENOTDIR, "something on the way is no directory: remove it, or let FLAKES_ROOT name another place"},
	{unix.EIO, "the file system is damaged, or its server is gone: look at the kernel's log"},
	{unix.ESTALE, "the file server has lost it: mount it again"},
}

// accessError makes an *AccessError of what the user or his administrator can
// do something about.
func accessError(op, root string, err error) error {
	if op == "create" && errors.Is(err, fs.ErrPermission) {
		return &AccessError{Op: op, Root: root, Err: err, remedy: remedyCreate}
	}
	for _, a := range accessRemedies {
		if errors.Is(err, a.errno) {
			return &AccessError{Op: op, Root: root, Err: err, remedy: a.remedy}
		}
	}
	return fmt.Errorf("%s store %q: %w", op, root, err)
}
