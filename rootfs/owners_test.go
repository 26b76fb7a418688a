package rootfs

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestOwnersRoundTrip(t *testing.T) {
	s := newStore(t)
	owners := []Owner{
		{Path: "etc/new\nline", UID: 1, GID: 2},
		{Path: ".", Mode: unix.S_IFDIR},
		{Path: "bin/ping", Mode: unix.S_IFREG | 0o2755, Xattrs: map[string]string{"security.capability": "\x00\x01", "trusted.x": ""}},
		{Path: "\xff-", UID: 1 << 31},
	}
	tmp, err := s.Temp("layer")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	id := layerID("x")
	if err := s.CommitLayerOwners(tmp.Dir(), id, owners); err != nil {
		t.Fatal(err)
	}
	got, err := s.Owners(id)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Owner{owners[1], owners[2], owners[0], owners[3]}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Owners(layerID("no")); !errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) {
		t.Errorf("absent: %v", err)
	}
	if _, err := s.Owners("../x"); !errors.Is(err, errBadID) {
		t.Errorf("no id: %v", err)
	}
	if ok, err := s.RetireLayer(id); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, err := os.Lstat(s.OwnersFile(id)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after removal: %v", err)
	}
}

func TestOwnersRefuse(t *testing.T) {
	for name, owners := range map[string][]Owner{
		"twice": {{Path: "a", UID: 1}, {Path: "a", UID: 2}}, "absolute": {{Path: "/a"}}, "climbing": {{Path: "../a"}},
		"empty": {{}}, "NUL": {{Path: "a\x00b"}}, "unclean": {{Path: "a//b"}}, "negative": {{Path: "a", UID: -1}},
		"NUL in a name": {{Path: "a", Xattrs: map[string]string{"a\x00": ""}}},
	} {
		if data, err := formatOwners(owners); err == nil {
			t.Errorf("%s: %q", name, data)
		}
	}
}

// TestOwnersDamage: what is cut or altered anywhere is either refused or what
// would be written again.
func TestOwnersDamage(t *testing.T) {
	data, err := formatOwners([]Owner{{Path: "a", UID: 1, Xattrs: map[string]string{"user.x": "y"}}, {Path: "b", Mode: unix.S_IFREG | 0o644}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		if _, err := parseOwners(data[:i]); err == nil {
			t.Errorf("cut after %d bytes: accepted", i)
		}
		checkOwners(t, append(bytes.Clone(data[:i]), append([]byte{data[i] ^ 1}, data[i+1:]...)...))
	}
}

func checkOwners(t *testing.T, data []byte) {
	owners, err := parseOwners(data)
	if err != nil {
		return
	}
	if _, err := formatOwners(owners); err != nil {
		t.Errorf("%q is read, but cannot be written: %v", data, err)
	}
}

func FuzzOwners(f *testing.F) {
	data, _ := formatOwners([]Owner{{Path: "a", UID: 1, Xattrs: map[string]string{"user.x": "y"}}, {Path: "b", Mode: 0o100644}})
	f.Add(data)
	f.Fuzz(checkOwners)
}

// TestLeftoversOfLayers: parts of a layer whose layer is not there belong to
// nobody; a commit of the same layer does not trip over them.
func TestLeftoversOfLayers(t *testing.T) {
	s := newStore(t)
	id, other, whole := layerID("x"), layerID("y"), putLayer(t, s, "file f x")
	for _, i := range []string{id, other} {
		if err := errors.Join(os.WriteFile(s.OwnersFile(i), []byte("half"), 0o600), os.Mkdir(s.privateDir(i), 0o500)); err != nil {
			t.Fatal(err)
		}
	}
	makeTree(t, s.path(ownersDir), "file stray x")
	left, err := s.Leftovers()
	if err != nil || len(left) != 4 {
		t.Errorf("leftovers %v, %v", left, err)
	}
	tmp, err := s.Temp("layer")
	if err != nil {
		t.Fatal(err)
	}
	defer tmp.Close()
	if err := s.CommitLayer(tmp.Dir(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Owners(id); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("owners of another commit: %v", err)
	}
	if n, err := s.SweepLeftovers(); n != 2 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if !s.HasLayer(id) || !s.HasLayer(whole) {
		t.Error("a layer is gone")
	}
	if _, err := os.Lstat(filepath.Join(s.path(ownersDir), "stray")); err != nil {
		t.Error(err)
	}
}
