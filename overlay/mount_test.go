package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// bench is a place for layers and a mount point. At the end of the test nothing may be mounted or open that was not
// before.
type bench struct {
	t      *testing.T
	dir    string
	target string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	requireRoot(t)
	b := &bench{t: t, dir: t.TempDir()}
	b.target = filepath.Join(b.dir, "target")
	if err := os.Mkdir(b.target, 0o755); err != nil {
		t.Fatal(err)
	}
	mounts, fds := mountCount(t), fdCount(t)
	t.Cleanup(func() {
		b.unmount()
		if n := mountCount(t); n != mounts {
			t.Errorf("%d mounts before, %d after", mounts, n)
		}
		if n := fdCount(t); n != fds {
			t.Errorf("%d open files before, %d after", fds, n)
		}
	})
	return b
}

func (b *bench) unmount() { unmountAll(b.target) }

func unmountAll(dir string) {
	// The fallback leaves its tmpfs below the overlay.
	for unix.Unmount(dir, unix.MNT_DETACH) == nil {
		continue
	}
}

// requireWritable skips what this kernel can't do.
func requireWritable(t *testing.T, w Writable) {
	t.Helper()
	var u unix.Utsname
	must(t, unix.Uname(&u))
	if w == Tmpfs && !atLeast(unix.ByteSliceToString(u.Release[:]), 6, 6) {
		t.Skip("needs user attributes on tmpfs: Linux 6.6")
	}
}

// layer makes a layer from lines: "name content", "name/" for a directory, "-name" for a whiteout, "=name/" for an
// opaque directory.
func (b *bench) layer(name string, entries ...string) string {
	b.t.Helper()
	dir := filepath.Join(b.dir, name)
	must(b.t, os.MkdirAll(dir, 0o755))
	for _, e := range entries {
		path, content, _ := strings.Cut(e, " ")
		switch {
		case strings.HasPrefix(path, "-"):
			must(b.t, unix.Mknod(filepath.Join(dir, path[1:]), unix.S_IFCHR, 0))
		case strings.HasPrefix(path, "="):
			must(b.t, os.MkdirAll(filepath.Join(dir, path[1:]), 0o755))
			must(b.t, unix.Setxattr(filepath.Join(dir, path[1:]), "user.overlay.opaque", []byte("y"), 0))
		case strings.HasSuffix(path, "/"):
			must(b.t, os.MkdirAll(filepath.Join(dir, path), 0o755))
		default:
			must(b.t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
			must(b.t, os.WriteFile(filepath.Join(dir, path), []byte(content), 0o644))
		}
	}
	return dir
}

func (b *bench) mount(spec Spec) *Mounted {
	b.t.Helper()
	m, err := Mount(spec, b.target)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { m.Close() })
	return m
}

// tree lists what is seen: "name content", "name/".
func tree(t *testing.T, root string) (out []string) {
	t.Helper()
	must(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		name, _ := filepath.Rel(root, path)
		if d.IsDir() {
			out = append(out, name+"/")
			return nil
		}
		data, err := os.ReadFile(path)
		out = append(out, name+" "+string(data))
		return err
	}))
	sort.Strings(out)
	return out
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mountCount(t *testing.T) int {
	t.Helper()
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	must(t, err)
	return bytes.Count(data, []byte("\n"))
}

func fdCount(t *testing.T) int {
	t.Helper()
	found, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(found)
}

func TestLayersAreMerged(t *testing.T) {
	b := newBench(t)
	base := b.layer("base", "etc/a base", "etc/b base", "opt/x/y base", "only/base base")
	mid := b.layer("mid", "etc/a mid", "-etc/b", "=opt/x/", "opt/x/z mid")
	top := b.layer("top", "etc/c top")
	b.mount(Spec{Lower: []string{top, mid, base}, Writable: None})
	want := []string{"etc/", "etc/a mid", "etc/c top", "only/", "only/base base", "opt/", "opt/x/", "opt/x/z mid"}
	if diff := cmp.Diff(want, tree(t, b.target)); diff != "" {
		t.Error(diff)
	}
}

