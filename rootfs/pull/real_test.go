package pull

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/internal/decompress"
	"github.com/flake-launcher/flake-launcher/rootfs/internal/ordinary"
)

// TestLoadKiwiImages loads images that KIWI built, docker-archives, as root and
// as an ordinary user, and compares each entry of their layers with what is on
// disk and what is recorded.
func TestLoadKiwiImages(t *testing.T) {
	dir := ordinary.KiwiImages()
	if dir == "" {
		t.Skip("no images built by KIWI (FLAKE_KIWI_IMAGES names their directory)")
	}
	pattern := "odd.tar*"
	if os.Getenv("FLAKE_TEST_REAL") == "1" {
		pattern = "*.tar*" // some are large, and xz is slow
	}
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no archives in %q: %v", dir, err)
	}
	s := newStore(t)
	opt := testOptions(t)
	opt.Arch = ""
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			img, err := Load(t.Context(), s, file, opt)
			if err != nil {
				t.Fatal(err)
			}
			layers := readLayers(t, file)
			if len(layers) != len(img.Layers) {
				t.Fatalf("%d layers, archive has %d", len(img.Layers), len(layers))
			}
			for i, l := range img.Layers {
				c := comparison{parts: s.LayerParts(l.ID), owners: map[string]rootfs.Owner{}}
				owners, err := s.Owners(l.ID)
				if errors.Is(err, fs.ErrNotExist) == (os.Geteuid() != 0) {
					t.Errorf("owners as user %d: %v", os.Geteuid(), err)
				}
				for _, o := range owners {
					c.owners[o.Path] = o
				}
				n := c.layer(t, layers[i])
				t.Logf("layer %d: %d entries as the tar says, %d recorded, %d parts", i, n, len(owners), len(c.parts))
			}
		})
	}
	clean(t, s)
}

// clean removes all that a store holds, by the store's own means.
func clean(t *testing.T, s *rootfs.Store) {
	t.Helper()
	digests, err := s.Digests()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range digests {
		if err := s.DeleteImage(d); err != nil {
			t.Error(err)
		}
	}
	ids, err := s.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if ok, err := s.RetireLayer(id); err != nil || !ok {
			t.Errorf("layer %s removed: %v, %v", id, ok, err)
		}
	}
	for _, dir := range []string{"layers/sha256", "owners/sha256", "private/sha256", "images/sha256", "tmp"} {
		entries, err := os.ReadDir(filepath.Join(s.Root(), dir))
		if err != nil || len(entries) > 0 {
			t.Errorf("left in %s: %v, %v", dir, entries, err)
		}
	}
}

// readLayers gives an archive's layers, bottom first.
func readLayers(t *testing.T, file string) [][]byte {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := decompress.New(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	contents := map[string][]byte{}
	for tr := tar.NewReader(r); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if contents[hdr.Name], err = io.ReadAll(tr); err != nil {
			t.Fatal(err)
		}
	}
	var list []struct{ Layers []string }
	if err := json.Unmarshal(contents[dockerManifest], &list); err != nil {
		t.Fatal(err)
	}
	var layers [][]byte
	for _, name := range list[0].Layers {
		layers = append(layers, contents[name])
	}
	return layers
}

// comparison is one layer in the store, for the caller.
type comparison struct {
	parts  []string // bottom first
	owners map[string]rootfs.Owner
}

// path is where an entry is to be seen: in the topmost part that has it.
func (c comparison) path(name string) string {
	for _, part := range slices.Backward(c.parts) {
		p := filepath.Join(part, name)
		if _, err := os.Lstat(p); err == nil {
			return p
		}
	}
	return filepath.Join(c.parts[0], name)
}

