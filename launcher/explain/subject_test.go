package explain

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree writes files below a new directory: a name that ends in a slash is a directory, a text that begins with "-> " a
// symlink.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if name[len(name)-1] == '/' {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if len(text) > 3 && text[:3] == "-> " {
			must(t, os.Symlink(text[3:], path))
			continue
		}
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

// subject is a flake of a base, a delta and files of a host, as the compiler would leave it. It is started by somebody else
// than root.
func subject(t *testing.T) (s Subject, host string) {
	t.Helper()
	base := tree(t, map[string]string{
		"bin/app": "base's app", "bin/sh": "sh", "etc/conf": "base", "usr/lib/one": "1", "usr/lib/two": "2", "opt/gone/x": "x", "lib": "-> usr/lib", "dev/left": "x",
	})
	delta := tree(t, map[string]string{"bin/app": "the delta's app", "removed": "usr/bin/tool\n", "loop": "-> loop"})
	// A whiteout that anybody can write; the form is that of stores of ordinary users.
	white := filepath.Join(delta, "opt/gone")
	must(t, os.MkdirAll(filepath.Dir(white), 0o755))
	must(t, unix.Mknod(white, unix.S_IFCHR, 0))
	host = tree(t, map[string]string{"usr/bin/tool": "the host's tool", "etc/conf": "host", "etc/hosts": "h", "usr/bin/other": "x", "share/file": "s"})
	compiled := &compile.Result{
		Plan: &plan.Plan{
			Entrypoint: []string{"/bin/app"}, Cmd: []string{"--go"}, UID: 1000, GID: 1000, Env: []string{"HOME=/home/x"}, Cwd: "/", Writable: "tmpfs",
			HostLayer: &plan.HostLayer{Dir: "/layer", Data: []string{"/usr"}},
			Copies:    []plan.Copy{{Source: host + "/etc/hosts", Target: "/etc/hosts", Mode: 0o640}},
			Binds: []plan.Bind{
				{Source: host + "/share", Target: "/mnt/%WHERE"}, {Source: host + "/share/file", Target: "/dev/sub/mine"}, {Target: "/scratch", Tmpfs: "1m"}, {Source: host + "/none", Target: "/no/optional", Optional: true},
			},
			Seed: []plan.Node{{Path: "run", Mode: unix.S_IFDIR | 0o711, UID: 7, GID: 8}},
		},
		Root: compile.Root{
			Layers: []compile.Layer{{Dir: base, Role: compile.RoleBase, Name: "b", Digest: "sha256:0123456789abcdef", ID: "b1"}, {Dir: delta, Role: compile.RoleDelta, Name: "d", Digest: "sha256:fedcba9876543210", ID: "d1"}},
			Nodes: []hostlink.Node{
				{Path: "/removed", Kind: hostlink.KindWhiteout}, {Path: "/usr/bin", Kind: hostlink.KindDir, Mode: 0o755},
				{Path: "/etc/link", Kind: hostlink.KindSymlink, Mode: 0o777, Target: "conf"},
			},
		},
	}
	compiled.Host.Linked = []hostlink.Linked{
		{Path: "usr/bin/tool", Target: "/usr/bin/tool", Source: host + "/usr/bin/tool", Kind: hostlink.KindFile, Origin: "d", Line: 1, From: hostlink.SourceRemoved},
		{Path: "etc/conf", Target: "/etc/conf", Source: host + "/etc/conf", Kind: hostlink.KindFile, Origin: "pkg", Line: 2, From: hostlink.SourcePackage},
	}
	compiled.Host.Bound = map[string]string{"/etc/conf": "usually edited in place"}
	compiled.Host.Skipped = []hostlink.Skip{
		{Path: "var/log/x", Origin: "d", Line: 3, Cause: hostlink.CauseNoise, Reason: "log", From: hostlink.SourceRemoved},
		{Path: "lib/two", Origin: "d", Line: 4, Cause: hostlink.CauseMissing, Reason: "the host has no such file", From: hostlink.SourceRemoved},
	}
	compiled.Host.Dangling = []hostlink.Dangling{
		{Path: "/etc/link", Target: "conf", Missing: "/usr/share/lost", Origin: "d", Line: 5, Reason: "it lies elsewhere than the link", From: hostlink.SourceRemoved},
	}
	compiled.Host.Replaced = []hostlink.Replaced{{Path: "/etc/link", Was: hostlink.KindDir, Now: hostlink.KindSymlink}}
	compiled.Host.Unreadable = []string{host + "/secret"}
	return Subject{
		Name: "app", File: "/etc/flakes/app.yaml", Flake: &flake.Flake{Container: flake.Container{HostAppPath: "/usr/bin/app"}},
		Compiled: compiled, State: PlanState{State: "fresh"}, Caller: compile.Caller{UID: 1000, GID: 1000},
		Getenv: func(name string) (string, bool) { return "here", name == "WHERE" },
	}, host
}
