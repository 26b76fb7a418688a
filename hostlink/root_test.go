package hostlink

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const inNamespace = "HOSTLINK_TEST_NAMESPACE"

func requireRoot(t testing.TB, why string) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("FLAKE_TEST_ROOT") == "1" {
		t.Fatalf("needs root: %s", why)
	}
	t.Skipf("needs root: %s", why)
}

// inPrivateMounts runs the calling test again in a child with a private mount
// namespace, and reports whether this is that child. The parent checks that the
// child left its own mounts alone.
func inPrivateMounts(t *testing.T) bool {
	t.Helper()
	requireRoot(t, "mounts")
	if os.Getenv(inNamespace) == "1" {
		return true
	}
	before := countMounts(t)
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS} // os/exec makes it private
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a mount namespace: %v\n%s", err, out)
	}
	if after := countMounts(t); after != before {
		t.Errorf("%d mounts before, %d after", before, after)
	}
	return false
}

func countMounts(t testing.TB) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

func countFDs(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// binders are the ways of Apply that this kernel can go.
func binders(root *os.File) map[string]*binder {
	ways := map[string]*binder{
		"mount API": newBinder(root), "classic mount": newBinder(root), "without openat2": newBinder(root),
	}
	ways["classic mount"].classic = true
	ways["without openat2"].classic, ways["without openat2"].noResolv = true, true
	return ways
}

func openPathFile(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, unix.O_PATH, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestApplyRefuses(t *testing.T) {
	if !inPrivateMounts(t) {
		return
	}
	host := grow(t, "f x", "d dir", "l link x", "l up dir", "f dir/y", "s sock", "p fifo")
	image := grow(t, "f x", "d d", "l out /etc", "l d/rel ../x", "l in d", "f d/z")
	cases := map[string]struct {
		link Link
		gone bool
	}{
		"target through an absolute symlink": {Link{host + "/x", "out/hostname", KindFile}, false},
		"target through a symlink inside":    {Link{host + "/x", "in/z", KindFile}, false},
		"target is a symlink":                {Link{host + "/x", "d/rel", KindFile}, false},
		"target above the root":              {Link{host + "/x", "../x", KindFile}, false},
		"target missing":                     {Link{host + "/x", "none", KindFile}, false},
		"target below a file":                {Link{host + "/x", "x/y", KindFile}, false},
		"target is a directory":              {Link{host + "/x", "d", KindFile}, false},
		"directory on a file":                {Link{host + "/dir", "x", KindDir}, false},
		"source missing":                     {Link{host + "/none", "x", KindFile}, true},
		"source below a file":                {Link{host + "/x/y", "x", KindFile}, true},
		"source became a directory":          {Link{host + "/dir", "x", KindFile}, true},
		"source became a FIFO":               {Link{host + "/fifo", "x", KindFile}, true},
		"source became a symlink":            {Link{host + "/link", "x", KindFile}, true},
	}
	root := openPathFile(t, image)
	for name, c := range cases {
		for way, b := range binders(root) {
			mounts, fds := countMounts(t), countFDs(t)
			err := b.bind(&c.link)
			b.close()
			var gone *SourceGoneError
			var bad *MountError
			switch {
			case c.gone && (!errors.As(err, &gone) || gone.Source != c.link.Source || gone.Remedy() == ""):
				t.Errorf("%s, %s: error %v, want SourceGoneError", name, way, err)
			case !c.gone && (!errors.As(err, &bad) || bad.Op == "" || bad.Target != c.link.Target || bad.Remedy() == ""):
				t.Errorf("%s, %s: error %v, want MountError", name, way, err)
			}
			if countMounts(t) != mounts || countFDs(t) != fds {
				t.Errorf("%s, %s: left mounts or descriptors", name, way)
			}
		}
	}
	// A parent of the source that became a symlink is only seen with openat2.
	var gone *SourceGoneError
	if err := Apply(root, []Link{{host + "/up/y", "x", KindFile}}); !errors.As(err, &gone) {
		t.Errorf("source behind a new symlink: error %v, want SourceGoneError", err)
	}
}

func TestApply(t *testing.T) {
	if !inPrivateMounts(t) {
		return
	}
	host := grow(t, "f x host", "d dir 0755", "f dir/y", "s sock", `f "odd␠:,\ odd`)
	if err := os.Chmod(host+"/x", 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	image := grow(t, "f bin/x image", "d dir", "f sock", `f a/"odd␠:,\`)
	root := openPathFile(t, image)
	links := []Link{
		{host + "/x", "/bin/x", KindFile}, {host + "/dir", "dir", KindDir},
		{host + "/sock", "/sock", KindSocket}, {host + `/"odd :,\`, `/a/"odd :,\`, KindFile},
	}
	for way, b := range binders(root) {
		mounts, fds := countMounts(t), countFDs(t)
		for i := range links {
			if err := b.bind(&links[i]); err != nil {
				t.Fatalf("%s: %v", way, err)
			}
		}
		b.close()
		if got := countMounts(t) - mounts; got != len(links) {
			t.Errorf("%s: %d mounts for %d links", way, got, len(links))
		}
		if got := countFDs(t); got != fds {
			t.Errorf("%s: %d descriptors before, %d after", way, fds, got)
		}
		for _, l := range links {
			checkBound(t, way, l.Source, image+"/"+l.Target)
		}
		if _, err := os.Stat(image + "/dir/y"); err != nil {
			t.Errorf("%s: directory is empty: %v", way, err)
		}
		for _, l := range links {
			if err := unix.Unmount(image+"/"+l.Target, unix.UMOUNT_NOFOLLOW); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// checkBound checks that target is source, and that no write gets through.
func checkBound(t *testing.T, way, source, target string) {
	t.Helper()
	var a, b unix.Stat_t
	if err := errors.Join(unix.Lstat(source, &a), unix.Lstat(target, &b)); err != nil {
		t.Fatal(err)
	}
	if a.Dev != b.Dev || a.Ino != b.Ino || a.Mode != b.Mode {
		t.Errorf("%s: %q is not the host's file", way, target)
	}
	for what, err := range map[string]error{
		"write": writeTo(target), "chmod": os.Chmod(target, 0o777), "truncate": ignoreNonFile(b.Mode, os.Truncate(target, 0)),
	} {
		if !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.ENXIO) && !errors.Is(err, unix.EISDIR) {
			t.Errorf("%s: %s of %q: error %v", way, what, target, err)
		}
	}
	if err := os.Remove(target); !errors.Is(err, unix.EBUSY) {
		t.Errorf("%s: remove %q: error %v", way, target, err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(target, &fs); err != nil {
		t.Fatal(err)
	}
	const want = unix.ST_RDONLY | unix.ST_NOSUID | unix.ST_NODEV
	if fs.Flags&want != want {
		t.Errorf("%s: mount of %q has the flags %#x", way, target, fs.Flags)
	}
}

func ignoreNonFile(mode uint32, err error) error {
	if mode&unix.S_IFMT != unix.S_IFREG {
		return unix.EROFS
	}
	return err
}

func writeTo(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// TestStack plans, builds and mounts everything over a real overlay.
func TestStack(t *testing.T) {
	if !inPrivateMounts(t) {
		return
	}
	host := grow(t, "f lib/x host", "f usr/share/a/b/deep host", "d usr/share/a 0711", "l etc/l ../lib/x", "f isdir host",
		"f isfile/x host", "f etc/both host")
	image := grow(t, "l lib usr/lib", "d usr/lib 0750", "d usr/share", "d etc 0555", "f isdir/x", "f isfile image",
		"f etc/both image", "f removed list", "d tmp 01777", "f etc/own image")
	if err := os.Chown(image+"/usr/lib", 12, 34); err != nil {
		t.Fatal(err)
	}
	img := dirImage{t, image}
	plan, err := Resolve(Request{
		Sources:  []Source{{Origin: "app", Manifest: manifest(t, "lib/x", "usr/share/a/b/deep", "etc/l", "isdir", "isfile/x", "etc/both")}},
		HostRoot: host, Image: img,
	})
	if err != nil {
		t.Fatal(err)
	}
	own, merged := t.TempDir(), t.TempDir()
	if err := WriteLayer(own, append(HideManifests(img), plan.Nodes...), img); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("overlay", merged, "overlay", 0, "userxattr,lowerdir="+own+":"+image); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(merged, unix.MNT_DETACH) })
	if err := Apply(openPathFile(t, merged), plan.Links); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"lib/x": "host", "usr/lib/x": "host", "usr/share/a/b/deep": "host", "etc/l": "host", "isdir": "host",
		"isfile/x": "host", "etc/both": "host", "etc/own": "image",
	} {
		if got, err := os.ReadFile(merged + "/" + path); string(got) != want {
			t.Errorf("%s is %q (%v), want %q", path, got, err, want)
		}
	}
	if _, err := os.Lstat(merged + "/removed"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the manifest is not hidden: %v", err)
	}
	for _, path := range []string{"", "usr", "usr/lib", "usr/share", "etc", "tmp"} {
		sameAttributes(t, image+"/"+path, merged+"/"+path)
	}
	if fi, err := os.Stat(merged + "/usr/share/a"); err != nil || fi.Mode().Perm() != 0o711 {
		t.Errorf("missing parent: %v %v, want the host's mode", fi.Mode(), err)
	}
}

func sameAttributes(t *testing.T, want, got string) {
	t.Helper()
	var a, b unix.Stat_t
	if err := errors.Join(unix.Lstat(want, &a), unix.Lstat(got, &b)); err != nil {
		t.Fatal(err)
	}
	if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Mtim != b.Mtim {
		t.Errorf("%s: mode %o owner %d:%d time %v, want %o %d:%d %v", got, b.Mode, b.Uid, b.Gid, b.Mtim, a.Mode, a.Uid, a.Gid, a.Mtim)
	}
}

func BenchmarkApply8000(b *testing.B) {
	requireRoot(b, "mounts")
	if os.Getenv(inNamespace) != "1" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^$", "-test.bench=^BenchmarkApply8000$", "-test.benchtime=3x")
		cmd.Env = append(os.Environ(), inNamespace+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		b.Logf("%s%v", out, err)
		return
	}
	var tree []string
	for i := range 8000 {
		tree = append(tree, fmt.Sprintf("f usr/share/d%d/e%d/f%d", i%40, i%400, i))
	}
	// The image is a mount of its own, as an app's root is: cloning a mount
	// takes the longer the more mounts lie on it.
	host, image := grow(b, tree...), b.TempDir()
	if err := unix.Mount("tmpfs", image, "tmpfs", 0, ""); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = unix.Unmount(image, unix.MNT_DETACH) })
	for _, line := range tree {
		if err := growOne(image, line); err != nil {
			b.Fatal(err)
		}
	}
	root := openPathFile(b, image)
	var links []Link
	for _, line := range tree {
		path := line[len("f "):]
		links = append(links, Link{host + "/" + path, "/" + path, KindFile})
	}
	slices.SortFunc(links, func(x, y Link) int { return strings.Compare(x.Target, y.Target) })
	for b.Loop() {
		if err := Apply(root, links); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		for _, l := range links {
			_ = unix.Unmount(image+"/"+l.Target, unix.MNT_DETACH)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(links)), "ns/link")
}
