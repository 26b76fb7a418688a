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
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLoadRealImages loads every archive of the directory that
// FLAKE_TEST_IMAGES names, docker-archives made by KIWI, and compares each
// entry of their layers with what is on disk.
func TestLoadRealImages(t *testing.T) {
	requireRoot(t)
	dir := os.Getenv("FLAKE_TEST_IMAGES")
	if dir == "" {
		t.Skip("FLAKE_TEST_IMAGES names no directory with real images")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.tar.*"))
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
			for i, l := range img.LayerDirs(s) {
				n := compareLayer(t, layers[i], l)
				t.Logf("layer %d: %d entries as the tar says", i, n)
			}
		})
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
	r, err := decompress(bufio.NewReader(f))
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

func compareLayer(t *testing.T, layer []byte, dir string) (entries int) {
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
		if err := compareEntry(hdr, tr, dir, name); err != nil {
			t.Errorf("entry %q: %v", name, err)
		}
	}
	err := filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, p); err == nil && !expected[rel] {
			t.Errorf("%q is on disk, but not in the tar", rel)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return entries
}

func compareEntry(hdr *tar.Header, content io.Reader, dir, name string) error {
	p := filepath.Join(dir, name)
	fi, err := os.Lstat(p)
	if err != nil {
		return err
	}
	st := fi.Sys().(*syscall.Stat_t)
	if hdr.Typeflag == tar.TypeLink {
		target, err := os.Lstat(filepath.Join(dir, hdr.Linkname))
		if err != nil || !os.SameFile(fi, target) {
			return fmt.Errorf("is no hard link to %q: %w", hdr.Linkname, err)
		}
		return nil
	}
	if got, want := fi.Mode().Type(), hdr.FileInfo().Mode().Type(); got != want {
		return fmt.Errorf("type %v instead of %v", got, want)
	}
	if int(st.Uid) != hdr.Uid || int(st.Gid) != hdr.Gid {
		return fmt.Errorf("owner %d:%d instead of %d:%d", st.Uid, st.Gid, hdr.Uid, hdr.Gid)
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
	if got := int64(st.Mode & 0o7777); got != hdr.Mode&0o7777 {
		return fmt.Errorf("mode %o instead of %o", got, hdr.Mode)
	}
	if err := compareXattrs(hdr, p); err != nil || hdr.Typeflag != tar.TypeReg {
		return err
	}
	return compareContent(p, content)
}

func compareXattrs(hdr *tar.Header, p string) error {
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
