package compose

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/instance"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
	"github.com/flake-launcher/flake-launcher/overlay"
)

// keptJob is what a start in a kept instance has besides.
type keptJob struct {
	Root   string
	Grafts []nsexec.Graft
	Fresh  []nsexec.File
}

// startKept is what launcher does with a plan for kept instances, but for waiting and being careful.
func startKept(job Job, k *keptJob) error {
	in, err := instance.Enter(k.Root, instance.Name{Flake: "k"}, instance.Exclusive, true)
	if err != nil {
		return err
	}
	running, err := in.Running()
	if err != nil {
		return err
	}
	if running == nil {
		d, err := newDirect(job)
		if err != nil {
			return err
		}
		rights, err := d.Rights()
		if err != nil {
			return err
		}
		state, writable, err := in.Prepare(&instance.Config{Name: in.Name, Rights: rights}, job.Writable == "disk")
		if err != nil {
			return err
		}
		d.Scratch = writable
		d.Kept = &nsexec.Kept{Lock: in.Lock(), State: state, Title: []string{"flake-launcher", "keeps", in.Path()}}
		if err := d.Hold(); err != nil {
			return err
		}
		if running, err = in.Running(); err != nil {
			return err
		}
	}
	j := &nsexec.Join{
		Speaker: "flake-launcher", PID: running.PID, PIDFD: running.PIDFD, Lock: in.Lock(), Rights: running.Rights,
		Grafts: k.Grafts, Fresh: k.Fresh, Cwd: nsexec.Cwd{Path: job.Cwd, Make: true}, Args: job.Args, Env: job.Env,
	}
	return j.Exec()
}

