package compose

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/nsexec/config"
	"github.com/flake-launcher/flake-launcher/overlay"
)

func TestDefaultIsolation(t *testing.T) { eachEngine(t, testDefaultIsolation) }

func testDefaultIsolation(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{Hostname: "inside"})
	status := b.probe("read", "/proc/self/status")
	// 11 capabilities of podman's.
	for _, want := range []string{
		"CapInh:\t0000000000000000", "CapPrm:\t00000000800405fb", "CapEff:\t00000000800405fb",
		"CapBnd:\t00000000800405fb", "CapAmb:\t0000000000000000",
		"NoNewPrivs:\t1", "Seccomp:\t2", "Seccomp_filters:\t2",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("status lacks %q", want)
		}
	}
	// Init is filtered too, or the app could work through it.
	if status := b.probe("read", "/proc/1/status"); !strings.Contains(status, "Seccomp_filters:\t2") {
		t.Error("init runs without filters")
	}
	for _, ns := range []string{"mnt", "pid", "ipc", "uts", "cgroup"} {
		host, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.probe("link", "/proc/self/ns/"+ns); got == host || !strings.HasPrefix(got, ns+":") {
			t.Errorf("namespace %s: %q inside, %q outside", ns, got, host)
		}
	}
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	if got := b.probe("link", "/proc/self/ns/net"); got != host {
		t.Errorf("network namespace %q, want the host's %q", got, host)
	}
	if got := b.probe("hostname"); got != "inside" {
		t.Errorf("host name %q", got)
	}
}

func TestWhatAnAppMayNot(t *testing.T) { eachEngine(t, testWhatAnAppMayNot) }

