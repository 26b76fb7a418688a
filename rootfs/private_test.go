package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/rootfs/internal/ordinary"
)

func init() {
	children["alter"] = alterChild
	children["strangerlock"] = strangerLockChild
	children["opensafe"] = func(args []string) error { _, err := Open(args[0]); return err }
	children["mountparts"] = mountPartsChild
}

// sharedTree makes a layer of what users must not alter or run, and gives its
// entries as the image has them.
func sharedTree(t *testing.T, dir string) []string {
	t.Helper()
	makeTree(t, dir, "dir tmp 1777", "dir home/app 0755", "file home/app/tool run", "dir home/app/priv 0700", "file home/app/priv/key k",
		"dir usr/bin", "file usr/bin/su su", "file usr/bin/ping ping", "file usr/bin/ls ls", "link usr/bin/sh ls", "file tmp/open o",
		"file var/group g", "fifo var/pipe", "file var/group0 g", "dir srv 0555", "file srv/a/one 1", "dir etc 0750", "file etc/shadow s",
		"xattr usr/bin/su user.kept=yes", "opaque home/app", "gone usr/bin/gone", "dir plain/deep", "file plain/deep/f x")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(p string) string { return filepath.Join(dir, p) }
	for _, p := range []string{"home/app", "home/app/tool", "home/app/priv", "home/app/priv/key"} {
		must(os.Chown(at(p), ordinary.UID, ordinary.UID))
	}
	must(os.Chown(at("usr/bin/sh"), 5, 5))
	must(os.Lchown(at("usr/bin/sh"), ordinary.UID, 5))
	must(os.Chown(at("usr/bin/ls"), 0, 0))
	must(os.Chown(at("var/group"), 0, ordinary.UID))
	for p, mode := range map[string]uint32{
		"usr/bin/su": 0o4755, "tmp/open": 0o666, "var/group": 0o664, "var/group0": 0o664, "var/pipe": 0o622, "etc/shadow": 0o640, ".": 0o700,
	} {
		must(unix.Chmod(at(p), mode))
	}
	must(unix.Setxattr(at("usr/bin/ping"), xattrCapability, []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), 0))
	must(unix.Chmod(at("usr/bin/ping"), 0o755))
	must(os.Link(at("usr/bin/su"), at("var/su")))
	must(os.Link(at("usr/bin/su"), at("srv/a/su")))
	must(os.Link(at("usr/bin/ls"), at("var/ls")))
	old := time.Unix(1000000000, 0)
	must(filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		ts := unix.NsecToTimespec(old.UnixNano())
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}))
	return entriesOf(t, dir)
}