func TestWritableParts(t *testing.T) {
	for _, w := range []Writable{Tmpfs, Disk, None} {
		t.Run(w.String(), func(t *testing.T) {
			requireWritable(t, w)
			b := newBench(t)
			base := b.layer("base", "etc/file base", "dir/inner/f base")
			spec := Spec{Lower: []string{base}, Writable: w, TmpfsSize: 1 << 20}
			if w == Disk {
				spec.Scratch = b.layer("scratch")
			}
			b.mount(spec)
			err := os.WriteFile(filepath.Join(b.target, "etc/file"), []byte("new"), 0o644)
			if w == None {
				if !errors.Is(err, unix.EROFS) {
					t.Errorf("write to a read-only root: %v", err)
				}
				return
			}
			must(t, err)
			// A directory of a layer is hidden by an attribute: EIO here is what a tmpfs without user.* gives.
			must(t, os.RemoveAll(filepath.Join(b.target, "dir")))
			must(t, os.Mkdir(filepath.Join(b.target, "dir"), 0o755))
			if diff := cmp.Diff([]string{"dir/", "etc/", "etc/file new"}, tree(t, b.target)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff([]string{"dir/", "dir/inner/", "dir/inner/f base", "etc/", "etc/file base"}, tree(t, base)); diff != "" {
				t.Errorf("the layer changed: %s", diff)
			}
			if w == Tmpfs {
				if err := os.WriteFile(filepath.Join(b.target, "big"), make([]byte, 2<<20), 0o644); !errors.Is(err, unix.ENOSPC) {
					t.Errorf("writing beyond the size: %v", err)
				}
			}
		})
	}
}

func TestDiskIsKeptAndNotShared(t *testing.T) {
	b := newBench(t)
	base := b.layer("base", "f base")
	spec := Spec{Lower: []string{base}, Writable: Disk, Scratch: b.layer("scratch"),
		Seed: []Node{{Path: "run", Mode: 0o755}}}
	m := b.mount(spec)
	must(t, os.WriteFile(filepath.Join(b.target, "f"), []byte("kept"), 0o644))
	must(t, os.Chmod(filepath.Join(b.target, "run"), 0o700))
	if _, err := Mount(spec, b.target); !errors.Is(err, ErrScratchBusy) {
		t.Errorf("a second mount: %v", err)
	}
	b.unmount()
	m.Close()
	b.mount(spec)
	if diff := cmp.Diff([]string{"f kept", "run/"}, tree(t, b.target)); diff != "" {
		t.Error(diff)
	}
	if st, err := os.Stat(filepath.Join(b.target, "run")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("a seed that was there already: %v, %v", st.Mode(), err)
	}
}

func TestPathsWithOddCharacters(t *testing.T) {
	for _, name := range []string{
		`co:lon`, `com,ma`, `back\slash`, `quo"te`, `:",\`, "new\nline", "sp ace", "\xff\xfe", "ünïcode", `\:`, `a=b,upperdir=c`,
		strings.Repeat("long", 60),
	} {
		for _, w := range []Writable{Tmpfs, Disk, None} {
			t.Run(fmt.Sprintf("%.20q %v", name, w), func(t *testing.T) {
				requireWritable(t, w)
				b := newBench(t)
				odd := filepath.Join(name, name)
				spec := Spec{Lower: []string{b.layer(filepath.Join(odd, "top"), "a top"), b.layer(filepath.Join(odd, "base"), "b base")},
					Writable: w}
				if w == Disk {
					spec.Scratch = b.layer(filepath.Join(odd, "scratch"))
				}
				b.mount(spec)
				if diff := cmp.Diff([]string{"a top", "b base"}, tree(t, b.target)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestManyLayers(t *testing.T) {
	for _, n := range []int{1, 2, 60, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			b := newBench(t)
			var lower, want []string
			for i := range n {
				lower = append(lower, b.layer(fmt.Sprintf("layer%03d", i), fmt.Sprintf("own%03d x", i), fmt.Sprintf("shared %d", i)))
				want = append(want, fmt.Sprintf("own%03d x", i))
			}
			b.mount(Spec{Lower: lower, Writable: None})
			want = append(want, "shared 0")
			if diff := cmp.Diff(want, tree(t, b.target)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLayersThatCanNotBeUsed(t *testing.T) {
	b := newBench(t)
	base := b.layer("base", "sub/f base")
	file := filepath.Join(b.layer("files", "file x"), "file")
	other := b.layer("other", "x x")
	locked := b.layer("locked", "x x")
	held, err := os.Open(locked)
	must(t, err)
	defer held.Close()
	must(t, unix.Flock(int(held.Fd()), unix.LOCK_EX))
	var overlap *OverlapError
	for name, tc := range map[string]struct {
		lower []string
		is    error
		as    any
	}{
		"missing":             {[]string{base, filepath.Join(b.dir, "none")}, ErrLayerGone, nil},
		"a file":              {[]string{file}, unix.ENOTDIR, nil},
		"named twice":         {[]string{base, base}, nil, &overlap},
		"one inside another":  {[]string{filepath.Join(base, "sub"), other, base}, nil, &overlap},
		"another inside one":  {[]string{base, other, filepath.Join(base, "sub")}, nil, &overlap},
		"an overlay's target": {[]string{b.target, filepath.Join(b.target, "..")}, nil, &overlap},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Mount(Spec{Lower: tc.lower, Writable: None}, b.target)
			if err == nil {
				m.Close()
				t.Fatal("was mounted")
			}
			if tc.is != nil && !errors.Is(err, tc.is) || tc.as != nil && !errors.As(err, tc.as) {
				t.Errorf("%v", err)
			}
			var hint interface{ Remedy() string }
			if !errors.As(err, &hint) || hint.Remedy() == "" || strings.Contains(hint.Remedy(), "\n") {
				t.Errorf("no remedy in %#v", err)
			}
		})
	}
}

func TestLayersStayLockedUntilClose(t *testing.T) {
	b := newBench(t)
	base := b.layer("base", "f base")
	m := b.mount(Spec{Lower: []string{base}, Writable: None})
	collector, err := os.Open(base)
	must(t, err)
	defer collector.Close()
	if err := unix.Flock(int(collector.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("exclusive lock on a mounted layer: %v", err)
	}
	// Others may use it at the same time.
	second := filepath.Join(b.dir, "second")
	must(t, os.Mkdir(second, 0o755))
	m2, err := Mount(Spec{Lower: []string{base}, Writable: None}, second)
	must(t, err)
	unmountAll(second)
	must(t, m2.Close())
	must(t, m.Close())
	must(t, m.Close())
	if err := unix.Flock(int(collector.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("exclusive lock after Close: %v", err)
	}
}

func TestDevicesOfAnImageDoNotWork(t *testing.T) {
	b := newBench(t)
	base := b.layer("base", "d/")
	must(t, unix.Mknod(filepath.Join(base, "d/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	b.mount(Spec{Lower: []string{base}, Writable: None})
	if _, err := os.ReadFile(filepath.Join(b.target, "d/null")); !errors.Is(err, unix.EACCES) {
		t.Errorf("opening a device node of a layer: %v", err)
	}
}

func TestNestedTooDeep(t *testing.T) {
	b := newBench(t)
	base := b.layer("base", "x/f base")
	b.mount(Spec{Lower: []string{base}, Writable: None})
	second, third := b.layer("second"), b.layer("third")
	m2, err := Mount(Spec{Lower: []string{filepath.Join(b.target, "x")}, Writable: None}, second)
	must(t, err)
	defer m2.Close()
	defer unmountAll(second)
	_, err = Mount(Spec{Lower: []string{second}, Writable: None}, third)
	var me *MountError
	if !errors.As(err, &me) {
		t.Errorf("three overlays on top of each other: %v", err)
	}
}

func TestFallback(t *testing.T) {
	for _, w := range []Writable{Tmpfs, Disk, None} {
		t.Run(w.String(), func(t *testing.T) {
			requireWritable(t, w)
			b := newBench(t)
			lower := []string{b.layer(`t:,\"op`, "a top"), b.layer("ba:se", "b base")}
			spec := Spec{Lower: lower, Writable: w}
			if w == Disk {
				spec.Scratch = b.layer("scra,tch")
			}
			layers, err := OpenLayers(lower)
			must(t, err)
			defer closeAll(layers)
			point, err := openDir(b.target, unix.O_PATH)
			must(t, err)
			defer point.Close()
			s, err := prepare(spec, point, layers[0])
			must(t, err)
			defer s.close()
			root, err := classicOverlay(s.options(layers), s, point)
			must(t, err)
			defer root.Close()
			if diff := cmp.Diff([]string{"a top", "b base"}, tree(t, b.target)); diff != "" {
				t.Error(diff)
			}
			var st unix.Stat_t
			if err := unix.Fstatat(int(root.Fd()), "a", &st, 0); err != nil {
				t.Errorf("the handle is not on the overlay: %v", err)
			}
		})
	}
	t.Run("too many layers for a page", func(t *testing.T) {
		o := options{lower: make([]string, 400)}
		for i := range o.lower {
			o.lower[i] = "/proc/self/fd/100"
		}
		_, err := classicOverlay(o, &scratch{}, nil)
		var fe *FeatureError
		if !errors.As(err, &fe) || fe.Minimum != "6.7" {
			t.Errorf("%v", err)
		}
	})
}

func TestFailureOfTheMountItselfLeavesNothing(t *testing.T) {
	b := newBench(t)
	base := b.layer("base", "sub/f base")
	for range 3 {
		if _, err := Mount(Spec{Lower: []string{base, filepath.Join(base, "sub")}, Writable: None}, b.target); err == nil {
			t.Fatal("was mounted")
		}
	}
	if found := tree(t, b.target); len(found) > 0 {
		t.Errorf("on the target: %q", found)
	}
	// newBench counts mounts and files.
}
