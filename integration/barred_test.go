package integration

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// barred runs a command as the caller where nobody can make a namespace of a kind: in a user namespace whose limit is 0.
func barred(s *fixture.Sandbox, kind, path string, args ...string) *fixture.Result {
	script := `echo 0 >/proc/sys/user/max_` + kind + `_namespaces && exec setpriv --reuid ` + strings.Split(s.By.Owner(), ":")[0] +
		` --regid ` + strings.Split(s.By.Owner(), ":")[1] + ` --clear-groups "$0" "$@"`
	return s.ExecWith(func(cmd *exec.Cmd) {
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, GidMappingsEnableSetgroups: true}
	}, "/bin/sh", append([]string{"-c", script, path}, args...)...)
}

func TestUserNamespacesBarred(t *testing.T) {
	fixture.RequireRoot(t, "to set a limit")
	s := started(t, fixture.User)
	s.Refused(barred(s, "user", s.Link("probe"), "id"), "user.max_user_namespaces")
	s.Refused(barred(s, "user", s.Binary("flake-run"), "probe", "/bin/probe", "id"), "user.max_user_namespaces")
	// What needs none goes on.
	if res := barred(s, "user", s.Binary("flake-ctl"), "images"); res.Code != 0 || !strings.Contains(res.Stdout, "probe") {
		t.Errorf("%v", res)
	}
	s.Load(fixture.Delta(t, "other", "file other"))
}

// Each kind has a limit of its own, and what is told is the one that bars. By root's own start, by a user's, whose early
// one makes all in one go, and by one that Go begins, in its user namespace already.
func TestOtherNamespacesBarred(t *testing.T) {
	fixture.RequireRoot(t, "to set a limit")
	fixture.Each(t, func(t *testing.T, by fixture.Caller) {
		s := started(t, by)
		for _, kind := range []string{"mnt", "pid", "ipc", "uts", "cgroup", "net"} {
			t.Run(kind, func(t *testing.T) {
				s := s.In(t)
				for _, run := range [][]string{{"probe", "/bin/probe", "id"}, {"probe", "/bin/probe", "id"}, {"--preserve-fds", "probe", "/bin/probe", "id"}} {
					run = append([]string{"--network", "none"}, run...)
					refusedInTwoLines(t, s, barred(s, kind, s.Binary("flake-run"), run...), "make namespaces: no space left on device", "user.max_"+kind+"_namespaces=")
				}
			})
		}
	})
}

// A container or a service manager around us may forbid namespaces by a filter on system calls.
func TestUserNamespacesFiltered(t *testing.T) {
	fixture.RequireRoot(t, "to become another user behind a filter")
	alice := started(t, fixture.User)
	enforcing := alice.Tmp // as /sys/fs
	alice.Mkdir(filepath.Join(enforcing, "selinux"))
	alice.WriteFile(filepath.Join(enforcing, "selinux", "enforce"), "1")
	for behaviour, test := range map[string]struct {
		answer syscall.Errno
		over   map[string]string
		want   []string
	}{
		"not permitted":       {unix.EPERM, nil, []string{"make user namespace: operation not permitted", "a seccomp filter bars it", "/proc/self/status", "seccomp=unconfined"}},
		"denied":              {unix.EACCES, nil, []string{"make user namespace: permission denied", "a seccomp filter bars it"}},
		"no such system call": {unix.ENOSYS, nil, []string{"make user namespace: function not implemented", "a seccomp filter may bar it"}},
		// The nearest that this kernel gets to SELinux's own answer.
		"denied with SELinux enforcing": {unix.EACCES, map[string]string{"/sys/fs": enforcing}, []string{"make user namespace: permission denied", "SELinux", "user_namespace create"}},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := alice.In(t)
			s.Mounts(test.over)
			s.WithoutUserNamespaces(test.answer)
			refusedInTwoLines(t, s, s.App("probe", "id"), test.want...)
			refusedInTwoLines(t, s, s.Run("probe", "/bin/probe", "id"), test.want...)
			// What needs none goes on.
			if res := s.Ctl("images"); res.Code != 0 || !strings.Contains(res.Stdout, "probe") {
				t.Errorf("%v", res)
			}
			s.Load(fixture.Delta(t, "other", "file other"))
		})
	}
}

func TestWithinAUserNamespace(t *testing.T) { fixture.Each(t, testWithinAUserNamespace) }

// testWithinAUserNamespace starts as the root of a namespace of one id that somebody else made.
func testWithinAUserNamespace(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	unshare := fixture.RequireProgram(t, "unshare")
	for behaviour, options := range map[string][]string{
		"root of it":         {"-Ur"},
		"himself":            {"-U", "--map-current-user"},
		"its own mounts":     {"-Urm"},
		"pids, too":          {"-Urmpf", "--mount-proc"},
		"one within another": {"-Ur", unshare, "-Ur"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := s.In(t).With("FLAKES_ROOT=" + s.Root)
			if res := s.Exec(unshare, append(options, s.Binary("flake-run"), "probe", "/bin/probe", "exit", "9")...); res.Code != 9 {
				t.Errorf("%v", res)
			}
		})
	}
	if !by.IsRoot() {
		for range 2 {
			if res := s.Exec(unshare, "-Ur", s.Link("probe"), "exit", "9"); res.Code != 9 {
				t.Errorf("by link: %v", res)
			}
			if res := s.App("probe", "exit", "8"); res.Code != 8 {
				t.Errorf("outside again: %v", res)
			}
		}
	}
}
