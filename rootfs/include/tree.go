package include

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	paxXattr = "SCHILY.xattr." // PAX records of extended attributes
	// whPrefix begins the names that mean a whiteout in a layer.
	whPrefix = ".wh."
	maxXattr = 64 << 10
)

// writeTree writes a file or directory of the host as a layer that has it at
// its own path. The same content, owners, modes and times give the same bytes.
// What belongs to the ids of own belongs to root inside: to an ordinary user
// these are all that he has. Sockets and devices are left out, as of every layer.
func writeTree(ctx context.Context, w io.Writer, top string, own ids) error {
	t := &treeWriter{tw: tar.NewWriter(w), top: top, own: own, names: map[inode]string{}, attrs: make([]byte, maxXattr)}
	err := walk(top, func(e *entry) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		return t.entry(e)
	})
	if err != nil {
		return err
	}
	return t.tw.Close()
}

type ids struct{ uid, gid uint32 }

type inode struct{ dev, ino uint64 }

type treeWriter struct {
	tw    *tar.Writer
	top   string
	own   ids
	names map[inode]string // of files with several names: the first one
	attrs []byte           // room for their names
}

func (t *treeWriter) entry(e *entry) error {
	host := filepath.Join(t.top, e.rel)
	hdr := &tar.Header{
		Name: strings.TrimPrefix(host, "/"), Mode: int64(e.st.Mode & 0o7777), Format: tar.FormatPAX,
		Uid: inside(e.st.Uid, t.own.uid), Gid: inside(e.st.Gid, t.own.gid), ModTime: time.Unix(e.st.Mtim.Unix()), PAXRecords: map[string]string{},
	}
	if strings.HasPrefix(path.Base(hdr.Name), whPrefix) {
		return &refusal{fmt.Sprintf("%s: a layer can't hold a name that begins with %s", host, whPrefix), "move that file elsewhere"}
	}
	switch e.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		hdr.Typeflag, hdr.Name = tar.TypeDir, hdr.Name+"/"
	case unix.S_IFREG:
		return t.file(e, hdr, host)
	case unix.S_IFLNK:
		target, err := readlinkAt(e)
		if err != nil {
			return pathError("readlink", host, err)
		}
		hdr.Typeflag, hdr.Linkname = tar.TypeSymlink, target
		return t.tw.WriteHeader(hdr)
	case unix.S_IFIFO:
		hdr.Typeflag = tar.TypeFifo
		return t.tw.WriteHeader(hdr)
	default:
		return nil
	}
	dir, err := openAt(e, host, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := t.xattrs(dir, hdr); err != nil {
		return err
	}
	return t.tw.WriteHeader(hdr)
}

// inside is what an owner on the host is in the layer.
func inside(host, own uint32) int {
	if host == own {
		return 0
	}
	return int(host)
}

func (t *treeWriter) file(e *entry, hdr *tar.Header, host string) error {
	hdr.Typeflag = tar.TypeReg
	at := inode{e.st.Dev, e.st.Ino}
	if first, ok := t.names[at]; ok {
		hdr.Typeflag, hdr.Linkname = tar.TypeLink, first
		return t.tw.WriteHeader(hdr)
	}
	if e.st.Nlink > 1 {
		t.names[at] = hdr.Name
	}
	f, err := openAt(e, host, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return pathError("read", host, errChanged)
	}
	if err := t.xattrs(f, hdr); err != nil {
		return err
	}
	hdr.Size = fi.Size()
	if err := t.tw.WriteHeader(hdr); err != nil {
		return err
	}
	n, err := io.CopyN(t.tw, f, hdr.Size)
	switch {
	case errors.Is(err, io.EOF) && n < hdr.Size:
		return pathError("read", host, errChanged)
	case err != nil:
		return err
	}
	return nil
}

// xattrs adds those that go with a file: a copy of ping without its capability
// would be none.
func (t *treeWriter) xattrs(f *os.File, hdr *tar.Header) error {
	fd := int(f.Fd())
	n, err := unix.Flistxattr(fd, t.attrs)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return pathError("list attributes of", f.Name(), err)
	}
	for _, name := range strings.Split(strings.TrimRight(string(t.attrs[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, "user.") && !strings.HasPrefix(name, "system.posix_acl_") && name != "security.capability" {
			continue
		}
		value := make([]byte, maxXattr)
		n, err := unix.Fgetxattr(fd, name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}
		if err != nil {
			return pathError("read attribute "+name+" of", f.Name(), err)
		}
		hdr.PAXRecords[paxXattr+name] = string(value[:n])
	}
	return nil
}

func readlinkAt(e *entry) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(e.parent.Fd()), e.name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
