package pkgdb

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// composed is a root for dpkg with a merged /usr.
func composed(t *testing.T) string {
	root := t.TempDir()
	write(t, root, map[string]string{
		"usr/bin/tool": "", "etc/tool.conf": "", "usr/bin/stray": "", "usr/share/man/sh.1.distrib": "",
		"var/lib/dpkg/status": `Package: dpkg
Status: install ok installed
Architecture: amd64

Package: tool
Status: install ok installed
Architecture: amd64
Depends: libtool1 (>= 2.0), awk | mawk, nowhere
Description: it has
 Conffiles in its description: /etc/not 12
Conffiles:
 /etc/tool.conf 0123
 /etc/old tool.conf 4567 obsolete

Package: libtool1
Status: hold ok installed
Architecture: amd64
Multi-Arch: same

Package: libtool1
Status: install ok installed
Architecture: i386
Multi-Arch: same

Package: mawk
Status: install ok installed
Architecture: amd64
Provides: awk
Pre-Depends: libtool1:any

Package: gone
Status: deinstall ok config-files
Architecture: all

Package: half
Status: install ok half-configured
Architecture: all

Package: docs
Status: install ok installed
Architecture: all
`,
		"var/lib/dpkg/diversions":               "/usr/share/man/sh.1\n/usr/share/man/sh.1.distrib\ndash\n",
		"var/lib/dpkg/info/tool.list":           "/.\n/bin\n/bin/tool\n/etc\n/etc/tool.conf\n/usr/share/man/sh.1\n",
		"var/lib/dpkg/info/libtool1:amd64.list": "/lib/x86_64/libtool.so.1\n",
		"var/lib/dpkg/info/libtool1:i386.list":  "/lib/i386/libtool.so.1\n",
		"var/lib/dpkg/info/gone.list":           "/etc/gone.conf\n",
		"var/lib/dpkg/info/mawk.list":           "/usr/bin/mawk\n",
	})
	symlink(t, "usr/bin", filepath.Join(root, "bin"))
	symlink(t, "/usr/lib", filepath.Join(root, "lib"))
	write(t, root, map[string]string{"usr/lib/x86_64/libtool.so.1": ""})
	return root
}

func TestDpkgFiles(t *testing.T) {
	db := mustOpen(t, composed(t))
	files, err := db.Files("tool", "libtool1", "libtool1:i386", "docs", "gone", "half", "never", "gone")
	want := map[string][]string{
		"tool":     {"/bin", "/bin/tool", "/etc", "/etc/tool.conf", "/usr/share/man/sh.1.distrib"},
		"libtool1": {"/lib/x86_64/libtool.so.1"}, "libtool1:i386": {"/lib/i386/libtool.so.1"}, "docs": {},
	}
	if diff := cmp.Diff(want, files); diff != "" {
		t.Error(diff)
	}
	var missing *NoPackageError
	if !errors.As(err, &missing) || !slices.Equal(missing.Missing, []string{"gone", "half", "never"}) {
		t.Errorf("want the packages that are not there, got %v", err)
	}
}

