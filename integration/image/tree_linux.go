package image

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Whiteouts says what becomes of the 0:0 devices of an overlay's upper directory.
type Whiteouts string

// What Tree does with whiteouts.
const (
	KeepDevices  Whiteouts = "keep" // as devices: the tree is no upper directory
	OCIWhiteouts Whiteouts = "oci"  // `.wh.NAME` and `.wh..wh..opq`
	DropThem     Whiteouts = "drop" // gone, opaque marks as well, as KIWI does
)

const opaqueXattr = "trusted.overlay.opaque"

// Tree writes the tree below dir as a layer: entries sorted by directory, parents first, hard links
// and extended attributes kept (but for overlayfs's own), sockets left out.
func Tree(w io.Writer, dir string, whiteouts Whiteouts) error {
	t := &treeWriter{tw: tar.NewWriter(w), dir: dir, whiteouts: whiteouts, seen: map[inode]string{}}
	if err := filepath.WalkDir(dir, t.visit); err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	if err := t.tw.Close(); err != nil {
		return fmt.Errorf("pack %s: %w", dir, err)
	}
	return nil
}

type inode struct{ dev, ino uint64 }

type treeWriter struct {
	tw        *tar.Writer
	dir       string
	whiteouts Whiteouts
	seen      map[inode]string
}

func (t *treeWriter) visit(path string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	name, err := filepath.Rel(t.dir, path)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if entry.Type()&fs.ModeSocket != 0 {
		return nil
	}
	if st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 && t.whiteouts != KeepDevices {
		return t.mark(filepath.Dir(name), ".wh."+filepath.Base(name))
	}
	hdr, err := t.header(path, name, entry, &st)
	if err != nil {
		return err
	}
	if err := t.tw.WriteHeader(hdr); err != nil {
		return fmt.Errorf("write header of %q: %w", name, err)
	}
	if hdr.Typeflag == tar.TypeReg {
		return t.content(path)
	}
	if entry.IsDir() && getxattr(path, opaqueXattr) == "y" {
		return t.mark(name, ".wh..wh..opq")
	}
	return nil
}

func (t *treeWriter) mark(dir, name string) error {
	if t.whiteouts != OCIWhiteouts {
		return nil
	}
	return t.tw.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: filepath.Join(dir, name), Mode: 0o644, ModTime: Epoch,
	})
}

func (t *treeWriter) header(path, name string, entry fs.DirEntry, st *unix.Stat_t) (*tar.Header, error) {
	info, err := entry.Info()
	if err != nil {
		return nil, err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return nil, err
		}
	}
	hdr, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return nil, fmt.Errorf("make header of %q: %w", name, err)
	}
	hdr.Name, hdr.Format = name, tar.FormatPAX
	hdr.Uname, hdr.Gname = "", ""
	if entry.IsDir() {
		hdr.Name = strings.TrimSuffix(name, "/") + "/"
	}
	if !entry.IsDir() && st.Nlink > 1 {
		id := inode{dev: st.Dev, ino: st.Ino}
		if first, ok := t.seen[id]; ok {
			hdr.Typeflag, hdr.Linkname, hdr.Size = tar.TypeLink, first, 0
			return hdr, nil
		}
		t.seen[id] = name
	}
	hdr.PAXRecords, err = xattrs(path)
	return hdr, err
}

func (t *treeWriter) content(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t.tw, f)
	return err
}

// xattrs are path's own as PAX records, without those by which overlayfs keeps house.
func xattrs(path string) (map[string]string, error) {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, buf)
	if err == unix.ENOTSUP || n == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	records := map[string]string{}
	for _, name := range strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "trusted.overlay.") && !strings.HasPrefix(name, "user.overlay.") {
			records[xattrPrefix+name] = getxattr(path, name)
		}
	}
	return records, nil
}

func getxattr(path, name string) string {
	buf := make([]byte, 64<<10)
	n, err := unix.Lgetxattr(path, name, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}
