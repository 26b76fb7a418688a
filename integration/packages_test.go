package integration

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// An image without a package manager, and a program that the host has as a package: here only that its files are there;
// to run it takes libraries.
func TestHostSystemZypper(t *testing.T) { fixture.Each(t, testHostSystemZypper) }

func testHostSystemZypper(t *testing.T, by fixture.Caller) {
	zypper := fixture.RequireProgram(t, "zypper")
	s := started(t, by)
	res := s.Register("zypper", "probe", "--target", "/bin/probe", "--host-package", "zypper", "--host-package", "zypper-common", "--host-deps", "files")
	t.Logf("registered in %v: %s", res.Took, res.Stderr)
	if res.Took > 10*time.Second { // a second on an idle machine
		t.Errorf("the registration took %v", res.Took)
	}
	want, err := os.ReadFile(zypper)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.MustApp("zypper", "cat", zypper); got.Stdout != string(want) {
		t.Errorf("%s is not the host's: %d bytes of %d", zypper, len(got.Stdout), len(want))
	}
	for _, path := range []string{"/etc/zypp/apt-packagemap.d", "/usr/share/man/man8/zypper.8.gz"} {
		host, err := os.Lstat(path)
		if err != nil {
			t.Logf("this host lacks %s", path)
			continue
		}
		if got := s.MustApp("zypper", "stat", path); strings.HasPrefix(got.Stdout, "none") || strings.HasPrefix(got.Stdout, "40") != host.IsDir() {
			t.Errorf("%s: %v", path, got)
		}
	}
	if res := s.MustApp("zypper", "stat", "/var/lib/dpkg/status", "/usr/bin/dpkg"); res.Stdout != "none\nnone\n" {
		t.Errorf("more than was asked for: %s", res.Stdout)
	}
	// By flake-run as well, and there is no such command without.
	if res := s.Run("--host-package", "zypper", "--host-deps=files", "probe", "/bin/probe", "stat", zypper); strings.HasPrefix(res.Stdout, "none") || res.Code != 0 {
		t.Errorf("%v", res)
	}
	s.Refused(s.Run("probe", zypper), "zypper")
}

func TestHostPackageThatIsNotThere(t *testing.T) { fixture.Each(t, testHostPackageThatIsNotThere) }

func testHostPackageThatIsNotThere(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	args := []string{"register", "--container", "probe", "--app", s.Link("lacking"), "--target", "/bin/probe", "--host-package", "coreutils", "--host-package", "no-such-package"}
	s.Refused(s.Ctl(args...), "lacking", "no-such-package", "--ignore-missing-packages")
	if _, err := os.Lstat(s.Link("lacking")); err == nil {
		t.Error("a refused registration has left a link")
	}
	if _, err := os.Lstat(filepath.Join(s.Registrations, "lacking.yaml")); err == nil {
		t.Error("a refused registration has left a file")
	}
	res := s.MustCtl(append(args, "--ignore-missing-packages")...)
	if !strings.Contains(res.Stderr, "no-such-package") {
		t.Errorf("nothing is said of what is missing: %s", res.Stderr)
	}
	if out := s.MustApp("lacking", "stat", "/usr/bin/env").Stdout; strings.HasPrefix(out, "none") {
		t.Errorf("what the host has is not there: %s", out)
	}
	for _, bad := range []string{"../x", "-x", "a b", "a/b"} {
		s.Refused(s.Ctl("register", "--container", "probe", "--app", s.Link("bad"), "--target", "/bin/probe", "--host-package="+bad), "package")
	}
}

// What a package manager does between two starts is seen by the second.
func TestPackageUpdate(t *testing.T) { fixture.Each(t, testPackageUpdate) }

