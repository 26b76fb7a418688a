package vm

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// initramfs writes a root filesystem in the form that the kernel unpacks, cpio's `newc`. All belongs to root.
type initramfs struct {
	w    io.Writer
	at   int64
	made map[string]bool
	err  error
}

func newInitramfs(w io.Writer) *initramfs { return &initramfs{w: w, made: map[string]bool{".": true}} }

const (
	typeFile = 0o100000
	typeDir  = 0o040000
	typeLink = 0o120000
)

// dir makes a directory and those above it; one that is there stays as it is.
func (i *initramfs) dir(name string) {
	if i.made[name] {
		return
	}
	i.dir(path.Dir(name))
	i.made[name] = true
	i.entry(name, typeDir|0o755, nil)
}

func (i *initramfs) file(name string, perm fs.FileMode, data []byte) {
	i.dir(path.Dir(name))
	i.entry(name, typeFile|uint32(perm.Perm()), data)
}

func (i *initramfs) link(name, to string) {
	i.dir(path.Dir(name))
	i.made[name] = true // to a directory, as far as it is anything's parent
	i.entry(name, typeLink|0o777, []byte(to))
}

// copyFile takes a file of this machine.
func (i *initramfs) copyFile(name string, perm fs.FileMode, from string) {
	data, err := os.ReadFile(from)
	i.err = errors.Join(i.err, err)
	i.file(name, perm, data)
}

// copyTree takes a directory of this machine with all in it.
func (i *initramfs) copyTree(from string) {
	err := filepath.WalkDir(from, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			i.dir(name)
		case d.Type() == fs.ModeSymlink:
			to, err := os.Readlink(file)
			if err != nil {
				return err
			}
			i.link(name, to)
		default:
			i.copyFile(name, info.Mode(), file)
		}
		return nil
	})
	i.err = errors.Join(i.err, err)
}

// entry writes a header of fourteen numbers, the name and the content, each padded to four bytes.
func (i *initramfs) entry(name string, mode uint32, data []byte) {
	i.put(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name))
	i.put(data)
}

func (i *initramfs) put(data []byte) {
	if i.err != nil {
		return
	}
	n, err := i.w.Write(data)
	i.err, i.at = err, i.at+int64(n)
	if pad := -i.at & 3; pad > 0 && err == nil {
		_, i.err = i.w.Write(make([]byte, pad))
		i.at += pad
	}
}

// close ends the archive; the error is the first of all that was written.
func (i *initramfs) close() error {
	i.entry("TRAILER!!!", 0, nil)
	return i.err
}
