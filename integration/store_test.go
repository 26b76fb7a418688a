package integration

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// entry is one file of a layer as the image has it.
type entry struct {
	mode     uint32 // st_mode
	uid, gid uint32
	names    uint64            // of a file; 1 for all else
	target   string            // of a symlink
	path     string            // in the store
	recorded map[string]string // attributes that the disk could not keep
}

func (e *entry) String() string {
	return fmt.Sprintf("%o %d:%d %d %s", e.mode, e.uid, e.gid, e.names, e.target)
}

// attribute is the value of an extended attribute, "" if there is none.
func (e *entry) attribute(name string) string {
	if value, ok := e.recorded[name]; ok {
		return value
	}
	buf := make([]byte, 4096)
	n, err := unix.Lgetxattr(e.path, name, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}

// layerOf gathers a layer from where rootfs/FORMAT.md says that its parts are: of root's store what
// is private lies on top of what everybody may read; beside a user's layer is the list of what he
// could not keep.
func layerOf(t *testing.T, s *fixture.Sandbox, id string) map[string]*entry {
	t.Helper()
	if _, err := os.Stat(filepath.Join(s.Root, "layers", "sha256", id)); err != nil {
		t.Fatalf("the layer is not kept by its diffID: %v", err)
	}
	all := map[string]*entry{}
	for _, part := range []string{"layers", "private"} {
		walk(t, filepath.Join(s.Root, part, "sha256", id), all)
	}
	if s.By.IsRoot() {
		return all
	}
	for _, e := range all {
		if int(e.uid) != s.By.UID || int(e.gid) != s.By.GID {
			t.Errorf("%s belongs to %d:%d", e.path, e.uid, e.gid)
		}
		e.uid, e.gid = 0, 0
	}
	content, err := os.ReadFile(filepath.Join(s.Root, "owners", "sha256", id))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Split(strings.TrimSuffix(string(content), "\x00"), "\x00")
	next := func() string {
		if len(fields) == 0 {
			t.Fatalf("the list of owners of %s is cut", id)
		}
		field := fields[0]
		fields = fields[1:]
		return field
	}
	number := func(base int) uint32 {
		n, err := strconv.ParseUint(next(), base, 32)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	if head := next(); head != "flake-owners 1" {
		t.Fatalf("owners begin with %q", head)
	}
	for range number(10) {
		e := all[next()]
		if e == nil {
			t.Fatal("an owner of what is not there")
		}
		e.uid, e.gid = number(10), number(10)
		if fields[0] == "-" {
			next()
		} else {
			e.mode = number(8)
		}
		e.recorded = map[string]string{}
		for range number(10) {
			name := next()
			value, err := base64.StdEncoding.DecodeString(next())
			if err != nil {
				t.Fatal(err)
			}
			e.recorded[name] = string(value)
		}
	}
	return all
}

// walk adds the files below dir by their path in it, over those that are there.
func walk(t *testing.T, dir string, into map[string]*entry) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == dir {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		e := &entry{mode: st.Mode, uid: st.Uid, gid: st.Gid, names: 1, path: path}
		if info.Mode().IsRegular() {
			e.names = uint64(st.Nlink)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			if e.target, err = os.Readlink(path); err != nil {
				return err
			}
		}
		name, err := filepath.Rel(dir, path)
		into[name] = e
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