func testPackageUpdate(t *testing.T, by fixture.Caller) {
	fixture.RequireRoot(t, "another package database in the place of the machine's")
	const place = "/var/lib/dpkg"
	if _, err := os.Stat(place); err != nil {
		t.Skipf("needs a place for dpkg's database: %v", err)
	}
	s := started(t, by)
	host, database := hostDir(t, by), t.TempDir()
	if err := os.Chmod(filepath.Dir(database), 0o755); err != nil {
		t.Fatal(err)
	}
	update := func(files map[string]string) {
		t.Helper()
		list := "/.\n"
		for name, content := range files {
			s.WriteFile(filepath.Join(host, name), content)
			list += filepath.Join(host, name) + "\n"
		}
		for name, content := range map[string]string{
			"made.list": list, "status": "Package: made\nStatus: install ok installed\nArchitecture: all\nVersion: " + list + "\n",
		} {
			path := filepath.Join(database, name)
			if err := errors.Join(os.WriteFile(path+"-new", []byte(strings.ReplaceAll(content, "/.\n", "")), 0o644), os.Rename(path+"-new", path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink(".", filepath.Join(database, "info")); err != nil {
		t.Fatal(err)
	}
	update(map[string]string{"first": "1\n"})
	if err := unix.Mount(database, place, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(place, 0); err != nil {
			t.Error(err)
		}
	}()
	s.Register("made", "probe", "--target", "/bin/probe", "--host-package", "made")
	first, second := filepath.Join(host, "first"), filepath.Join(host, "second")
	if out := s.MustApp("made", "cat", first).Stdout; out != "1\n" {
		t.Errorf("%q", out)
	}
	update(map[string]string{"first": "one\n", "second": "2\n"})
	if out := s.MustApp("made", "cat", first).Stdout + s.MustApp("made", "cat", second).Stdout; out != "one\n2\n" {
		t.Errorf("after an update: %q", out)
	}
	update(map[string]string{"second": "2\n"})
	if out := s.MustApp("made", "stat", first).Stdout; out != "none\n" {
		t.Errorf("a file that is no longer the package's: %q", out)
	}
	if err := os.WriteFile(filepath.Join(database, "status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	res := s.App("made", "exit", "0")
	s.Refused(res, "package")
	if res.Code != 125 {
		t.Errorf("the package is gone: %v", res)
	}
}

// Scripts of images that are no list of packages.
func TestSystemFilesScript(t *testing.T) { fixture.Each(t, testSystemFilesScript) }

func testSystemFilesScript(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	host := hostDir(t, by)
	s.WriteFile(filepath.Join(host, "listed"), "the host's\n")
	s.WriteFile(filepath.Join(host, "not listed"), "secret\n")
	script := "#!/bin/sh\nfor f in listed missing; do echo " + host + "/$f; done\necho '(contains no files)'\necho " + host + "\n"
	s.Load(fixture.Delta(t, "scripted", `file systemfiles mode=0755 data=`+quote(script)))
	s.Register("scripted", "scripted", "--base", "probe", "--target", "/bin/probe")
	if res := s.MustApp("scripted", "cat", host+"/listed"); res.Stdout != "the host's\n" {
		t.Errorf("%v", res)
	}
	if res := s.MustApp("scripted", "stat", host+"/not listed", host+"/missing", "/systemfiles"); res.Stdout != "none\nnone\nnone\n" {
		t.Errorf("%v", res)
	}
}

func TestBadSystemFiles(t *testing.T) { fixture.Each(t, testBadSystemFiles) }

func testBadSystemFiles(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	host := hostDir(t, by)
	for name, test := range map[string]struct{ script, want string }{
		"fails":    {"set -e\necho 'package x is not installed'\nexit 1\n", "x is not installed"},
		"garbage":  {"head -c 1000 /dev/urandom\n", "printed no list"},
		"relative": {"echo usr/bin/env\n", "printed no list"},
		"writes":   {"set -e\necho x >" + host + "/written\n", "status"},
		"remounts": {"set -e\nmount -o remount,rw /\n", "status"},
		"network":  {"set -e\ntest $(grep -vc 'lo:\\||' /proc/net/dev) != 0\n", "status"},
		"prints":   {"yes /usr/bin/something | head -c 1000000000\n", "printed more than 32 mb"},
		"forks":    {"f() { f | f & }; f; sleep 20\n", "processes"},
		"no shell": {"#!/usr/bin/no-such-shell\n", "no-such-shell"},
		"too long": {"#" + strings.Repeat("x", 2<<20), "is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			s.Load(fixture.Delta(t, "bad", `file systemfiles mode=0755 data=`+quote(test.script)))
			res := s.Ctl("register", "--container", "bad", "--base", "probe", "--app", s.Link("bad"), "--target", "/bin/probe")
			s.Refused(res, test.want, "systemfiles")
			if strings.Count(res.Stderr, "\n") != 2 || res.Took > 25*time.Second {
				t.Errorf("want two lines soon: %v", res)
			}
			if _, err := os.Lstat(s.Link("bad")); err == nil {
				t.Error("a refused registration has left a link")
			}
			if left, err := os.ReadDir(host); err != nil || len(left) > 0 {
				t.Errorf("the script has written to the host: %v, %v", left, err)
			}
		})
	}
}

// KIWI's rpm images on a host of another kind.
func TestKiwiSystemFiles(t *testing.T) { fixture.Each(t, testKiwiSystemFiles) }

func testKiwiSystemFiles(t *testing.T, by fixture.Caller) {
	base, delta := fixture.Kiwi(t, "rpmbase"), fixture.Kiwi(t, "rpmdelta")
	if exec.Command("dpkg-query", "-W", "dpkg").Run() != nil || exec.Command("dpkg-query", "-W", "glibc").Run() == nil {
		t.Skip("this is no host of dpkg's, whose packages have other names")
	}
	s := real(t, by)
	s.MustCtl("load", s.Share(base))
	s.MustCtl("load", s.Share(delta))
	register := []string{"register", "--container", "rpmdelta", "--base", "rpmbase", "--app", s.Link("rpm"), "--target", "/bin/bash"}
	s.Refused(s.Ctl(register...), `"rpm"`, "rpmbase", "glibc", "install")
	res := s.MustCtl(append(register, "--ignore-missing-packages")...)
	if !strings.Contains(res.Stderr, "glibc") {
		t.Errorf("nothing is said of what is missing: %s", res.Stderr)
	}
	sameFile(t, s, func(args ...string) *fixture.Result { return s.App("rpm", "-c", "sha256sum "+args[1]) }, "/usr/bin/openssl")
}

// rpmHost is a directory that stands for a host of rpm's: with a database, made by rpm itself, of packages with those names.
func rpmHost(t *testing.T, names ...string) string {
	t.Helper()
	rpmbuild, rpm := fixture.RequireProgram(t, "rpmbuild"), fixture.RequireProgram(t, "rpm")
	root, top := t.TempDir(), t.TempDir()
	for _, name := range names {
		spec := filepath.Join(top, name+".spec")
		text := "Name: " + name + "\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\n%description\nx\n%install\n" +
			"mkdir -p %{buildroot}/usr/share/" + name + " %{buildroot}/var/log\necho " + name + " >%{buildroot}/usr/share/" + name + "/file\n" +
			"echo x >%{buildroot}/var/log/" + name + "\n%files\n/usr/share/" + name + "\n%ghost /var/log/" + name + "\n"
		if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(rpmbuild, "-bb", "--quiet", "--define", "_topdir "+top, spec).CombinedOutput(); err != nil {
			t.Fatalf("rpmbuild: %v\n%s", err, out)
		}
	}
	packages, err := filepath.Glob(filepath.Join(top, "RPMS", "noarch", "*.rpm"))
	if err != nil || len(packages) != len(names) {
		t.Fatalf("rpmbuild made %q, %v", packages, err)
	}
	args := append([]string{"--root", root, "--dbpath", "/var/lib/rpm", "-i", "--nodeps", "--noscripts"}, packages...)
	if out, err := exec.Command(rpm, args...).CombinedOutput(); err != nil {
		t.Fatalf("rpm: %v\n%s", err, out)
	}
	return root
}

// The same images where rpm has the packages.
func TestKiwiSystemFilesOfAnRPMHost(t *testing.T) {
	fixture.RequireRoot(t, "rpm --root")
	base, delta := fixture.Kiwi(t, "rpmbase"), fixture.Kiwi(t, "rpmdelta")
	names := []string{"ca-certificates", "coreutils", "glibc", "openssl", "release-meta"}
	host := rpmHost(t, names...)
	s := real(t, fixture.Root)
	s.MustCtl("load", s.Share(base))
	s.MustCtl("load", s.Share(delta))
	store, err := rootfs.Open(s.Root)
	if err != nil {
		t.Fatal(err)
	}
	images, err := rootfs.OpenSet(store, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &compile.Compiler{Store: store, Images: images, HostRoot: host, Caller: compile.Caller{Privileged: true}}
	f := &flake.Flake{Container: flake.Container{Name: "rpmdelta", BaseContainer: "rpmbase", TargetAppPath: "/bin/bash"}}
	req, err := compile.FromFlake("rpm", f)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Compile(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]string{}
	for _, l := range res.Host.Linked {
		linked[l.Path] = l.Origin
	}
	for _, name := range names {
		if linked["usr/share/"+name+"/file"] != "rpmbase" {
			t.Errorf("the files of %s are not linked", name)
		}
		if linked["var/log/"+name] != "" {
			t.Errorf("the ghost of %s is linked", name)
		}
	}
	if ok, changed := res.Plan.Fresh(); !ok {
		t.Errorf("the plan is stale at once: %s", changed)
	}
	if out, err := exec.Command("rpm", "--root", host, "--dbpath", "/var/lib/rpm", "-e", "--nodeps", "--justdb", "openssl").CombinedOutput(); err != nil {
		t.Fatalf("rpm: %v\n%s", err, out)
	}
	if ok, _ := res.Plan.Fresh(); ok {
		t.Error("the removal of a package makes no difference to the plan")
	}
	if _, err = c.Compile(context.Background(), req); err == nil || !strings.Contains(err.Error(), "openssl") {
		t.Errorf("a package is gone: %v", err)
	}
}
