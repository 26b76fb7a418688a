package rootfs

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Root may do in a plain directory what a user needs a namespace for.
func rangeStore(t *testing.T) *Store {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: to give files to others")
	}
	s, err := Create(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	s.whole = true
	return s
}

func plainLayer(t *testing.T, s *Store, id string, owners ...Owner) {
	t.Helper()
	tmp, err := s.Temp("layer")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	dir := filepath.Join(tmp.Dir(), "l")
	for _, err := range []error{
		os.Mkdir(dir, 0o700), os.Mkdir(filepath.Join(dir, "d"), 0o755), os.WriteFile(filepath.Join(dir, "d/f"), []byte("text"), 0o640),
		os.Link(filepath.Join(dir, "d/f"), filepath.Join(dir, "g")), os.Symlink("/etc/shadow", filepath.Join(dir, "link")),
		unix.Mknod(filepath.Join(dir, "gone"), unix.S_IFCHR, 0), unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
		unix.Setxattr(filepath.Join(dir, "d"), "user.overlay.opaque", []byte("y"), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CommitLayerOwners(dir, id, owners); err != nil {
		t.Fatal(err)
	}
}

func TestMakeRange(t *testing.T) {
	s, id := rangeStore(t), strings.Repeat("a", 64)
	// CAP_NET_BIND_SERVICE, version 2 of the format.
	capability := map[string]string{"security.capability": "\x01\x00\x00\x02\x00\x04" + strings.Repeat("\x00", 14)}
	plainLayer(t, s, id,
		Owner{Path: "d", UID: 5, GID: 6, Mode: unix.S_IFDIR | 0o2755},
		Owner{Path: "d/f", UID: 7, GID: 8, Mode: unix.S_IFREG | 0o6755, Xattrs: capability},
		Owner{Path: "g", UID: 7, GID: 8, Mode: unix.S_IFREG | 0o6755, Xattrs: capability},
		Owner{Path: "link", UID: 9, GID: 9})
	if n, err := s.MaxID(id); n != 9 || err != nil {
		t.Errorf("highest id %d, %v", n, err)
	}
	for range 2 { // idempotent
		if err := s.MakeRange(context.Background(), id); err != nil {
			t.Fatal(err)
		}
	}
	if !s.HasRangeLayer(id) || s.HasRangeLayer("../x") {
		t.Error("the layer is not there")
	}
	var first uint64
	for _, want := range []struct {
		path     string
		mode     uint32
		uid, gid uint32
	}{
		{".", unix.S_IFDIR | 0o755, 0, 0}, {"d", unix.S_IFDIR | 0o2755, 5, 6}, {"d/f", unix.S_IFREG | 0o6755, 7, 8},
		{"g", unix.S_IFREG | 0o6755, 7, 8}, {"link", unix.S_IFLNK | 0o777, 9, 9}, {"gone", unix.S_IFCHR, 0, 0}, {"pipe", unix.S_IFIFO | 0o600, 0, 0},
	} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(s.RangeLayerDir(id), want.path), &st); err != nil {
			t.Error(err)
			continue
		}
		if st.Uid != want.uid || st.Gid != want.gid || st.Mode != want.mode && want.path != "." && want.path != "gone" {
			t.Errorf("%s: %o %d:%d, want %o %d:%d", want.path, st.Mode, st.Uid, st.Gid, want.mode, want.uid, want.gid)
		}
		if want.path == "d/f" {
			first = st.Ino
		}
		if want.path == "g" && st.Ino != first {
			t.Error("a hard link has become a file of its own")
		}
	}
	value := make([]byte, 64)
	for path, attr := range map[string]string{"d": "user.overlay.opaque", "d/f": "security.capability"} {
		if n, err := unix.Getxattr(filepath.Join(s.RangeLayerDir(id), path), attr, value); n == 0 || err != nil {
			t.Errorf("%s of %s: %v", attr, path, err)
		}
	}
}

func TestSweepRanges(t *testing.T) {
	s := rangeStore(t)
	kept, gone, used := strings.Repeat("a", 64), strings.Repeat("b", 64), strings.Repeat("c", 64)
	for _, id := range []string{kept, gone, used} {
		plainLayer(t, s, id)
		if err := s.MakeRange(context.Background(), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{gone, used} {
		if ok, err := s.RetireLayer(id); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	f, err := os.Open(s.RangeLayerDir(used))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	removed, err := s.SweepRanges(context.Background())
	if err != nil || len(removed) != 1 || removed[0] != gone {
		t.Errorf("removed %v, %v", removed, err)
	}
	if !s.HasRangeLayer(kept) || s.HasRangeLayer(gone) || !s.HasRangeLayer(used) {
		t.Error("the wrong layers are there")
	}
}

// A layer that root unpacked has no record of owners to go by.
func TestMakeRangeNeedsOwners(t *testing.T) {
	s, id := rangeStore(t), strings.Repeat("d", 64)
	tmp, err := s.Temp("layer")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	dir := filepath.Join(tmp.Dir(), "l")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := s.CommitLayer(dir, id); err != nil {
		t.Fatal(err)
	}
	if err := s.MakeRange(context.Background(), id); err == nil || s.HasRangeLayer(id) {
		t.Errorf("%v", err)
	}
}