func testWhatAnAppMayNot(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	tests := map[string]struct {
		args []string
		want string
	}{
		"type into the terminal":           {[]string{"sticti"}, "errno 1"},
		"the same with a longer request":   {[]string{"sticti64"}, "errno 1"},
		"make a device":                    {[]string{"mknod", "/tmp/null"}, "errno 1"},
		"mount":                            {[]string{"mount"}, "errno 1"},
		"bpf":                              {[]string{"bpf"}, "errno 1"},
		"trace init":                       {[]string{"attach"}, "errno 1"},
		"open the init program":            {[]string{"read", "/proc/1/exe"}, "errno 13"},
		"write to the kernel's parameters": {[]string{"write", "/proc/sys/kernel/hostname"}, "errno 30"},
		"write to sysfs":                   {[]string{"write", "/sys/power/state"}, "errno 30"},
		"trigger sysrq":                    {[]string{"write", "/proc/sysrq-trigger"}, "errno 30"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if p := tc.args[len(tc.args)-1]; strings.HasPrefix(p, "/sys") || strings.HasPrefix(p, "/proc/sys") {
				if _, err := os.Stat(p); err != nil {
					t.Skipf("needs %s: this kernel lacks it", p)
				}
			}
			if got := b.probe(tc.args...); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
	// The kernel takes the signal and protects init from it: the app goes on.
	if got := b.probe("kill9"); got != "ok" {
		t.Errorf("kill -9 1: %q", got)
	}
	for _, path := range config.DefaultMasked {
		st, err := os.Stat(path)
		if err != nil {
			continue
		}
		verb := "read"
		if st.IsDir() {
			verb = "ls"
		}
		if got := b.probe(verb, path); got != "" {
			t.Errorf("masked %s shows %q", path, got)
		}
	}
}

func TestDevIsComplete(t *testing.T) { eachEngine(t, testDevIsComplete) }

func testDevIsComplete(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	for path, want := range map[string]string{
		"/dev/null":     "c 0666 0:0 1:3",
		"/dev/zero":     "c 0666 0:0 1:5",
		"/dev/full":     "c 0666 0:0 1:7",
		"/dev/random":   "c 0666 0:0 1:8",
		"/dev/urandom":  "c 0666 0:0 1:9",
		"/dev/tty":      "c 0666 0:0 5:0",
		"/dev/pts/ptmx": "c 0666 0:0 5:2",
		"/dev/shm":      "d 1777 0:0 0:0",
		"/dev/mqueue":   "d 1777 0:0 0:0",
		"/dev/ptmx":     "l 0777 0:0 0:0",
	} {
		if got := b.probe("stat", path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2",
	} {
		if got := b.probe("link", path); got != want {
			t.Errorf("%s -> %q, want %q", path, got, want)
		}
	}
	names := strings.Split(b.probe("ls", "/dev"), "\n")
	for _, n := range names {
		if !slices.Contains([]string{"null", "zero", "full", "random", "urandom", "tty", "pts", "ptmx", "shm",
			"mqueue", "fd", "stdin", "stdout", "stderr", "core"}, n) {
			t.Errorf("unexpected /dev/%s", n)
		}
	}
}

func TestIdentity(t *testing.T) { eachEngine(t, testIdentity) }

func testIdentity(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{UID: 1234})
	b.job.GID, b.job.Groups = 77, []int{77, 5000}
	if got := b.probe("ids"); got != "1234:77:77,5000" {
		t.Errorf("identity %q", got)
	}
	status := b.probe("read", "/proc/self/status")
	for _, want := range []string{"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t00000000800405fb",
		"Seccomp:\t2"} {
		if !strings.Contains(status, want) {
			t.Errorf("status lacks %q", want)
		}
	}
	for _, args := range [][]string{{"attach"}, {"write", "/etc/x"}} {
		if got := b.probe(args...); got == "ok" {
			t.Errorf("%q succeeded", args)
		}
	}
}

func TestArgumentsAndEnvironmentAreExact(t *testing.T) {
	eachEngine(t, testArgumentsAndEnvironmentAreExact)
}

func testArgumentsAndEnvironmentAreExact(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	b.job.Env = []string{"PATH=/bin", "A=1", "A=2", "EMPTY=", "no equals sign", "=weird", "B=\xff\n", "_LIBCONTAINER_INITPIPE=3"}
	if got, want := b.probe("env"), "<"+strings.Join(b.job.Env, "><")+">"; got != want {
		t.Errorf("environment %q, want %q", got, want)
	}
	args := []string{"args", "", " ", "@x", "%y", "--", "-init", "init", "\xff\xfe", "new\nline", strings.Repeat("long", 20000)}
	if got, want := b.probe(args...), "<"+strings.Join(args[1:], "><")+">"; got != want {
		t.Errorf("arguments %.100q…, want %.100q…", got, want)
	}
	b.job.Env = nil
	if got := b.run("/bin/probe", "env"); got.out != "\n" {
		t.Errorf("empty environment: %q", got.out)
	}
}

func TestWorkingDirectory(t *testing.T) { eachEngine(t, testWorkingDirectory) }

func testWorkingDirectory(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	for cwd, want := range map[string]string{"": "/", "/tmp": "/tmp", "/made/on/the/way": "/made/on/the/way"} {
		b.job.Cwd = cwd
		if got := b.probe("cwd"); got != want {
			t.Errorf("cwd %q, want %q", got, want)
		}
	}
}

func TestWritableParts(t *testing.T) { eachEngine(t, testWritableParts) }

func testWritableParts(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	for writable, want := range map[string]string{"tmpfs": "ok", "none": "errno 30"} {
		b.job.Writable = writable
		if got := b.probe("write", "/etc/x"); got != want {
			t.Errorf("%s: %q, want %q", writable, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(b.layer, "etc/x")); err == nil {
		t.Error("the layer was written to")
	}
}

func TestSeedsAndLinks(t *testing.T) { eachEngine(t, testSeedsAndLinks) }

func testSeedsAndLinks(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	host := filepath.Join(t.TempDir(), "from-host")
	writeFile(t, host, "of the host", 0o644)
	writeFile(t, filepath.Join(b.layer, "etc/linked"), "of the image", 0o644)
	b.job.Seed = []overlay.Node{{Path: "/home", Mode: 0o755}, {Path: "/home/me", Mode: 0o700, UID: 1234, GID: 1234}}
	b.job.Links = []hostlink.Link{{Source: host, Target: "etc/linked", Kind: hostlink.KindFile}}
	if got := b.probe("read", "/etc/linked"); got != "of the host" {
		t.Errorf("linked file holds %q", got)
	}
	if got := b.probe("write", "/etc/linked"); got == "ok" {
		t.Error("a linked file could be written to")
	}
	if got := b.probe("stat", "/home/me"); got != "d 0700 1234:1234 0:0" {
		t.Errorf("seed: %q", got)
	}
}

func TestUmaskIsTheCallers(t *testing.T) { eachEngine(t, testUmaskIsTheCallers) }

func testUmaskIsTheCallers(t *testing.T, newBed bedMaker) {
	b := newBed(t, config.Spec{})
	cmd := b.command("probe", "umask")
	cmd.Args = append([]string{"sh", "-c", `umask 027; exec "$@"`, "sh"}, cmd.Args...)
	cmd.Path = "/bin/sh"
	out, err := cmd.Output()
	if err != nil || string(out) != "0027\n" {
		t.Errorf("%q, %v", out, err)
	}
}
