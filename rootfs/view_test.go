package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestViewLookup asks each of Lstat, Stat and Origin one question of a stack.
func TestViewLookup(t *testing.T) {
	const gone = -1
	loop := []string{"link loop/a b", "link loop/b a", "link self self"}
	long := []string{"file end x", "link l0 end"}
	for i := range 40 {
		long = append(long, fmt.Sprintf("link l%d l%d", i+1, i))
	}
	tests := map[string]struct {
		layers  [][]string // bottom first
		path    string
		lstat   fs.FileMode // type bits; ignored where origin is gone
		statErr error
		origin  int
		err     error // of Lstat
	}{
		"root":                              {[][]string{{}, {}}, "/", fs.ModeDir, nil, 1, nil},
		"empty path is the root":            {[][]string{{}}, "", fs.ModeDir, nil, 0, nil},
		"file of the bottom":                {[][]string{{"file a/b x"}, {"file a/c y"}}, "a/b", 0, nil, 0, nil},
		"leading slash makes no difference": {[][]string{{"file a/b x"}}, "///a//b", 0, nil, 0, nil},
		"topmost wins":                      {[][]string{{"file a x"}, {"file a y"}, {}}, "a", 0, nil, 1, nil},
		"whiteout hides":                    {[][]string{{"file a x"}, {"gone a"}}, "a", 0, nil, gone, fs.ErrNotExist},
		"xattr whiteout hides":              {[][]string{{"file a x"}, {"xgone a"}}, "a", 0, nil, gone, fs.ErrNotExist},
		"empty file is no whiteout":         {[][]string{{"file a x"}, {"file a"}}, "a", 0, nil, 1, nil},
		"whiteout in the bottom layer":      {[][]string{{"gone a"}}, "a", 0, nil, gone, fs.ErrNotExist},
		"whiteout hides a whole directory":  {[][]string{{"file a/b x"}, {"gone a"}}, "a/b", 0, nil, gone, fs.ErrNotExist},
		"back after a whiteout":             {[][]string{{"file a/b x"}, {"gone a"}, {"dir a"}}, "a", fs.ModeDir, nil, 2, nil},
		"a whiteout ends merging":           {[][]string{{"file a/b x"}, {"gone a"}, {"dir a"}}, "a/b", 0, nil, gone, fs.ErrNotExist},
		"opaque hides":                      {[][]string{{"file a/b x"}, {"opaque a"}}, "a/b", 0, nil, gone, fs.ErrNotExist},
		"opaque keeps its own":              {[][]string{{"file a/b x"}, {"opaque a", "file a/c x"}}, "a/c", 0, nil, 1, nil},
		"opaque below does not hide above":  {[][]string{{"opaque a"}, {"file a/b x"}}, "a/b", 0, nil, 1, nil},
		"opaque x does not hide":            {[][]string{{"file a/b x"}, {"dir a", "xattr a user.overlay.opaque=x"}}, "a/b", 0, nil, 0, nil},
		"opaque of more than y is none":     {[][]string{{"file a/b x"}, {"dir a", "xattr a user.overlay.opaque=yes"}}, "a/b", 0, nil, 0, nil},
		"opaque parent hides grandchildren": {[][]string{{"file a/b/c x"}, {"opaque a", "dir a/b"}}, "a/b/c", 0, nil, gone, fs.ErrNotExist},
		"file over directory":               {[][]string{{"file a/b x"}, {"file a y"}}, "a", 0, nil, 1, nil},
		"below a file over a directory":     {[][]string{{"file a/b x"}, {"file a y"}}, "a/b", 0, nil, gone, unix.ENOTDIR},
		"a file between ends merging":       {[][]string{{"file a/b x"}, {"file a y"}, {"dir a"}}, "a/b", 0, nil, gone, fs.ErrNotExist},
		"directory over file":               {[][]string{{"file a x"}, {"dir a"}}, "a", fs.ModeDir, nil, 1, nil},
		"link over directory":               {[][]string{{"file a/b x", "dir c"}, {"link a c"}}, "a/b", 0, nil, gone, fs.ErrNotExist},
		"directory over link merges naught": {[][]string{{"file c/b x", "link a c"}, {"dir a"}}, "a/b", 0, nil, gone, fs.ErrNotExist},
		"parent link to another layer":      {[][]string{{"link lib usr/lib"}, {"file usr/lib/x y"}}, "lib/x", 0, nil, 1, nil},
		"absolute link stays inside":        {[][]string{{"link e /etc", "file etc/passwd inside"}}, "e/passwd", 0, nil, 0, nil},
		"absolute link to the outside":      {[][]string{{"link e /etc/passwd"}}, "e", fs.ModeSymlink, fs.ErrNotExist, 0, nil},
		"dots are clamped":                  {[][]string{{"file a x"}}, "../../../../a", 0, nil, 0, nil},
		"dots in a link are clamped":        {[][]string{{"link d/l ../../../../..", "file a x"}}, "d/l/a", 0, nil, 0, nil},
		"dots follow the link":              {[][]string{{"dir x/y", "link l x/y", "file x/f z"}}, "l/../f", 0, nil, 0, nil},
		"dots after what is missing":        {[][]string{{"file a x"}}, "no/../a", 0, nil, gone, fs.ErrNotExist},
		"dots after a file":                 {[][]string{{"file a x"}}, "a/../a", 0, nil, gone, unix.ENOTDIR},
		"link loop as parent":               {[][]string{loop}, "loop/a/x", 0, nil, gone, unix.ELOOP},
		"link loop itself":                  {[][]string{loop}, "self", fs.ModeSymlink, unix.ELOOP, 0, nil},
		"forty links":                       {[][]string{long}, "l39", fs.ModeSymlink, nil, 0, nil},
		"forty-one links":                   {[][]string{long}, "l40", fs.ModeSymlink, unix.ELOOP, 0, nil},
		"dangling link":                     {[][]string{{"link a nowhere"}}, "a", fs.ModeSymlink, fs.ErrNotExist, 0, nil},
		"link made dangling by a whiteout":  {[][]string{{"link a b", "file b x"}, {"gone b"}}, "a", fs.ModeSymlink, fs.ErrNotExist, 0, nil},
		"trailing slash is ignored":         {[][]string{{"link lib usr", "dir usr"}}, "lib/", fs.ModeSymlink, nil, 0, nil},
		"trailing dot follows":              {[][]string{{"link lib usr", "dir usr"}}, "lib/.", fs.ModeDir, nil, 0, nil},
		"name too long":                     {[][]string{{}}, strings.Repeat("x", 256), 0, nil, gone, unix.ENAMETOOLONG},
		"zero byte":                         {[][]string{{"file a x"}}, "a\x00b", 0, nil, gone, unix.EINVAL},
		"no layers":                         {nil, "/", 0, nil, gone, fs.ErrNotExist},
		"no layers, name":                   {nil, "a/b", 0, nil, gone, fs.ErrNotExist},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v := view(t, tt.layers...)
			for range 2 { // the second time from memory
				fi, err := v.Lstat(tt.path)
				if !errors.Is(err, tt.err) {
					t.Fatalf("Lstat: error %v, want %v", err, tt.err)
				}
				if tt.origin == gone {
					continue
				}
				if fi.Mode().Type() != tt.lstat {
					t.Errorf("Lstat: %v, want type %v", fi.Mode(), tt.lstat)
				}
				if _, err := v.Stat(tt.path); !errors.Is(err, tt.statErr) {
					t.Errorf("Stat: error %v, want %v", err, tt.statErr)
				}
				if got, err := v.Origin(tt.path); err != nil || got != tt.origin {
					t.Errorf("Origin: %d, %v, want %d", got, err, tt.origin)
				}
			}
		})
	}
}

