package nsexec

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
	"github.com/flake-launcher/flake-launcher/nsexec/seccomp"
)

// script runs one as this process may: root's as nobody, a user's in a user namespace.
func script(t *testing.T, adjust func(*Confined), text string) (string, error) {
	t.Helper()
	c := &Confined{Root: "/", Script: []byte(text), User: os.Geteuid() != 0, Filters: [][]byte{seccomp.Script()}}
	if adjust != nil {
		adjust(c)
	}
	start := time.Now()
	out, err := c.Run(context.Background())
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	nothingLeft(t)
	return string(out), err
}

// nothingLeft looks for children of ours.
func nothingLeft(t *testing.T) {
	t.Helper()
	if n, _ := usage(os.Getpid()); n != 1 {
		t.Errorf("%d processes are left", n-1)
	}
}

func TestConfined(t *testing.T) {
	if _, err := initproc.Binary(); errors.Is(err, initproc.ErrNotBuilt) {
		t.Skip("needs `make programs`")
	}
	if os.Geteuid() == 0 {
		t.Run("user", asUser)
	}
	t.Run("prints", confinedPrints)
	t.Run("changes nothing", confinedChangesNothing)
	t.Run("limits", confinedLimits)
	t.Run("cancelled", confinedCancelled)
}

// asUser runs this very test as somebody who is nobody on this machine.
func asUser(t *testing.T) {
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestConfined$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestConfined") {
		t.Errorf("as an ordinary user: %v\n%s", err, out)
	}
}

func confinedPrints(t *testing.T) {
	for name, tc := range map[string]struct{ script, want string }{
		"no first line":     {"echo a; echo b", "a\nb\n"},
		"a shell":           {"#!/bin/sh -e\nfalse && true\necho c\n", "c\n"},
		"another program":   {"#!/bin/cat\nas it is\n", "#!/bin/cat\nas it is\n"},
		"standard input":    {"cat; echo end", "end\n"},
		"stderr is not it":  {"echo x >&2; echo y", "y\n"},
		"where it is":       {"pwd; echo $HOME", "/\n/\n"},
		"its owner":         {"test $(id -u) != 0 && echo yes", "yes\n"},
		"the host's files":  {"test -e /etc/passwd && test -e /usr/bin/env && echo yes", "yes\n"},
		"temporary files":   {"echo z >/tmp/f && cat /tmp/f", "z\n"},
		"its own processes": {"test -d /proc/2 && echo few; test -d /proc/40 || echo only", "few\nonly\n"},
		"a pipe":            {"printf 'b\\na\\n' | sort", "a\nb\n"},
		"no rights":         {"grep -E '^Cap(Eff|Prm|Bnd|Inh|Amb)' /proc/self/status | grep -vc 0000000000000000; grep NoNewPrivs /proc/self/status", "0\nNoNewPrivs:\t1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := script(t, nil, tc.script); err != nil || got != tc.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func confinedChangesNothing(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open") // for everybody, were it not confined
	if err := os.Mkdir(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for d := open; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o777); err != nil {
			break
		}
	}
	elsewhere := "/dev/shm/flake-confined-test"
	if err := os.WriteFile(elsewhere, []byte("as it was"), 0o666); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(elsewhere)
	if err := os.Chmod(elsewhere, 0o666); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ script, says string }{
		"a file":         {"echo x >/etc/flake-confined", "read-only"},
		"another mount":  {"echo x >/proc/1/root" + elsewhere, ""},
		"the host's tmp": {"test -e " + open, "status 1"},
		"a remount":      {"mount -o remount,rw / ", "status"},
		"namespaces":     {"unshare -rm true", "unshare"},
		"a device":       {"mknod /tmp/sda b 8 0", "not permitted"},
		"a program":      {"printf '#!/bin/sh\\n' >/tmp/x; chmod +x /tmp/x; exec /tmp/x", "denied"},
		"a daemon":       {"ls /run | grep -q . && exit 3; ls /root /home | grep / || true; exit 4", "status 4"},
		"the network":    {"exec 2>&1; test $(ls /sys/class/net /proc/self/net/dev 2>/dev/null | wc -l) -ge 0; cat </dev/tcp/127.0.0.1/80", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := script(t, nil, tc.script)
			var failed *ConfinedError
			if !errors.As(err, &failed) || failed.Own || !strings.Contains(strings.ToLower(failed.Error()), tc.says) || strings.Contains(failed.Error(), "\n") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	if got, err := script(t, nil, "cat /proc/net/dev | tail -n +3 | grep -v lo: ; true"); err != nil || got != "" {
		t.Errorf("it has a network: %q, %v", got, err)
	}
	if b, err := os.ReadFile(elsewhere); err != nil || string(b) != "as it was" {
		t.Errorf("%q, %v", b, err)
	}
	if left, err := os.ReadDir(open); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func confinedLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		script, says string
		adjust       func(*Confined)
	}{
		"without end":     {"while :; do sleep 1; done", "still running after 1s", func(c *Confined) { c.Patience = time.Second }},
		"a busy loop":     {"trap '' TERM INT HUP; while :; do :; done", "still running after 1s", func(c *Confined) { c.Patience = time.Second }},
		"left behind":     {"sleep 1000 & setsid sleep 1000 & wait", "still running after 1s", func(c *Confined) { c.Patience = time.Second }},
		"prints for ever": {"exec yes /usr/bin/something", "printed more than 32 MB", nil},
		"forks for ever":  {"f() { f | f & }; f; sleep 20", "processes", nil},
		"memory":          {"a=xxxxxxxxxxxxxxxx; while :; do a=$a$a; done", "", func(c *Confined) { c.Memory = 100 << 20 }},
		"memory of many": {"for i in 1 2 3 4 5 6 7 8; do (head -c 24m /dev/zero; sleep 15) | tail >/dev/null & done; sleep 15", "memory",
			func(c *Confined) { c.Memory = 100 << 20 }},
		"fills its disk": {"cat /dev/zero >/tmp/f", "space", nil},
		"fails":          {"set -e; echo one; false", "status 1: one", nil},
		"is killed":      {"kill -SEGV $$", "signal 11", nil},
		"says why":       {"echo first >&2; echo 'because of \033[31mthis' >&2; exit 7", "status 7: because of ?[31mthis", nil},
		"no interpreter": {"#!/nowhere/sh\n", `execute "/nowhere/sh": not found on this host`, nil},
		"not a program":  {"\x7fELF\x00\x01", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := script(t, tc.adjust, tc.script)
			var failed *ConfinedError
			if !errors.As(err, &failed) || !strings.Contains(failed.Error(), tc.says) || strings.Contains(failed.Error(), "\n") || failed.Remedy() == "" {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if failed != nil {
				t.Log(failed)
			}
		})
	}
}

func confinedCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	c := &Confined{Root: "/", Script: []byte("sleep 100"), User: os.Geteuid() != 0}
	if _, err := c.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	nothingLeft(t)
}

func TestInterpreter(t *testing.T) {
	for script, want := range map[string]string{
		"": "/bin/sh", "set -e\n": "/bin/sh", "#!/bin/bash\n": "/bin/bash", "#! /usr/bin/env  bash -x\n": "/usr/bin/env|bash -x",
		"#!relative\n": "/bin/sh", "#!": "/bin/sh", "#!/bin/sh": "/bin/sh", "\n#!/bin/bash": "/bin/sh",
	} {
		if got := strings.Join(interpreter([]byte(script)), "|"); got != want {
			t.Errorf("%q: %q, want %q", script, got, want)
		}
	}
}
