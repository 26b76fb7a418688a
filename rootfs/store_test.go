package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

func TestDefaultRoot(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		euid int
		want string // "" is an error
	}{
		"root":                      {nil, 0, "/var/lib/flakes"},
		"root ignores XDG":          {map[string]string{"XDG_DATA_HOME": "/x", "HOME": "/root"}, 0, "/var/lib/flakes"},
		"FLAKES_ROOT wins for root": {map[string]string{"FLAKES_ROOT": "/f/../g/"}, 0, "/g"},
		"FLAKES_ROOT wins for user": {map[string]string{"FLAKES_ROOT": "/f", "HOME": "/h"}, 7, "/f"},
		"FLAKES_ROOT is absolute":   {map[string]string{"FLAKES_ROOT": "f", "HOME": "/h"}, 7, ""},
		"XDG":                       {map[string]string{"XDG_DATA_HOME": "/x", "HOME": "/h"}, 7, "/x/flakes"},
		"relative XDG is ignored":   {map[string]string{"XDG_DATA_HOME": "x", "HOME": "/h"}, 7, "/h/.local/share/flakes"},
		"home":                      {map[string]string{"HOME": "/h"}, 7, "/h/.local/share/flakes"},
		"nothing set":               {nil, 7, ""},
		"relative home":             {map[string]string{"HOME": "h"}, 7, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := DefaultRoot(func(k string) string { return tt.env[k] }, tt.euid)
			if got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	unsafe := func(err error) bool { var e *UnsafeRootError; return errors.As(err, &e) && e.Remedy() != "" }
	version := func(err error) bool { var e *VersionError; return errors.As(err, &e) && e.Remedy() != "" }
	none := func(err error) bool { return errors.Is(err, ErrNoStore) }
	tests := map[string]struct {
		spoil func(root string) error
		want  func(error) bool
		root  bool
	}{
		"absent":          {func(r string) error { return os.RemoveAll(r) }, none, false},
		"no version":      {func(r string) error { return os.Remove(filepath.Join(r, "version")) }, none, false},
		"symbolic link":   {func(r string) error { return errors.Join(os.Rename(r, r+"2"), os.Symlink(r+"2", r)) }, unsafe, false},
		"dangling link":   {func(r string) error { return errors.Join(os.Rename(r, r+"2"), os.Symlink(r+"3", r)) }, unsafe, false},
		"file":            {func(r string) error { return errors.Join(os.RemoveAll(r), os.WriteFile(r, nil, 0o600)) }, unsafe, false},
		"group-writable":  {func(r string) error { return os.Chmod(r, 0o775) }, unsafe, false},
		"world-writable":  {func(r string) error { return os.Chmod(r, 0o757) }, unsafe, false},
		"sticky and open": {func(r string) error { return os.Chmod(r, 0o777|fs.ModeSticky) }, unsafe, false},
		"foreign owner":   {func(r string) error { return os.Chown(r, 4711, 4711) }, unsafe, true},
		"later version":   {func(r string) error { return os.WriteFile(filepath.Join(r, "version"), []byte("3\n"), 0o600) }, version, false},
		"damaged version": {func(r string) error { return os.WriteFile(filepath.Join(r, "version"), nil, 0o600) }, version, false},
		"version is a link": {func(r string) error {
			v := filepath.Join(r, "version")
			return errors.Join(os.Rename(v, v+"2"), os.Symlink("version2", v))
		}, func(err error) bool { return err != nil }, false},
		"endless version": {func(r string) error { return os.Truncate(filepath.Join(r, "version"), 1<<40) }, func(err error) bool { return errors.Is(err, ErrTooLarge) }, false},
		"version a fifo": {func(r string) error {
			v := filepath.Join(r, "version")
			return errors.Join(os.Remove(v), makeEntry(r, []string{"fifo", "version"}))
		}, func(err error) bool { return err != nil }, false},
		"version a directory": {func(r string) error {
			v := filepath.Join(r, "version")
			return errors.Join(os.Remove(v), os.Mkdir(v, 0o755))
		}, func(err error) bool { return err != nil }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.root {
				needsRoot(t, "changes an owner")
			}
			s := newStore(t)
			if err := tt.spoil(s.Root()); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(s.Root()); !tt.want(err) {
				t.Errorf("Open: %v", err)
			}
			if name == "absent" || name == "no version" {
				return
			}
			if _, err := Create(s.Root()); !tt.want(err) {
				t.Errorf("Create: %v", err)
			}
		})
	}
}