func TestViewResolve(t *testing.T) {
	v := view(t,
		[]string{
			"link lib usr/lib", "link usr/lib /usr/lib64", "file usr/lib64/x y", "link usr/lib64/ld x",
			"link dangling /no/where", "file plain x", "link a b", "link b a", "link up ../../..",
		},
		[]string{"dir usr/share/doc"})
	tests := map[string]struct {
		want string
		err  error
	}{
		"":                         {"/", nil},
		"/":                        {"/", nil},
		"..":                       {"/", nil},
		"lib":                      {"/lib", nil},
		"lib/":                     {"/lib", nil},
		"lib/.":                    {"/usr/lib64", nil},
		"lib/x":                    {"/usr/lib64/x", nil},
		"/lib/ld":                  {"/usr/lib64/ld", nil},
		"lib/new/deep":             {"/usr/lib64/new/deep", nil},
		"lib/../share/new":         {"/usr/share/new", nil},
		"new/../lib/x":             {"/usr/lib64/x", nil},
		"new/deep/../../../lib/x":  {"/usr/lib64/x", nil},
		"new/./deep":               {"/new/deep", nil},
		"dangling/x":               {"/no/where/x", nil},
		"up/lib/x":                 {"/usr/lib64/x", nil},
		"../../../../../etc/passw": {"/etc/passw", nil},
		"plain/x":                  {"", unix.ENOTDIR},
		"plain/../x":               {"", unix.ENOTDIR},
		"a/x":                      {"", unix.ELOOP},
		"a":                        {"/a", nil},
	}
	for path, tt := range tests {
		t.Run(path, func(t *testing.T) {
			got, err := v.Resolve(path)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("Resolve(%q) = %q, %v, want %q, %v", path, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestViewReadDirMerges(t *testing.T) {
	v := view(t,
		[]string{"file d/bottom x", "file d/both x", "file d/hidden x", "file d/xhidden x", "dir d/sub", "file d/was/dir x", "file d/empty x", "gone d/never"},
		[]string{"file d/middle x", "gone d/hidden", "xgone d/xhidden", "file d/was x", "file d/empty"},
		[]string{"link d/top y", "dir d/both", "link l d", "file f x"})
	want := []string{"both d", "bottom -", "empty -", "middle -", "sub d", "top L", "was -"}
	for _, path := range []string{"d", "/d/", "l", "l/.", "x/../d"} {
		entries, err := v.ReadDir(path)
		if path == "x/../d" {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("ReadDir(%q): %v", path, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Name()+" "+strings.ToLower(e.Type().String())[:1])
		}
		for i := range want {
			want[i] = strings.ToLower(want[i])
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ReadDir(%q) (-want +got):\n%s", path, diff)
		}
	}
	for path, want := range map[string]error{"f": unix.ENOTDIR, "no": fs.ErrNotExist, "f/x": unix.ENOTDIR} {
		if _, err := v.ReadDir(path); !errors.Is(err, want) {
			t.Errorf("ReadDir(%q): %v, want %v", path, err, want)
		}
	}
}

func TestViewReadFile(t *testing.T) {
	v := view(t, []string{"file etc/passwd inside", "link p /etc/passwd", "fifo pipe", "dir d", "file empty"})
	for path, want := range map[string]string{"etc/passwd": "inside", "p": "inside", "empty": ""} {
		if got, err := v.ReadFile(path, 6); err != nil || string(got) != want {
			t.Errorf("ReadFile(%q) = %q, %v", path, got, err)
		}
	}
	if _, err := v.ReadFile("p", 5); !errors.Is(err, ErrTooLarge) {
		t.Errorf("above the limit: %v", err)
	}
	for _, path := range []string{"pipe", "d", "/", "no"} {
		_, err := v.ReadFile(path, 100)
		var pe *fs.PathError
		if !errors.As(err, &pe) || pe.Path != path {
			t.Errorf("ReadFile(%q): %v", path, err)
		}
	}
}

func TestViewOpen(t *testing.T) {
	v := view(t,
		[]string{"file etc/passwd lower", "link p /../../etc/passwd", "fifo pipe", "dir d", "file gone x"},
		[]string{"file etc/passwd inside", "gone gone"})
	for _, path := range []string{"etc/passwd", "p"} {
		f, err := v.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		part := make([]byte, 4)
		if n, err := f.ReadAt(part, 2); n != 4 || err != nil || string(part) != "side" {
			t.Errorf("%s: read %q, %v", path, part, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{"pipe", "d", "/", "no", "gone"} {
		f, err := v.Open(path)
		if pe := (*fs.PathError)(nil); f != nil || !errors.As(err, &pe) || pe.Path != path {
			t.Errorf("Open(%q): %v, %v", path, f, err)
		}
	}
}

func TestViewReadlink(t *testing.T) {
	long := strings.Repeat("0123456789/", 90)
	v := view(t, []string{"link l " + long, "link lib usr", "link usr/x ../y", "file f x"})
	for path, want := range map[string]string{"l": long, "lib/x": "../y"} {
		if got, err := v.Readlink(path); err != nil || got != want {
			t.Errorf("Readlink(%q) = %q, %v", path, got, err)
		}
	}
	for path, want := range map[string]error{"f": unix.EINVAL, "/": unix.EINVAL, "no": fs.ErrNotExist} {
		if _, err := v.Readlink(path); !errors.Is(err, want) {
			t.Errorf("Readlink(%q): %v, want %v", path, err, want)
		}
	}
}

func TestViewInfo(t *testing.T) {
	v := view(t, []string{"dir tmp 1777", "file f hello"})
	fi, err := v.Lstat("tmp")
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode() != fs.ModeDir|fs.ModeSticky|0o777 || fi.Name() != "tmp" || !fi.IsDir() {
		t.Errorf("tmp: %v %q", fi.Mode(), fi.Name())
	}
	if fi, err = v.Lstat("/f"); err != nil || fi.Size() != 5 || fi.ModTime().IsZero() {
		t.Fatalf("f: %v, %v", fi, err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Geteuid() || st.Size != 5 || st.Mode != unix.S_IFREG|0o644 {
		t.Errorf("Sys: %+v", fi.Sys())
	}
}

// TestViewTrustedXattrsMeanNothing: an image could bring them along.
func TestViewTrustedXattrsMeanNothing(t *testing.T) {
	needsRoot(t, "sets trusted xattrs")
	v := view(t,
		[]string{"file a/b x", "file f x"},
		[]string{"dir a", "xattr a trusted.overlay.opaque=y", "file f", "xattr f trusted.overlay.whiteout=y"})
	for _, p := range []string{"a/b", "f"} {
		if _, err := v.Lstat(p); err != nil {
			t.Error(err)
		}
	}
}

func TestViewManyDirectoriesStayBounded(t *testing.T) {
	var lines []string
	for i := range 700 {
		lines = append(lines, fmt.Sprintf("file d%d/s/f x", i))
	}
	v := view(t, lines)
	before := openFDs(t)
	for range 2 {
		for i := range 700 {
			if _, err := v.Lstat(fmt.Sprintf("d%d/s/f", i)); err != nil {
				t.Fatal(err)
			}
			if n := openFDs(t) - before; i%50 == 0 && n > maxOpen+10 {
				t.Fatalf("%d descriptors open", n)
			}
		}
	}
	v.Close()
	v.Close()
	if n := openFDs(t); n != before-1 {
		t.Errorf("%d descriptors open after Close, %d before", n, before)
	}
	if _, err := v.Lstat("d0"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if _, err := v.Resolve("d0"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestViewConcurrentUse(t *testing.T) {
	v := view(t, []string{"link lib usr/lib", "file usr/lib/a x"}, []string{"file usr/lib/b x"})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 100 {
				if _, err := v.Lstat([]string{"lib/a", "lib/b", "usr/lib/a"}[i%3]); err != nil {
					t.Error(err)
				}
				if _, err := v.ReadDir("lib"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestNewViewRefuses(t *testing.T) {
	dir := makeTree(t, t.TempDir(), "dir layer", "link link layer", "file file x")
	for name, want := range map[string]error{"absent": fs.ErrNotExist, "link": unix.ENOTDIR, "file": unix.ENOTDIR} {
		before := openFDs(t)
		_, err := NewView([]string{filepath.Join(dir, "layer"), filepath.Join(dir, name)})
		if !errors.Is(err, want) && !(name == "link" && errors.Is(err, unix.ELOOP)) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if n := openFDs(t); n != before {
			t.Errorf("%s: %d descriptors leaked", name, n-before)
		}
	}
}

func TestTrimOpaque(t *testing.T) {
	base := t.TempDir()
	dirs := []string{
		makeTree(t, filepath.Join(base, "0"), "file a x"),
		makeTree(t, filepath.Join(base, "1"), "opaque ."),
		makeTree(t, filepath.Join(base, "2"), "opaque sub"),
	}
	got, err := TrimOpaque(dirs)
	if err != nil || !cmp.Equal(got, dirs[1:]) {
		t.Errorf("TrimOpaque = %v, %v", got, err)
	}
	if got, err = TrimOpaque(dirs[2:]); err != nil || !cmp.Equal(got, dirs[2:]) {
		t.Errorf("TrimOpaque = %v, %v", got, err)
	}
	if _, err = TrimOpaque([]string{filepath.Join(base, "no")}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func BenchmarkViewLstat(b *testing.B) {
	layers := make([][]string, 6)
	var paths []string
	for d := range 100 {
		for f := range 10 {
			p := fmt.Sprintf("usr/share/doc/pkg%d/file%d", d, f)
			layers[d%6] = append(layers[d%6], "file "+p+" x")
			paths = append(paths, p)
		}
	}
	v := view(b, layers...)
	b.ResetTimer()
	for i := range b.N {
		if _, err := v.Lstat(paths[i%len(paths)]); err != nil {
			b.Fatal(err)
		}
	}
}