func TestDpkgOwners(t *testing.T) {
	db := mustOpen(t, composed(t))
	got, err := db.Owners([]string{
		"/usr/bin/tool", "/etc/tool.conf", "/usr/bin/stray", "/bin/tool", "/usr/share/man/sh.1", "/usr/share/man/sh.1.distrib", "/etc/gone.conf",
		"/usr/lib/x86_64/libtool.so.1",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Owner{
		"/usr/bin/tool": {"tool", false}, "/etc/tool.conf": {"tool", true}, "/usr/share/man/sh.1.distrib": {"tool", false},
		"/usr/lib/x86_64/libtool.so.1": {"libtool1", false},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDpkgNeeds(t *testing.T) {
	got, err := mustOpen(t, composed(t)).Needs("tool")
	if err != nil || !slices.Equal(got, []string{"libtool1", "mawk", "tool"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// The database of this machine, where it is dpkg's, as dpkg itself reads it.
func TestDpkgAgrees(t *testing.T) {
	if !isFile(dpkgDir + "/status") {
		t.Skip("this machine has no dpkg database")
	}
	db := mustOpen(t, "/")
	var names []string
	for line := range strings.Lines(run(t, "dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${binary:Package}\n")) {
		if name, ok := strings.CutPrefix(line, "ii "); ok {
			names = append(names, strings.TrimSpace(name))
		}
	}
	files, err := db.Files(names...)
	if err != nil || len(files) < 50 {
		t.Fatalf("%d packages of %d, %v", len(files), len(names), err)
	}
	for n, name := range names {
		if n%20 != 0 {
			continue
		}
		var want []string
		place := ""
		for line := range strings.Lines(run(t, "dpkg", "-L", name)) {
			line = strings.TrimSuffix(line, "\n")
			if _, to, ok := strings.Cut(line, " diverted by "); ok {
				_, place, _ = strings.Cut(to, " to: ")
				want[len(want)-1] = place
				continue
			}
			if line != "/." && strings.HasPrefix(line, "/") {
				want = append(want, line)
			}
		}
		if !slices.Equal(want, files[name]) {
			t.Errorf("%s: %s", name, cmp.Diff(want, files[name]))
		}
	}
	start := time.Now()
	path, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	owners, err := db.Owners([]string{path, "/usr/bin/nobody-owns-this"})
	if err != nil || len(owners) != 1 || owners[path].Package == "" {
		t.Errorf("%v, %v", owners, err)
	}
	t.Logf("%d packages, owners in %v", len(names), time.Since(start))
}

// dpkg's own work in another root.
func TestDpkgByDpkg(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: dpkg installs nothing without")
	}
	root, build := t.TempDir(), t.TempDir()
	write(t, build, map[string]string{
		"DEBIAN/control":   "Package: made\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\nDescription: made on the spot\n",
		"DEBIAN/conffiles": "/etc/made.conf\n", "etc/made.conf": "x\n", "usr/share/made/a file": "y\n",
	})
	run(t, "dpkg-deb", "-b", build, filepath.Join(root, "made.deb"))
	write(t, root, map[string]string{"var/lib/dpkg/status": "", "var/lib/dpkg/info/format": "1\n", "var/lib/dpkg/updates/x": ""})
	if err := os.Remove(filepath.Join(root, "var/lib/dpkg/updates/x")); err != nil {
		t.Fatal(err)
	}
	run(t, "dpkg", "--root", root, "--force-not-root", "--log=/dev/null", "-i", filepath.Join(root, "made.deb"))
	db := mustOpen(t, root)
	files, err := db.Files("made")
	if err != nil || !slices.Contains(files["made"], "/usr/share/made/a file") || !slices.Contains(files["made"], "/etc/made.conf") {
		t.Errorf("%q, %v", files, err)
	}
	owners, err := db.Owners([]string{"/etc/made.conf", "/usr/share/made/a file"})
	if err != nil || !owners["/etc/made.conf"].Config || owners["/usr/share/made/a file"] != (Owner{Package: "made"}) {
		t.Errorf("%v, %v", owners, err)
	}
	before := snapshot(t, db.Fingerprint())
	run(t, "dpkg", "--root", root, "--force-not-root", "--log=/dev/null", "-r", "made")
	if snapshot(t, db.Fingerprint()) == before {
		t.Error("the fingerprint has not changed with a removal")
	}
	var missing *NoPackageError
	if _, err := Open(root); !errors.Is(err, ErrNoDatabase) {
		if db, err = Open(root); err != nil {
			t.Fatal(err)
		}
		if _, err = db.Files("made"); !errors.As(err, &missing) {
			t.Errorf("removed and still there: %v", err)
		}
	}
}

// snapshot is the state of files as a plan's checks see it.
func snapshot(t *testing.T, paths []string) string {
	t.Helper()
	if len(paths) == 0 {
		t.Fatal("no fingerprint")
	}
	out := ""
	for _, p := range paths {
		if st, err := os.Stat(p); err == nil {
			out += fmt.Sprint(p, st.Size(), st.ModTime(), st.Sys())
		}
	}
	return out
}

func TestApk(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"lib/apk/db/installed": `C:Q1abc=
P:musl
V:1.2
p:so:libc.musl.so.1=1
F:lib
R:ld-musl.so.1
a:0:0:755

P:tool
D:so:libc.musl.so.1 /bin/sh !clash
F:
F:etc
R:tool.conf
F:usr/bin
R:tool
M:0:0:1777
`})
	db := mustOpen(t, root)
	files, err := db.Files("tool")
	if want := []string{"/etc", "/etc/tool.conf", "/usr/bin", "/usr/bin/tool"}; err != nil || !slices.Equal(files["tool"], want) {
		t.Errorf("%q, %v", files, err)
	}
	owners, err := db.Owners([]string{"/etc/tool.conf", "/lib/ld-musl.so.1"})
	if err != nil || !maps.Equal(owners, map[string]Owner{"/etc/tool.conf": {"tool", true}, "/lib/ld-musl.so.1": {"musl", false}}) {
		t.Errorf("%v, %v", owners, err)
	}
	if needs, err := db.Needs("tool"); err != nil || !slices.Equal(needs, []string{"musl", "tool"}) {
		t.Errorf("%q, %v", needs, err)
	}
}

func TestPacman(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{
		"var/lib/pacman/local/ALPM_DB_VERSION":   "9\n",
		"var/lib/pacman/local/tool-1.0-1/desc":   "%NAME%\ntool\n\n%VERSION%\n1.0-1\n\n%DEPENDS%\nglibc>=2.3\nlibz.so=1-64\n\n",
		"var/lib/pacman/local/tool-1.0-1/files":  "%FILES%\nusr/\nusr/bin/\nusr/bin/tool\netc/tool.conf\n\n%BACKUP%\netc/tool.conf\tabc\n",
		"var/lib/pacman/local/glibc-2.40-1/desc": "%NAME%\nglibc\n\n",
		"var/lib/pacman/local/zlib-1.3-1/desc":   "%NAME%\nzlib\n\n%PROVIDES%\nlibz.so=1-64\n",
		"var/lib/pacman/local/zlib-1.3-1/files":  "%FILES%\nusr/lib/libz.so.1\n",
		"var/lib/pacman/local/zlib-1.3-1/mtree":  "x",
		"var/lib/pacman/local/unused-1-1/desc":   "%NAME%\nunused\n",
	})
	db := mustOpen(t, root)
	files, err := db.Files("tool", "glibc")
	if want := []string{"/usr", "/usr/bin", "/usr/bin/tool", "/etc/tool.conf"}; err != nil || !slices.Equal(files["tool"], want) {
		t.Errorf("%q, %v", files, err)
	}
	owners, err := db.Owners([]string{"/etc/tool.conf", "/usr/lib/libz.so.1"})
	if err != nil || !maps.Equal(owners, map[string]Owner{"/etc/tool.conf": {"tool", true}, "/usr/lib/libz.so.1": {"zlib", false}}) {
		t.Errorf("%v, %v", owners, err)
	}
	if needs, err := db.Needs("tool"); err != nil || !slices.Equal(needs, []string{"glibc", "tool", "zlib"}) {
		t.Errorf("%q, %v", needs, err)
	}
}

func TestNoDatabase(t *testing.T) {
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNoDatabase) {
		t.Errorf("%v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "nothing")); err == nil {
		t.Error("a root that is not there")
	}
}

// Two databases of one host: the first that knows a package answers.
func TestSeveralDatabases(t *testing.T) {
	root := composed(t)
	write(t, root, map[string]string{"usr/lib/apk/db/installed": "P:musl\nF:lib\nR:ld-musl.so.1\n\nP:tool\nF:opt\nR:tool\n"})
	db := mustOpen(t, root)
	files, err := db.Files("musl", "tool", "never")
	var missing *NoPackageError
	if !errors.As(err, &missing) || !slices.Equal(missing.Missing, []string{"never"}) || missing.Database != "dpkg, apk" {
		t.Errorf("%v", err)
	}
	if len(files["musl"]) != 2 || len(files["tool"]) != 5 {
		t.Errorf("%q", files)
	}
	if owners, err := db.Owners([]string{"/usr/lib/ld-musl.so.1", "/usr/bin/tool"}); err != nil || len(owners) != 2 {
		t.Errorf("%v, %v", owners, err)
	}
}