// callers runs a test with an instance of root's and with one of an ordinary user's.
func callers(t *testing.T, test func(t *testing.T, b *bed)) {
	prepare := func(t *testing.T, b *bed) {
		root := t.TempDir()
		for dir := root; dir != os.TempDir(); dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		give(t, b, root)
		b.kept, b.job.Writable = &keptJob{Root: root}, "disk"
		b.job.Seed = append(b.job.Seed, overlay.Node{Path: "/mnt", Mode: 0o755})
		t.Cleanup(func() {
			for _, pid := range processes(t, "keeps\x00"+root) {
				n, _ := strconv.Atoi(pid)
				_ = syscall.Kill(n, unix.SIGKILL)
			}
			for range 200 {
				if len(processes(t, "keeps\x00"+root)) == 0 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			time.Sleep(50 * time.Millisecond) // PID 1 follows
		})
	}
	t.Run("root", func(t *testing.T) {
		b := newDirectBed(t, config.Spec{})
		prepare(t, b)
		test(t, b)
	})
	t.Run("user", func(t *testing.T) {
		b := newUserBed(t, config.Spec{UID: nobodyKnown}, true)
		b.job.UID = nobodyKnown
		prepare(t, b)
		test(t, b)
	})
}

func give(t *testing.T, b *bed, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if b.user != nil {
			if err := os.Chown(path, int(b.user.Uid), int(b.user.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// shared is a directory of the host that the caller can reach, with a file in it.
func shared(t *testing.T, b *bed, name string) string {
	t.Helper()
	dir := filepath.Join(filepath.Dir(b.kept.Root), name)
	mkdir(t, dir)
	writeFile(t, filepath.Join(dir, "file"), "of "+name, 0o644)
	give(t, b, dir, filepath.Join(dir, "file"))
	return dir
}

func mountsOf(b *bed) int { return strings.Count(b.probe("read", "/proc/mounts"), "\n") }

func TestKeptShowsWhatIsShared(t *testing.T) {
	callers(t, func(t *testing.T, b *bed) {
		before := mountsOf(b)
		one, two := shared(t, b, "one"), shared(t, b, "two")
		b.kept.Grafts = []nsexec.Graft{{Source: one, Target: "/mnt/a/b"}}
		if got := b.probe("read", "/mnt/a/b/file"); got != "of one" {
			t.Errorf("%q", got)
		}
		// It stays, and so nothing has to be done again: not for it, and not for what is in it.
		b.kept.Grafts = append(b.kept.Grafts, nsexec.Graft{Source: filepath.Join(one, "file"), Target: "/mnt/a/b/file"})
		b.job.Cwd = "/mnt/a/b"
		if got := b.probe("read", "file"); got != "of one" {
			t.Errorf("%q", got)
		}
		b.job.Cwd = ""
		if n := mountsOf(b); n != before+1 {
			t.Errorf("%d mounts more, want 1", n-before)
		}
		// Another one at the same place comes on top, a missing one is left out if it may be, and a file is one.
		b.kept.Grafts = []nsexec.Graft{{Source: two, Target: "/mnt/a/b"}, {Source: "/no/such/thing", Target: "/mnt/x", Optional: true},
			{Source: filepath.Join(one, "file"), Target: "/mnt/f"}}
		if got := b.probe("read", "/mnt/a/b/file"); got != "of two" {
			t.Errorf("%q", got)
		}
		if got := b.probe("read", "/mnt/f"); got != "of one" {
			t.Errorf("%q", got)
		}
		// Read-only is another thing than what is there.
		b.kept.Grafts = []nsexec.Graft{{Source: two, Target: "/mnt/a/b", Attrs: unix.MOUNT_ATTR_RDONLY}}
		if got := b.probe("write", "/mnt/a/b/new"); got != "errno 30" {
			t.Errorf("%q", got)
		}
		b.kept.Grafts = []nsexec.Graft{{Source: "/no/such/thing", Target: "/mnt/x"}}
		if r := b.run("probe", "exit", "0"); r.status.Code != 125 || !strings.Contains(r.err, `bind "/no/such/thing" on "/mnt/x"`) {
			t.Errorf("%+v", r)
		}
	})
}

// A symlink of the image leads to a place in the instance, never out of it.
func TestKeptGraftsStayInside(t *testing.T) {
	callers(t, func(t *testing.T, b *bed) {
		if err := os.Symlink("/../../../../mnt", filepath.Join(b.layer, "way")); err != nil {
			t.Fatal(err)
		}
		one := shared(t, b, "one")
		b.kept.Grafts = []nsexec.Graft{{Source: one, Target: "/way/../way/in"}}
		if got := b.probe("read", "/mnt/in/file"); got != "of one" {
			t.Errorf("%q", got)
		}
		if _, err := os.Stat("/mnt/in"); err == nil {
			t.Error("made on the host")
		}
	})
}

func TestKeptFreshFiles(t *testing.T) {
	callers(t, func(t *testing.T, b *bed) {
		b.probe("mkdir", "/tmp/dir")
		fresh := func(content string) {
			b.kept.Fresh = []nsexec.File{{Target: "/tmp/f", Content: []byte(content), Mode: 0o644}}
		}
		for _, content := range []string{"one", "another", "", strings.Repeat("long ", 5000)} {
			fresh(content)
			if got := b.probe("read", "/tmp/f"); got != content {
				t.Errorf("%q, want %q", got, content)
			}
		}
		before := b.probe("stat", "/tmp/f")
		if after := b.probe("stat", "/tmp/f"); after != before {
			t.Errorf("the same content was written again: %q, %q", before, after)
		}
		// What the app puts in its place does not lead us astray.
		b.kept.Fresh = nil
		b.probe("unlink", "/tmp/f")
		b.probe("symlink", "/tmp/else", "/tmp/f")
		fresh("mine")
		if got := b.probe("read", "/tmp/f"); got != "mine" || b.probe("read", "/tmp/else") != "errno 2" {
			t.Errorf("behind a symlink: %q", got)
		}
		// A symlink takes the place of a file, of another symlink, and gives it up again.
		for _, text := range []string{"dir", "/tmp/else", strings.Repeat("x/", 2047) + "x"} {
			b.kept.Fresh = []nsexec.File{{Target: "/tmp/f", Content: []byte(text), Mode: unix.S_IFLNK | 0o777}}
			if got := b.probe("link", "/tmp/f"); got != text {
				t.Errorf("symlink to %.20q, want %.20q", got, text)
			}
		}
		b.kept.Fresh = []nsexec.File{{Target: "/tmp/f", Content: make([]byte, 5000), Mode: unix.S_IFLNK | 0o777}}
		b.probe("exit", "0")
		fresh("mine again")
		if got := b.probe("read", "/tmp/f"); got != "mine again" {
			t.Errorf("a file in place of a symlink: %q", got)
		}
		b.kept.Fresh = nil
		b.probe("unlink", "/tmp/f")
		b.probe("mkdir", "/tmp/f")
		fresh("mine")
		b.probe("exit", "0")
		b.kept.Fresh = []nsexec.File{{Target: "/proc/version", Content: []byte("x")}, {Target: "/no/such/dir/f", Content: []byte("x")}, {Target: "relative", Content: []byte("x")}}
		b.probe("exit", "0")
	})
}

// The first start of an instance fails like any other, and leaves nothing that runs.
func TestKeptFirstStartFails(t *testing.T) {
	callers(t, func(t *testing.T, b *bed) {
		lower := b.job.Lower
		b.job.Lower = []string{b.layer, b.layer}
		r := b.run("probe", "exit", "0")
		if r.status.Code != 125 || !strings.Contains(r.err, "mount overlay") || strings.Count(r.err, "\n") < 2 {
			t.Errorf("%+v", r)
		}
		if left := processes(t, "keeps\x00"+b.kept.Root); len(left) > 0 {
			t.Errorf("still running: %q", left)
		}
		b.job.Lower = lower
		b.probe("exit", "0")
	})
}