func TestCreate(t *testing.T) {
	root := filepath.Join(t.TempDir(), "deep", "er", "root")
	for range 2 { // the second finds it
		s, err := Create(root)
		if err != nil || s.Root() != root {
			t.Fatal(s, err)
		}
	}
	layers := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		layers = 0o755 // root's are for everybody
	}
	for path, want := range map[string]fs.FileMode{
		"": 0o755, "layers": layers, "layers/sha256": layers, "owners": layers, "private": 0o700,
		"tmp": 0o700, "instances": 0o700, "hostlayers": 0o700, "refs": 0o755,
	} {
		if fi, err := os.Stat(filepath.Join(root, path)); err != nil || fi.Mode().Perm() != want {
			t.Errorf("%q: %v, %v", path, fi.Mode(), err)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(root, "version")); string(b) != "2\n" {
		t.Errorf("version %q", b)
	}
	if left, _ := os.ReadDir(filepath.Join(root, "tmp")); len(left) != 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

// TestCreateHeals: whatever a crashed Create, or somebody who kept only
// registrations, left behind becomes a store.
func TestCreateHeals(t *testing.T) {
	for name, left := range map[string][]string{
		"empty":            nil,
		"registrations":    {"file registrations/x.yaml y"},
		"some directories": {"dir layers", "dir tmp/file-123/d"},
	} {
		t.Run(name, func(t *testing.T) {
			root := makeTree(t, filepath.Join(t.TempDir(), "r"), left...)
			if err := os.Chmod(filepath.Join(root, tmpDir), 0o700); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			if _, err := Open(root); !errors.Is(err, ErrNoStore) {
				t.Fatalf("Open: %v", err)
			}
			if _, err := Create(root); err != nil {
				t.Fatal(err)
			}
			if _, err := Open(root); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestPathsStayInside(t *testing.T) {
	s := newStore(t)
	for _, id := range []string{"", ".", "..", "../../etc", "/etc", strings.Repeat("A", 64), "a/b", "\x00"} {
		for _, dir := range []string{s.LayerDir(id), s.ImageDir(digest.Digest(id)), s.ImageDir(digest.Digest("sha256:" + id))} {
			if up := filepath.Dir(dir); filepath.Base(up) != "sha256" && id != "" {
				t.Errorf("%q gives %q", id, dir)
			}
			if !strings.HasPrefix(dir, s.Root()+"/") {
				t.Errorf("%q gives %q", id, dir)
			}
		}
		if s.HasLayer(id) {
			t.Errorf("HasLayer(%q)", id)
		}
		if err := s.CommitLayer(filepath.Join(s.Root(), "tmp", "x"), id); !errors.Is(err, errBadID) {
			t.Errorf("CommitLayer(%q): %v", id, err)
		}
		if _, err := s.RetireLayer(id); !errors.Is(err, errBadID) {
			t.Errorf("RetireLayer(%q): %v", id, err)
		}
		if err := s.SetRef("x", digest.Digest(id)); !errors.Is(err, errBadID) {
			t.Errorf("SetRef to %q: %v", id, err)
		}
		if err := s.PutImage(Record{Digest: digest.Digest(id)}, nil, nil); !errors.Is(err, errBadID) {
			t.Errorf("PutImage(%q): %v", id, err)
		}
	}
}

func TestEscapeRoundTrip(t *testing.T) {
	names := []string{
		"alpine", "docker.io/library/alpine:latest", "localhost:5000/a/b@sha256:00", "..", ".", ".hidden", "../..",
		"/", "a%2Fb", "a%b", "%", "%%", "%2F", "ü/名", "a.b", "-", "~", "a+b", strings.Repeat("x", 255),
	}
	seen := map[string]string{}
	for _, n := range names {
		file := escape(n)
		if strings.ContainsAny(file, "/\x00") || strings.HasPrefix(file, ".") {
			t.Errorf("escape(%q) = %q", n, file)
		}
		if other, ok := seen[file]; ok {
			t.Errorf("%q and %q both give %q", n, other, file)
		}
		seen[file] = n
		if got, err := unescape(file); err != nil || got != n {
			t.Errorf("unescape(%q) = %q, %v", file, got, err)
		}
	}
	for _, file := range []string{"", "%", "%2", "%2f", "%41", "%zz", "a/b", ".x", "a b", "%00", "%0A", "%FF", "..", "x%"} {
		if got, err := unescape(file); err == nil {
			t.Errorf("unescape(%q) = %q", file, got)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add("docker.io/a:b")
	f.Add("..%2F")
	f.Fuzz(func(t *testing.T, s string) {
		file := escape(s)
		if strings.ContainsAny(file, "/\x00") || file == "." || file == ".." {
			t.Fatalf("escape(%q) = %q", s, file)
		}
		if checkName(s) == nil {
			if got, err := unescape(file); err != nil || got != s {
				t.Fatalf("unescape(%q) = %q, %v", file, got, err)
			}
		}
		if name, err := unescape(s); err == nil && escape(name) != s {
			t.Fatalf("unescape(%q) = %q", s, name)
		}
	})
}

func TestResolve(t *testing.T) {
	s := newStore(t)
	var d []digest.Digest
	for i := range 6 {
		d = append(d, putImage(t, s, fmt.Sprint("image", i)))
	}
	for name, i := range map[string]int{
		"docker.io/library/alpine:latest": 0,
		"docker.io/library/alpine:3":      1,
		"localhost/mine:latest":           1,
		"docker.io/library/mine:latest":   0,
		"quay.io/x/tool:latest":           2,
		"ghcr.io/y/tool:latest":           2, // the same image, and yet the name says not which
		"quay.io/x/only:1":                3,
		"host:5000/z/port:latest":         4,
		"untagged":                        4,
		"a/../b:latest":                   5,
		"a%2Fb:latest":                    5,
	} {
		if err := s.SetRef(name, d[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.SetSource("/some/file.tar", d[5]), s.SetSource("oci:/dir:tag", d[4])); err != nil {
		t.Fatal(err)
	}
	hex := d[3].Encoded()
	tests := map[string]struct {
		name string
		want int // index, or one of the two below
	}{
		"full":                       {"docker.io/library/alpine:latest", 0},
		"full, tag defaults":         {"docker.io/library/alpine", 0},
		"hub":                        {"alpine", 0},
		"hub, tag":                   {"alpine:3", 1},
		"tag that is not there":      {"alpine:4", notFound},
		"localhost before hub":       {"mine", 1},
		"hub in part":                {"library/mine", 0},
		"exact without tag":          {"untagged", 4},
		"suffix":                     {"x/only:1", 3},
		"suffix needs the tag":       {"only", notFound},
		"suffix with tag":            {"only:1", 3},
		"suffix ends at a slash":     {"nly:1", notFound},
		"suffix, ambiguous":          {"tool", ambiguous},
		"suffix, made unambiguous":   {"y/tool", 2},
		"port is no tag":             {"host:5000/z/port", 4},
		"digest":                     {d[3].String(), 3},
		"id":                         {hex, 3},
		"id prefix":                  {hex[:12], 3},
		"shortest id prefix":         {hex[:6], 3},
		"too short an id prefix":     {hex[:5], notFound},
		"prefix with algorithm":      {"sha256:" + hex[:8], 3},
		"repository and digest":      {"whatever/x@" + d[3].String(), 3},
		"digest that is not there":   {digest.FromString("no").String(), notFound},
		"upper case is no id":        {strings.ToUpper(hex), notFound},
		"source":                     {"/some/file.tar", 5},
		"source with scheme":         {"oci:/dir:tag", 4},
		"source is taken whole":      {"file.tar", notFound},
		"empty":                      {"", notFound},
		"dots are only characters":   {"a/../b", 5},
		"escapes are characters too": {"a%2Fb", 5},
		"no path":                    {"../../version", notFound},
		"no path either":             {"../images/sha256/" + hex, notFound},
		"slash":                      {"/", notFound},
		"zero byte":                  {"alpine\x00", notFound},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := s.Resolve(tt.name)
			var nf *NotFoundError
			var am *AmbiguousError
			switch {
			case tt.want == notFound:
				if !errors.As(err, &nf) || !errors.Is(err, fs.ErrNotExist) || nf.Name != tt.name || nf.Remedy() == "" {
					t.Errorf("got %v, %v", got, err)
				}
			case tt.want == ambiguous:
				if !errors.As(err, &am) || am.Remedy() == "" {
					t.Fatalf("got %v, %v", got, err)
				}
				if diff := cmp.Diff([]string{"ghcr.io/y/tool:latest", "quay.io/x/tool:latest"}, am.Candidates); diff != "" {
					t.Error(diff)
				}
			case err != nil || got != d[tt.want]:
				t.Errorf("got %v, %v, want %v", got, err, d[tt.want])
			}
		})
	}
}

const notFound, ambiguous = -1, -2

func TestResolveAmbiguousID(t *testing.T) {
	s := newStore(t)
	for _, tail := range []string{"0", "1"} {
		dir := filepath.Join(s.Root(), imagesDir, "abcdef"+strings.Repeat("0", 57)+tail)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.Resolve("abcdef")
	var am *AmbiguousError
	if !errors.As(err, &am) || len(am.Candidates) != 2 {
		t.Errorf("got %v", err)
	}
}

func TestRefs(t *testing.T) {
	s := newStore(t)
	d := putImage(t, s, "x")
	for _, n := range []string{"b/c:1", "a", ".dot", "..", "../../escape:x"} {
		if err := s.SetRef(n, d); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"", "a b", "a\nb", "a\x00", "\xff", strings.Repeat("/", 100)} {
		if err := s.SetRef(n, d); !errors.Is(err, ErrBadName) {
			t.Errorf("SetRef(%q): %v", n, err)
		}
		if err := s.DeleteRef(n); !errors.Is(err, ErrBadName) {
			t.Errorf("DeleteRef(%q): %v", n, err)
		}
	}
	refs := filepath.Join(s.Root(), refsDir)
	makeTree(t, refs, "file %61 x", "file garbage x", "file empty", "dir directory", "link link /etc/passwd",
		"file short sha256:abc", "file .x x", "fifo pipe", "link up ../../../..")
	if err := os.WriteFile(filepath.Join(refs, "sha512"), []byte("sha512:"+strings.Repeat("0", 128)), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := s.Refs()
	if err != nil {
		t.Fatal(err)
	}
	want := []Ref{{"..", d}, {"../../escape:x", d}, {".dot", d}, {"a", d}, {"b/c:1", d}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	other := putImage(t, s, "y")
	if err := errors.Join(s.SetRef("garbage", other), s.SetRef("a", other), s.DeleteRef(".."), s.DeleteRef("..")); err != nil {
		t.Fatal(err)
	}
	got, _ = s.Refs()
	want = []Ref{{"../../escape:x", d}, {".dot", d}, {"a", other}, {"b/c:1", d}, {"garbage", other}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestImageOfAnotherUser: what may not be read is not called damaged.
func TestImageOfAnotherUser(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("needs an ordinary user: root may read all")
	}
	s := newStore(t)
	d := putImage(t, s, "x")
	if err := os.Chmod(s.path("layers"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(s.path("layers"), 0o700) })
	if _, err := s.Image(d); !errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

// TestPackageIsLight: the launcher binary links this package.
func TestPackageIsLight(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skip("no go command to ask:", err)
	}
	for _, pkg := range strings.Fields(string(out)) {
		if first, _, _ := strings.Cut(pkg, "/"); !strings.Contains(first, ".") {
			continue
		}
		switch {
		case strings.HasSuffix(pkg, "flake-launcher/rootfs"):
		case strings.HasPrefix(pkg, "github.com/opencontainers/go-digest"), strings.HasPrefix(pkg, "github.com/opencontainers/image-spec/"):
		case pkg == "golang.org/x/sys/unix":
		default:
			t.Errorf("imports %s", pkg)
		}
	}
}
