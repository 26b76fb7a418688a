package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/rootfs/internal/ordinary"
)

func init() {
	children["smallfs"] = smallFSChild
	children["createcode"] = createCodeChild
}

// TestRootRefusesPlacesOfOthers: what a user can exchange is nothing for root.
func TestRootRefusesPlacesOfOthers(t *testing.T) {
	needsRoot(t, "gives files away")
	tests := map[string]struct {
		place func(base string) (root string, err error)
		safe  bool
	}{
		"a user's store": {func(b string) (string, error) {
			root := filepath.Join(b, "store")
			return root, errors.Join(os.Mkdir(root, 0o755), os.Chown(root, ordinary.UID, ordinary.UID))
		}, false},
		"a user's home": {func(b string) (string, error) {
			return filepath.Join(b, "store"), os.Chown(b, ordinary.UID, ordinary.UID)
		}, false},
		"deep in a user's home": {func(b string) (string, error) {
			root := filepath.Join(b, "mine", "store")
			return root, errors.Join(os.MkdirAll(root, 0o755), os.Chown(b, ordinary.UID, ordinary.UID))
		}, false},
		"where everybody writes": {func(b string) (string, error) { return filepath.Join(b, "store"), os.Chmod(b, 0o777) }, false},
		"where a group writes":   {func(b string) (string, error) { return filepath.Join(b, "store"), os.Chmod(b, 0o775) }, false},
		"sticky":                 {func(b string) (string, error) { return filepath.Join(b, "store"), os.Chmod(b, 0o777|fs.ModeSticky) }, true},
		"by a link of root's": {func(b string) (string, error) {
			return filepath.Join(b, "l", "store"), errors.Join(os.Mkdir(filepath.Join(b, "real"), 0o755), os.Symlink("../"+filepath.Base(b)+"/real", filepath.Join(b, "l")))
		}, true},
		"by a link that a user owns": {func(b string) (string, error) {
			u := filepath.Join(b, "u")
			return filepath.Join(u, "l", "store"), errors.Join(os.Mkdir(u, 0o755), os.Mkdir(filepath.Join(b, "real"), 0o755),
				os.Symlink("../real", filepath.Join(u, "l")), os.Chown(u, ordinary.UID, ordinary.UID))
		}, false},
		"by a link to a user's place": {func(b string) (string, error) {
			u := filepath.Join(b, "u")
			return filepath.Join(b, "l", "store"), errors.Join(os.Mkdir(u, 0o755), os.Symlink(u, filepath.Join(b, "l")), os.Chown(u, ordinary.UID, ordinary.UID))
		}, false},
		"by a loop": {func(b string) (string, error) {
			return filepath.Join(b, "l", "store"), os.Symlink("l", filepath.Join(b, "l"))
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			root, err := tt.place(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			_, err = Create(root)
			var unsafe *UnsafeRootError
			if tt.safe {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &unsafe) || unsafe.Remedy() == "" {
				t.Errorf("Create: %v", err)
			}
			if _, err := os.Lstat(filepath.Join(root, versionFile)); err == nil {
				t.Error("there is a store")
			}
		})
	}
}

// TestOpenWhatBecameUnsafe: the directories above are looked at each time.
func TestOpenWhatBecameUnsafe(t *testing.T) {
	needsRoot(t, "gives files away")
	s := newStore(t)
	if err := os.Chown(filepath.Dir(s.Root()), ordinary.UID, -1); err != nil {
		t.Fatal(err)
	}
	var unsafe *UnsafeRootError
	if _, err := Open(s.Root()); !errors.As(err, &unsafe) {
		t.Errorf("Open: %v", err)
	}
}

// TestUserAndRootsStore: a user reads it and is told that he cannot write.
func TestUserAndRootsStore(t *testing.T) {
	needsRoot(t, "becomes another user")
	s := newStore(t)
	putLayer(t, s, "file x y")
	for dir := s.Root(); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := asUser(t, "opensafe", s.Root()).CombinedOutput(); err != nil {
		t.Errorf("Open: %v, %s", err, out)
	}
	out, err := asUser(t, "createcode", s.Root()).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "belongs to root") || !strings.Contains(string(out), "remedy: ") {
		t.Errorf("Create: %v, %s", err, out)
	}
	if err := os.Chmod(s.Root(), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := asUser(t, "createcode", s.Root()).CombinedOutput(); err != nil || !strings.Contains(string(out), "remedy: ask its owner") {
		t.Errorf("unreadable: %v, %s", err, out)
	}
}

// createCodeChild prints the error that Create has to give.
func createCodeChild(args []string) error {
	_, err := Create(args[0])
	var has interface{ Remedy() string }
	if !errors.As(err, &has) {
		return errors.Join(errors.New("no error with a remedy"), err)
	}
	_, err = os.Stdout.WriteString(err.Error() + "\nremedy: " + has.Remedy() + "\n")
	return err
}

// TestCreateOnBadDisks meets full and read-only file systems in a mount
// namespace of a child.
func TestCreateOnBadDisks(t *testing.T) {
	needsRoot(t, "mounts")
	cmd := child(t, "smallfs", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

func smallFSChild(args []string) error {
	var errs []error
	for name, tt := range map[string]struct {
		flags uintptr
		data  string
		want  error
	}{
		"full":      {0, "size=64k,nr_inodes=5,mode=0755", unix.ENOSPC},
		"read-only": {unix.MS_RDONLY, "mode=0755", unix.EROFS},
	} {
		dir := filepath.Join(args[0], name)
		if err := errors.Join(os.Mkdir(dir, 0o755), unix.Mount("tmpfs", dir, "tmpfs", tt.flags, tt.data)); err != nil {
			return err
		}
		_, err := Create(filepath.Join(dir, "a", "store"))
		var access *AccessError
		if !errors.As(err, &access) || !errors.Is(err, tt.want) || access.Remedy() == "" {
			errs = append(errs, errors.Join(errors.New(name), err))
		}
		if err := unix.Unmount(dir, 0); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}

func TestCreateWhereNobodyMay(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("needs an ordinary user: TestAsOrdinaryUser")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	var access *AccessError
	if _, err := Create(filepath.Join(dir, "a", "b")); !errors.As(err, &access) || !errors.Is(err, fs.ErrPermission) || access.Remedy() == "" {
		t.Errorf("Create: %v", err)
	}
}