// entriesOf lists all that counts of a tree. What number of names and which
// inode a directory has is the file system's business.
func entriesOf(t *testing.T, dir string) (lines []string) {
	t.Helper()
	inodes := map[uint64]string{}
	err := filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		line := fmt.Sprintf("%s %o %d:%d %d", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Sec)
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %q", b)
			if st.Nlink > 1 {
				if first, ok := inodes[st.Ino]; ok {
					line += " is " + first
				} else {
					inodes[st.Ino] = rel
				}
			}
		}
		for _, attr := range []string{"user.kept", xattrCapability} {
			if _, err := unix.Lgetxattr(p, attr, nil); err == nil {
				line += " " + attr
			}
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// TestRootsLayersAreHarmless: root's layers are for everybody. Root sees in them
// what the image says; no other user can alter or gain anything.
func TestRootsLayersAreHarmless(t *testing.T) {
	needsRoot(t, "makes owners")
	s := newStore(t)
	for dir := s.Root(); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tmp, err := s.Temp("layer")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	want := sharedTree(t, tmp.Dir())
	id := layerID("x")
	if err := s.CommitLayer(tmp.Dir(), id); err != nil {
		t.Fatal(err)
	}
	parts := s.LayerParts(id)
	if len(parts) != 2 || parts[0] != s.LayerDir(id) {
		t.Fatalf("parts %v", parts)
	}
	compareUnion(t, parts, want)

	for _, line := range entriesOf(t, parts[0]) {
		fields := strings.Fields(line)
		var mode uint32
		_, _ = fmt.Sscanf(fields[1], "%o", &mode)
		link := mode&unix.S_IFMT == unix.S_IFLNK
		if !link && !strings.HasPrefix(fields[2], "0:") || !link && mode&0o6002 != 0 || strings.Contains(line, xattrCapability) {
			t.Errorf("in the open part: %s", line)
		}
	}
	if out, err := asUser(t, "alter", parts...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if ok, err := s.RetireLayer(id); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if left, err := s.Leftovers(); err != nil || len(left) > 0 || s.HasLayer(id) {
		t.Errorf("left: %v, %v", left, err)
	}
}

// compareUnion mounts the parts as root's start does and compares.
func compareUnion(t *testing.T, parts, want []string) {
	t.Helper()
	cmd := child(t, "mountparts", append([]string{t.TempDir()}, parts...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	want = slices.DeleteFunc(slices.Clone(want), func(line string) bool { return strings.HasPrefix(line, "usr/bin/gone ") })
	got := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what root sees (-image +mounted):\n%s", diff)
	}
}

// mountPartsChild prints what an overlay of the parts shows.
func mountPartsChild(args []string) error {
	lower := slices.Clone(args[1:])
	slices.Reverse(lower)
	if err := unix.Mount("overlay", args[0], "overlay", unix.MS_RDONLY, "userxattr,lowerdir="+strings.Join(lower, ":")); err != nil {
		return err
	}
	var t testing.T
	for _, line := range entriesOf(&t, args[0]) {
		fmt.Println(line)
	}
	return nil
}

// asUser is a child that plays an ordinary user.
func asUser(t *testing.T, part string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := ordinary.Command(t, args...)
	cmd.Env = append(cmd.Env, childEnv+"="+part)
	return cmd
}

// alterChild tries to write to and to remove all that it can find, and fails
// if it can do anything.
func alterChild(args []string) error {
	var errs []error
	seen := 0
	for _, root := range args {
		_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // out of reach: so it should be
			}
			seen++
			for name, try := range map[string]func() error{
				"write":  func() error { return unix.Access(p, unix.W_OK) },
				"chmod":  func() error { return unix.Fchmodat(unix.AT_FDCWD, p, 0o777, 0) },
				"create": func() error { return os.Mkdir(filepath.Join(p, "planted"), 0o755) },
				"remove": func() error { return os.Remove(p) },
			} {
				if d.Type()&fs.ModeSymlink != 0 && name != "remove" {
					continue
				}
				if try() == nil {
					errs = append(errs, fmt.Errorf("could %s %s", name, p))
				}
			}
			return nil
		})
	}
	if seen < 10 {
		errs = append(errs, fmt.Errorf("saw %d entries only", seen))
	}
	// What everybody may read is there with its content.
	for p, want := range map[string]string{"usr/bin/su": "su", "home/app/tool": "run", "tmp/open": "o", "srv/a/su": "su"} {
		if b, err := os.ReadFile(filepath.Join(args[0], p)); err != nil || string(b) != want {
			errs = append(errs, fmt.Errorf("%s reads %q, %w", p, b, err))
		}
	}
	return errors.Join(errs...)
}

// TestStrangersLock: a user who locks a layer of root's store keeps neither him
// nor others from using it; collection leaves it alone meanwhile.
func TestStrangersLock(t *testing.T) {
	needsRoot(t, "becomes another user")
	s := newStore(t)
	for dir := s.Root(); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	id := putLayer(t, s, "file x y")
	cmd := asUser(t, "strangerlock", s.LayerDir(id))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	v, err := NewView(s.LayerParts(id))
	if err != nil {
		t.Fatalf("view of a layer that a stranger locked: %v", err)
	}
	v.Close()
	if ok, err := s.RetireLayer(id); ok || err != nil {
		t.Errorf("removed %v, %v", ok, err)
	}
	// In a store that others cannot enter it is a collection.
	if err := os.Chmod(s.path(layersTop), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := NewView(s.LayerParts(id)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("closed store: %v", err)
	}
}

func strangerLockChild(args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	fmt.Println("ready")
	time.Sleep(time.Minute)
	return nil
}

// TestUpgrade: the layers of a store of format 1 are closed until they are
// divided, and stay so while one is in use.
func TestUpgrade(t *testing.T) {
	needsRoot(t, "makes owners")
	s := newStore(t)
	id, used := layerID("old"), layerID("used")
	want := sharedTree(t, s.LayerDir(id))
	makeTree(t, s.LayerDir(used), "dir tmp 1777")
	for _, dir := range []string{"layers", layersDir} {
		if err := os.Chmod(s.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.RemoveAll(s.path(privateTop)), os.WriteFile(s.path(versionFile), []byte("1\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	v, err := NewView([]string{s.LayerDir(used)})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	mode := func() fs.FileMode {
		fi, err := os.Stat(s.path(layersTop))
		if err != nil {
			t.Fatal(err)
		}
		return fi.Mode().Perm()
	}
	for range 2 {
		if _, err := Create(s.Root()); err != nil || mode() != 0o700 {
			t.Fatalf("in use: %v, %v", mode(), err)
		}
		if _, err := Open(s.Root()); err != nil {
			t.Fatal(err)
		}
	}
	v.Close()
	if _, err := Create(s.Root()); err != nil || mode() != 0o755 {
		t.Fatalf("free: %v, %v", mode(), err)
	}
	compareUnion(t, s.LayerParts(id), want)
	if b, _ := os.ReadFile(s.path(versionFile)); string(b) != "2\n" {
		t.Errorf("version %q", b)
	}
}