func (c comparison) layer(t *testing.T, layer []byte) (entries int) {
	t.Helper()
	expected := map[string]bool{".": true}
	tr := tar.NewReader(bytes.NewReader(layer))
	for {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		entries++
		name := path.Clean(hdr.Name)
		expected[name] = true
		if err := c.entry(hdr, tr, name); err != nil {
			t.Errorf("entry %q: %v", name, err)
		}
	}
	for _, part := range c.parts {
		err := filepath.WalkDir(part, func(p string, _ os.DirEntry, err error) error {
			if rel, _ := filepath.Rel(part, p); err == nil && !expected[rel] {
				t.Errorf("%q is on disk, but not in the tar", rel)
			}
			if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
				return nil // a directory that its owner may not read
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	return entries
}

func (c comparison) entry(hdr *tar.Header, content io.Reader, name string) error {
	p := c.path(name)
	fi, err := os.Lstat(p)
	if err != nil {
		return err
	}
	st := fi.Sys().(*syscall.Stat_t)
	if hdr.Typeflag == tar.TypeLink {
		target, err := os.Lstat(c.path(path.Clean(hdr.Linkname)))
		if err != nil || !os.SameFile(fi, target) {
			return fmt.Errorf("is no hard link to %q: %w", hdr.Linkname, err)
		}
		return nil
	}
	if got, want := fi.Mode().Type(), hdr.FileInfo().Mode().Type(); got != want {
		return fmt.Errorf("type %v instead of %v", got, want)
	}
	uid, gid, mode := int(st.Uid), int(st.Gid), st.Mode
	o := c.owners[name]
	if os.Geteuid() != 0 {
		if uid != os.Geteuid() || gid != os.Getegid() {
			return fmt.Errorf("on disk it belongs to %d:%d", uid, gid)
		}
		uid, gid = o.UID, o.GID
		if o.Mode != 0 {
			mode = o.Mode
		}
	}
	if uid != hdr.Uid || gid != hdr.Gid {
		return fmt.Errorf("owner %d:%d instead of %d:%d", uid, gid, hdr.Uid, hdr.Gid)
	}
	if !fi.ModTime().Equal(hdr.ModTime) {
		return fmt.Errorf("time %v instead of %v", fi.ModTime(), hdr.ModTime)
	}
	if hdr.Typeflag == tar.TypeSymlink {
		if target, err := os.Readlink(p); err != nil || target != hdr.Linkname {
			return fmt.Errorf("target %q instead of %q: %w", target, hdr.Linkname, err)
		}
		return nil
	}
	if got := int64(mode & 0o7777); got != hdr.Mode&0o7777 {
		return fmt.Errorf("mode %o instead of %o", got, hdr.Mode)
	}
	if mode&0o400 == 0 && os.Geteuid() != 0 {
		if err := os.Chmod(p, 0o600); err != nil { // which only its owner can
			return err
		}
		defer func() { _ = os.Chmod(p, fi.Mode()) }()
	}
	if err := compareXattrs(hdr, p, o.Xattrs); err != nil || hdr.Typeflag != tar.TypeReg {
		return err
	}
	return compareContent(p, content)
}

func compareXattrs(hdr *tar.Header, p string, recorded map[string]string) error {
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(p, buf)
	if errors.Is(err, unix.ENOTSUP) {
		n, err = 0, nil
	}
	if err != nil {
		return err
	}
	for _, name := range strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if strings.Contains(name, "overlay.") {
			return fmt.Errorf("has xattr %q", name)
		}
	}
	for key, want := range hdr.PAXRecords {
		name, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if !ok || strings.HasPrefix(name, "trusted.") {
			continue
		}
		if recorded[name] == want {
			continue
		}
		value := make([]byte, 4096)
		n, err := unix.Lgetxattr(p, name, value)
		if err != nil || string(value[:n]) != want {
			return fmt.Errorf("xattr %q is %q instead of %q: %w", name, value[:max(n, 0)], want, err)
		}
	}
	return nil
}

func compareContent(p string, want io.Reader) error {
	f, err := os.Open(p)
	if err != nil {
		return err
	}
	defer f.Close()
	a, b := sha256.New(), sha256.New()
	if _, err := io.Copy(a, f); err != nil {
		return err
	}
	if _, err := io.Copy(b, want); err != nil {
		return err
	}
	if !bytes.Equal(a.Sum(nil), b.Sum(nil)) {
		return errors.New("content differs")
	}
	return nil
}
