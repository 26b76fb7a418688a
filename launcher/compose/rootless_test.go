package compose

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
	"github.com/flake-launcher/flake-launcher/overlay"
)

// nobodyKnown is an id that no database has, and so without a range of others.
const nobodyKnown = 54321

// newUserBed makes a bed for an ordinary user, over a layer that is his own or root's.
func newUserBed(t *testing.T, spec config.Spec, own bool) *bed {
	t.Helper()
	b := newDirectBed(t, spec)
	b.user = &syscall.Credential{Uid: nobodyKnown, Gid: nobodyKnown, Groups: []uint32{nobodyKnown, 54322}}
	if err := os.Chmod(filepath.Dir(b.layer), 0o755); err != nil {
		t.Fatal(err)
	}
	if own {
		err := filepath.WalkDir(b.layer, func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, nobodyKnown, nobodyKnown)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// What a plan for a user has, see launcher/plan/compile.
	b.job.Seed = []overlay.Node{{Path: "/tmp", Mode: 0o1777}, {Path: "/home", Mode: 0o555}, {Path: "/home/me", Mode: 0o700}}
	return b
}

// stores runs a test over a layer of the user and over one of root.
func stores(t *testing.T, test func(t *testing.T, own bool)) {
	t.Run("own store", func(t *testing.T) { test(t, true) })
	t.Run("root's store", func(t *testing.T) { test(t, false) })
}

func TestUserStaysHimself(t *testing.T) {
	stores(t, func(t *testing.T, own bool) {
		b := newUserBed(t, config.Spec{UID: nobodyKnown}, own)
		b.job.UID = nobodyKnown
		if got := b.probe("ids"); !strings.HasPrefix(got, "54321:54321:54321") {
			t.Errorf("ids %q", got)
		}
		status := b.probe("read", "/proc/self/status")
		for _, want := range []string{"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t00000000800405fb",
			"NoNewPrivs:\t1", "Seccomp_filters:\t2"} {
			if !strings.Contains(status, want) {
				t.Errorf("status lacks %q", want)
			}
		}
		for path, want := range map[string]string{"/tmp/x": "ok", "/home/me/x": "ok", "/dev/shm/x": "ok", "/proc/sys/kernel/hostname": "errno 30"} {
			if got := b.probe("write", path); got != want {
				t.Errorf("write %s: %q, want %q", path, got, want)
			}
		}
		want := "ok" // files of his own, in a writable part of his own
		if !own {
			want = "errno 13"
		}
		for _, path := range []string{"/x", "/etc/x"} {
			if got := b.probe("write", path); got != want {
				t.Errorf("write %s: %q, want %q", path, got, want)
			}
		}
		for _, args := range [][]string{{"attach"}, {"mount"}, {"mknod", "/tmp/n"}, {"bpf"}} {
			if got := b.probe(args...); got != "errno 1" {
				t.Errorf("%q: %q", args, got)
			}
		}
		if got := b.probe("fds"); got != "0\n1\n2\n3" {
			t.Errorf("the app holds descriptors %q", got)
		}
	})
}

func TestUserAsRoot(t *testing.T) {
	b := newUserBed(t, config.Spec{}, true)
	if got := b.probe("ids"); !strings.HasPrefix(got, "0:0:") {
		t.Errorf("ids %q", got)
	}
	if got := b.probe("stat", "/etc"); !strings.HasSuffix(got, " 0:0 0:0") {
		t.Errorf("/etc: %q", got)
	}
	for _, args := range [][]string{{"mount"}, {"mknod", "/tmp/n"}, {"attach"}} {
		if got := b.probe(args...); got != "errno 1" {
			t.Errorf("%q: %q", args, got)
		}
	}
	out := filepath.Join(openDir, "as-root")
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(out)
	if err := os.Chown(out, nobodyKnown, nobodyKnown); err != nil {
		t.Fatal(err)
	}
	if got := b.probe("read", "/proc/self/uid_map"); strings.Join(strings.Fields(got), " ") != "0 54321 1" {
		t.Errorf("map %q", got)
	}
}

// What the host shows below /sys and /proc is covered for a user as for root.
func TestUserSeesNoMoreThanRoot(t *testing.T) {
	root := newDirectBed(t, config.Spec{})
	user := newUserBed(t, config.Spec{UID: nobodyKnown}, true)
	user.job.UID = nobodyKnown
	places := append([]string{"/sys/fs/cgroup", "/sys/kernel/debug", "/sys/kernel/security", "/sys/kernel/tracing", "/sys/fs/bpf",
		"/sys/kernel/config", "/sys/fs/fuse/connections", "/sys/fs/pstore"}, config.DefaultMasked...)
	for _, p := range places {
		for _, verb := range []string{"ls", "read", "write"} {
			words := []string{verb, p}
			all := append([]string{"probe"}, words...)
			if got, want := user.run(all...).out, root.run(all...).out; got != want && !(verb == "write" && strings.HasPrefix(got, "errno")) {
				t.Errorf("%q: %q, root sees %q", words, got, want)
			}
		}
	}
	for _, l := range strings.Split(user.probe("read", "/proc/self/mountinfo"), "\n") {
		f := strings.Fields(l)
		if strings.HasPrefix(f[4], "/sys") && !strings.HasPrefix(f[5], "ro,nosuid,nodev,noexec") {
			t.Errorf("not read-only: %s", l)
		}
	}
}

// Nothing of the host's own mounts may be left in the app's namespace, whichever way the root was made.
func TestNoMountOfTheHostIsLeft(t *testing.T) {
	for _, writable := range []string{"tmpfs", "none", "disk"} {
		for _, user := range []bool{false, true} {
			t.Run(fmt.Sprint(writable, " user ", user), func(t *testing.T) {
				b := newDirectBed(t, config.Spec{})
				if user {
					b = newUserBed(t, config.Spec{UID: nobodyKnown}, true)
				}
				b.job.Writable = writable
				if writable == "disk" {
					b.scratch(t)
				}
				for _, l := range strings.Split(b.probe("read", "/proc/self/mountinfo"), "\n") {
					f := strings.Fields(l)
					fs := l[strings.Index(l, " - ")+3:]
					known := f[4] == "/" && strings.HasPrefix(fs, "overlay") || strings.HasPrefix(f[4], "/dev") ||
						strings.HasPrefix(f[4], "/proc") || strings.HasPrefix(f[4], "/sys")
					if !known {
						t.Errorf("mounted: %s", l)
					}
				}
			})
		}
	}
}

// scratch gives the bed a directory for the writable part.
func (b *bed) scratch(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp(openDir, "scratch-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if b.user != nil {
		if err := os.Chown(dir, int(b.user.Uid), int(b.user.Gid)); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(openDir, 0o777); err != nil { // the directory itself is removed by him
			t.Fatal(err)
		}
		t.Cleanup(func() { os.Chmod(openDir, 0o755) })
	}
	b.job.Scratch = dir
}

func TestWritablePartOnDiskLeavesNothing(t *testing.T) {
	for _, user := range []bool{false, true} {
		t.Run(fmt.Sprint("user ", user), func(t *testing.T) {
			b := newDirectBed(t, config.Spec{})
			if user {
				b = newUserBed(t, config.Spec{UID: nobodyKnown}, true)
				b.job.UID = nobodyKnown
			}
			b.job.Writable = "disk"
			b.scratch(t)
			if got := b.probe("write", "/etc/x"); got != "ok" {
				t.Fatal(got)
			}
			if _, err := os.Stat(b.job.Scratch); !os.IsNotExist(err) {
				t.Errorf("left: %v", err)
			}
		})
	}
}

// More starts than a user may have keys: they are given back late.
func TestManyStartsOfAUser(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a while: hundreds of starts")
	}
	b := newUserBed(t, config.Spec{UID: nobodyKnown}, true)
	b.job.UID = nobodyKnown
	limit := 200
	if data, err := os.ReadFile("/proc/sys/kernel/keys/maxkeys"); err == nil {
		limit, _ = strconv.Atoi(strings.TrimSpace(string(data)))
	}
	for range limit + 50 {
		if r := b.run("probe", "exit", "0"); r.status != (nsexec.Status{}) {
			t.Fatalf("%v: %s", r.status, r.err)
		}
	}
}

