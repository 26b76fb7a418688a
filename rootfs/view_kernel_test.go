package rootfs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func init() { children["kernel"] = kernelChild }

// TestViewAgreesWithKernel makes random stacks, mounts each as an overlay in a
// private mount namespace, and compares what View and the kernel say of every
// path. The mounts end with the child.
func TestViewAgreesWithKernel(t *testing.T) {
	needsRoot(t, "mounts an overlay")
	seed := rand.Uint64()
	cmd := child(t, "kernel", t.TempDir(), strconv.FormatUint(seed, 10))
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		t.Errorf("seed %d: %v", seed, err)
	}
}

func kernelChild(args []string) error {
	seed, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		return err
	}
	for round := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, round))
		if err := kernelRound(rnd, filepath.Join(args[0], fmt.Sprint(round))); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	return nil
}

func kernelRound(rnd *rand.Rand, base string) (err error) {
	var dirs, lower []string
	for i := range 2 + rnd.IntN(4) {
		dir := filepath.Join(base, fmt.Sprint(i))
		if err := randomLayer(rnd, dir); err != nil {
			return err
		}
		dirs = append(dirs, dir)
		lower = append([]string{dir}, lower...)
	}
	// Every other round with an opaque root, which the kernel does not heed:
	// see TrimOpaque.
	if rnd.IntN(2) == 0 {
		if err := makeEntry(dirs[len(dirs)-1], []string{"opaque", "."}); err != nil {
			return err
		}
	}
	merged := filepath.Join(base, "merged")
	if err := os.Mkdir(merged, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("overlay", merged, "overlay", unix.MS_RDONLY, "userxattr,lowerdir="+strings.Join(lower, ":")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Unmount(merged, 0)) }()
	v, err := NewView(dirs)
	if err != nil {
		return err
	}
	defer v.Close()
	root, err := openDirAt(unix.AT_FDCWD, merged)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, p := range allPaths(rnd) {
		for _, compare := range []func(*os.File, *View, string) error{compareStat, compareDir} {
			if err := compare(root, v, p); err != nil {
				return err
			}
		}
	}
	return nil
}

var testNames = []string{"a", "b", "c", "l"}

// randomLayer fills a directory; what does not fit (a name below a file, say)
// is left out.
func randomLayer(rnd *rand.Rand, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for n := range 30 {
		p := randomPath(rnd, 4)
		target := strings.Repeat("../", rnd.IntN(3)) + randomPath(rnd, 2)
		if rnd.IntN(3) == 0 {
			target = "/" + target
		}
		entry := [][]string{
			{"dir", p}, {"dir", p}, {"file", p, fmt.Sprint(dir, n)}, {"link", p, target},
			{"gone", p}, {"opaque", p}, {"file", p}, {"xgone", p},
		}[rnd.IntN(8)]
		full := filepath.Join(dir, p)
		if _, err := os.Lstat(full); err == nil && entry[0] != "opaque" {
			continue
		}
		if real, err := filepath.EvalSymlinks(filepath.Dir(full)); err == nil && real != filepath.Dir(full) {
			continue // would leave the layer through a link
		}
		if !canMake(filepath.Dir(full)) {
			continue
		}
		if fi, err := os.Lstat(full); err == nil && !fi.IsDir() {
			continue
		}
		if err := makeEntry(dir, entry); err != nil {
			return err
		}
		if entry[0] == "xgone" {
			// The kernel wants the directory marked, unless it is opaque.
			err := unix.Setxattr(filepath.Dir(full), xattrOpaque, []byte("x"), unix.XATTR_CREATE)
			if err != nil && !errors.Is(err, unix.EEXIST) {
				return err
			}
		}
	}
	return nil
}

// canMake says whether dir's nearest existing ancestor is a directory itself.
func canMake(dir string) bool {
	for {
		fi, err := os.Lstat(dir)
		if err == nil {
			return fi.IsDir()
		}
		if !errors.Is(err, os.ErrNotExist) {
			return false
		}
		dir = filepath.Dir(dir)
	}
}

func randomPath(rnd *rand.Rand, depth int) string {
	var parts []string
	for range 1 + rnd.IntN(depth) {
		parts = append(parts, testNames[rnd.IntN(len(testNames))])
	}
	return strings.Join(parts, "/")
}

// allPaths gives every path of three names, and random ones with dots.
func allPaths(rnd *rand.Rand) []string {
	paths := []string{"."}
	last := []string{""}
	for range 3 {
		var next []string
		for _, p := range last {
			for _, n := range testNames {
				next = append(next, strings.TrimPrefix(p+"/"+n, "/"))
			}
		}
		paths, last = append(paths, next...), next
	}
	for range 200 {
		var parts []string
		for range 2 + rnd.IntN(6) {
			parts = append(parts, append([]string{".", "..", ".."}, testNames...)[rnd.IntN(3+len(testNames))])
		}
		paths = append(paths, strings.Join(parts, "/"))
	}
	return paths
}

// kernelOpen resolves a path inside the overlay as inside a root of its own.
// EAGAIN says that somebody, anywhere, renamed or mounted while ".." was taken.
func kernelOpen(root *os.File, path string, flags uint64) (int, error) {
	how := &unix.OpenHow{Flags: flags | unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	for {
		fd, err := unix.Openat2(int(root.Fd()), path, how)
		if !errors.Is(err, unix.EAGAIN) {
			return fd, err
		}
	}
}

func compareStat(root *os.File, v *View, path string) error {
	for _, follow := range []bool{false, true} {
		flags, ask := uint64(unix.O_NOFOLLOW), v.Lstat
		if follow {
			flags, ask = 0, v.Stat
		}
		var want unix.Stat_t
		link := ""
		fd, wantErr := kernelOpen(root, path, flags)
		if wantErr == nil {
			if err := unix.Fstat(fd, &want); err != nil {
				return err
			}
			if want.Mode&unix.S_IFMT == unix.S_IFLNK {
				link, _ = readlinkAt(fd, "")
			}
			unix.Close(fd)
		}
		got, err := ask(path)
		if !errors.Is(err, wantErr) {
			return fmt.Errorf("stat %q (follow %v): %v, the kernel says %v", path, follow, err, wantErr)
		}
		if wantErr != nil {
			continue
		}
		st := got.Sys().(*syscall.Stat_t)
		if st.Mode != want.Mode || got.Size() != want.Size && !got.IsDir() || st.Mtim.Nano() != want.Mtim.Nano() {
			return fmt.Errorf("stat %q (follow %v): %+v, the kernel says %+v", path, follow, st, want)
		}
		if target, _ := v.Readlink(path); !follow && target != link {
			return fmt.Errorf("readlink %q: %q, the kernel says %q", path, target, link)
		}
	}
	return nil
}

// compareDir compares listings. The kernel lists whiteouts in directories that
// are not merged, though they cannot be opened; those do not count.
func compareDir(root *os.File, v *View, path string) error {
	entries, err := v.ReadDir(path)
	fd, wantErr := kernelOpen(root, path, unix.O_DIRECTORY)
	if !errors.Is(err, wantErr) {
		return fmt.Errorf("readdir %q: %v, the kernel says %v", path, err, wantErr)
	}
	if wantErr != nil {
		return nil
	}
	defer unix.Close(fd)
	names, err := readNames(fd)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	names = slices.DeleteFunc(names, func(n string) bool { return errors.Is(statAt(fd, n, &st), unix.ENOENT) })
	slices.Sort(names)
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, names) {
		return fmt.Errorf("readdir %q: %q, the kernel says %q", path, got, names)
	}
	return nil
}
