package overlay

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestSeeds(t *testing.T) {
	for _, w := range []Writable{Tmpfs, Disk, None} {
		t.Run(w.String(), func(t *testing.T) {
			requireWritable(t, w)
			b := newBench(t)
			base := b.layer("base", "var/lib/f base")
			must(t, os.Chmod(base, 0o751))
			must(t, os.Chown(base, 11, 12))
			spec := Spec{Lower: []string{base}, Writable: w, Seed: []Node{
				{Path: "/tmp", Mode: 0o1777},
				{Path: "var", Mode: 0o755},
				{Path: "/var/tmp", Mode: 0o2770, UID: 1234, GID: 77},
			}}
			if w == Disk {
				spec.Scratch = b.layer("scratch")
			}
			m := b.mount(spec)
			var st unix.Stat_t
			for path, want := range map[string]string{"tmp": "1777 0:0", "var/tmp": "2770 1234:77", ".": "0751 11:12"} {
				must(t, unix.Fstatat(int(m.Root().Fd()), path, &st, 0))
				if got := fmt.Sprintf("%04o %d:%d", st.Mode&0o7777, st.Uid, st.Gid); got != want {
					t.Errorf("%s: %s, want %s", path, got, want)
				}
			}
			if diff := cmp.Diff([]string{"tmp/", "var/", "var/lib/", "var/lib/f base", "var/tmp/"}, tree(t, b.target)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSeedThatHides(t *testing.T) {
	for _, w := range []Writable{Tmpfs, Disk, None} {
		t.Run(w.String(), func(t *testing.T) {
			requireWritable(t, w)
			b := newBench(t)
			spec := Spec{Lower: []string{b.layer("top", "home/me/x top", "f x"), b.layer("base", "home/me/sub/y base", "home/you/z base")}, Writable: w,
				Seed: []Node{{Path: "home", Mode: 0o755}, {Path: "home/me", Mode: 0o755, Opaque: true}, {Path: "home/me/sub", Mode: 0o755}}}
			if w == Disk {
				spec.Scratch = b.layer("scratch")
			}
			b.mount(spec)
			if diff := cmp.Diff([]string{"f x", "home/", "home/me/", "home/me/sub/", "home/you/", "home/you/z base"}, tree(t, b.target)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// As where a tmpfs has no user attributes.
func TestWhiteoutThatHides(t *testing.T) {
	b := newBench(t)
	lower := []string{b.layer("top", "home/me/x top", "f x"), b.layer("base", "home/me/sub/y base", "home/you/z base")}
	layers, err := OpenLayers(lower)
	must(t, err)
	defer closeAll(layers)
	point, err := openDir(b.target, unix.O_PATH)
	must(t, err)
	defer point.Close()
	spec := Spec{Lower: lower, Writable: None, Seed: []Node{{Path: "home", Mode: 0o755}, {Path: "home/me", Mode: 0o750}, {Path: "home/me/sub", Mode: 0o755}}}
	s, err := prepare(spec, point, layers[0])
	must(t, err)
	defer s.close()
	must(t, s.hide([]string{"home", "me"}))
	root, err := mountOverlay(spec, layers, s, point)
	must(t, err)
	defer root.Close()
	if diff := cmp.Diff([]string{"f x", "home/", "home/me/", "home/me/sub/", "home/you/", "home/you/z base"}, tree(t, b.target)); diff != "" {
		t.Error(diff)
	}
	if st, err := os.Stat(filepath.Join(b.target, "home/me")); err != nil || st.Mode().Perm() != 0o750 {
		t.Errorf("%v, %v", st, err)
	}
}

func TestSeedsThatLeadElsewhere(t *testing.T) {
	b := newBench(t)
	base := b.layer("base", "f base")
	outside := b.layer("outside")
	scratch := b.layer("scratch", "upper/")
	must(t, os.Symlink(outside, filepath.Join(scratch, "upper/link")))
	for name, path := range map[string]string{
		"upwards": "../outside/x", "through a symlink": "link/x", "the symlink itself": "link",
		"without a parent": "none/x", "nothing": "",
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Mount(Spec{Lower: []string{base}, Writable: Disk, Scratch: scratch, Seed: []Node{{Path: path, Mode: 0o755}}}, b.target)
			if err == nil {
				m.Close()
				b.unmount()
				t.Error("was made")
			}
			if found := tree(t, outside); len(found) > 0 {
				t.Errorf("outside: %q", found)
			}
		})
	}
}