// unshared runs the start below unshare(1), after a line of shell.
func (b *bed) unshared(t *testing.T, flags []string, line string, args ...string) result {
	t.Helper()
	cmd := b.command(args...)
	words := append([]string{"unshare"}, flags...)
	cmd.Args = append(append(words, "sh", "-c", line+` && exec "$@"`, "sh"), cmd.Args...)
	var err error
	if cmd.Path, err = exec.LookPath("unshare"); err != nil {
		t.Skipf("needs unshare: %v", err)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	status := finish(t, cmd, cmd.Run())
	if strings.Contains(errs.String(), "unshare: ") {
		t.Skipf("needs an unshare that can do this: %s", errs.String())
	}
	return result{out.String(), errs.String(), status}
}

// Where user namespaces are barred, the knob and the remedy are named.
func TestBarredUserNamespaces(t *testing.T) {
	b := newUserBed(t, config.Spec{UID: nobodyKnown}, true)
	// In a user namespace of his own, whose limit is his to set.
	r := b.unshared(t, []string{"-U", "--map-current-user", "--keep-caps"}, "echo 0 > /proc/sys/user/max_user_namespaces", "probe", "exit", "0")
	if r.status.Code != nsexec.CodeLauncher || !strings.Contains(r.err, "sysctl user.max_user_namespaces=") || strings.Count(r.err, "\n") != 2 {
		t.Errorf("%v, %q", r.status, r.err)
	}
}

// Root of a user namespace that an ordinary user made may not make devices, sysfs, or set groups.
func TestRootOfAUserNamespace(t *testing.T) {
	b := newUserBed(t, config.Spec{}, true)
	for _, args := range [][]string{{"ids"}, {"write", "/etc/x"}, {"write", "/dev/null"}} {
		r := b.unshared(t, []string{"-Ur"}, "true", append([]string{"probe"}, args...)...)
		if r.status != (nsexec.Status{}) || r.err != "" || !strings.HasPrefix(r.out, "ok") && !strings.HasPrefix(r.out, "0:0:") {
			t.Errorf("%q: %v, %q, %q", args, r.status, r.out, r.err)
		}
	}
}
