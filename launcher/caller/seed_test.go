package caller

import (
	"errors"
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

func errorAs[T error](err error, target *T) bool { return errors.As(err, target) }

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// picture is an image of directories and files, none of them a symlink, whose owner nobody knows.
type picture struct{ fstest.MapFS }

func (p picture) Lstat(path string) (fs.FileInfo, error) {
	if path == "/" {
		path = "/."
	}
	return p.Stat(path[1:])
}

func (p picture) Resolve(path string) (string, error) { return path, nil }

func TestSeeds(t *testing.T) {
	img := picture{fstest.MapFS{"srv/a/file": {}, "tmp": {Mode: fs.ModeDir | 0o777}}}
	dir := func(path string) plan.Node { return plan.Node{Path: path, Mode: 0o755, UID: 7, GID: 7} }
	for behaviour, test := range map[string]struct {
		add  func(*Seeds) error
		want []plan.Node
		fail bool
	}{
		"a new directory": {func(s *Seeds) error { return s.Place("/data/x", true) }, []plan.Node{dir("data"), {Path: "data/x", Mode: unix.S_IFDIR | 0o755, UID: 7, GID: 7}}, false},
		"a new file":      {func(s *Seeds) error { return s.Place("/data", false) }, []plan.Node{{Path: "data", Mode: unix.S_IFREG | 0o644, UID: 7, GID: 7}}, false},
		"there already":   {func(s *Seeds) error { return s.Place("/srv/a", true) }, nil, false},
		"below a file":    {func(s *Seeds) error { return s.Place("/srv/a/file/x", true) }, nil, true},
		"parents once": {func(s *Seeds) error { return errors.Join(s.Place("/d/x", true), s.Place("/d/y", true)) },
			[]plan.Node{dir("d"), {Path: "d/x", Mode: unix.S_IFDIR | 0o755, UID: 7, GID: 7}, {Path: "d/y", Mode: unix.S_IFDIR | 0o755, UID: 7, GID: 7}}, false},
		"a symlink":              {func(s *Seeds) error { return s.Symlink("/home", "var/home") }, []plan.Node{{Path: "home", Mode: unix.S_IFLNK | 0o777, UID: 7, GID: 7, Text: "var/home"}}, false},
		"in place of nothing":    {func(s *Seeds) error { return s.Symlink("/srv", "elsewhere") }, nil, false},
		"an empty home":          {func(s *Seeds) error { return s.Dir("/home/u", plan.Node{Mode: 0o700, Opaque: true}) }, []plan.Node{dir("home"), {Path: "home/u", Mode: 0o700, Opaque: true}}, false},
		"the root needs nothing": {func(s *Seeds) error { return s.Dir("/", plan.Node{}) }, nil, false},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := &Seeds{Image: img, UID: 7, GID: 7}
			if err := test.add(s); (err != nil) != test.fail {
				t.Fatal(err)
			}
			if test.fail {
				return
			}
			if d := cmp.Diff(test.want, s.Nodes); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestSeedsOfOneID(t *testing.T) {
	s := &Seeds{Image: picture{fstest.MapFS{"tmp": {Mode: fs.ModeDir | 0o777}}}, UID: 7, GID: 7, Single: true}
	if err := errors.Join(s.Dir("/tmp", plan.Node{}), s.Place("/new/x", true)); err != nil {
		t.Fatal(err)
	}
	want := []plan.Node{{Path: "tmp", Mode: 0o755, UID: 7, GID: 7}, {Path: "new", Mode: 0o555, UID: 7, GID: 7}, {Path: "new/x", Mode: unix.S_IFDIR | 0o755, UID: 7, GID: 7}}
	if d := cmp.Diff(want, s.Nodes); d != "" {
		t.Error(d)
	}
}

func TestLeads(t *testing.T) {
	s := &Seeds{Nodes: []plan.Node{{Path: "home", Text: "var/home"}, {Path: "var/home", Text: "/data"}}}
	for path, want := range map[string]bool{"/home/u": true, "/var/home/u": true, "/data/u": true, "/other/u": false} {
		if got := s.Leads(path, "/data/u"); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
