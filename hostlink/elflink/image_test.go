package elflink

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// dirImage is a directory that stands for the images of a flake.
type dirImage string

func (d dirImage) at(path string) string { return filepath.Join(string(d), path) }

func (d dirImage) Lstat(path string) (fs.FileInfo, error)     { return os.Lstat(d.at(path)) }
func (d dirImage) Readlink(path string) (string, error)       { return os.Readlink(d.at(path)) }
func (d dirImage) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(d.at(path)) }
func (d dirImage) Open(path string) (*os.File, error)         { return os.Open(d.at(path)) }

func (d dirImage) write(t testing.TB, path string, data []byte) {
	t.Helper()
	name := d.at(path)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

func (d dirImage) link(t testing.TB, path, text string) {
	t.Helper()
	name := d.at(path)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(text, name); err != nil {
		t.Fatal(err)
	}
}
