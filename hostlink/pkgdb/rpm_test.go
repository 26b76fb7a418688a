package pkgdb

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const spec = `Name: tool
Version: 1
Release: 1
Summary: made on the spot
License: none
BuildArch: noarch
Requires: lib-of-tool
%description
made on the spot
%package -n lib-of-tool-1
Summary: what it needs
Provides: lib-of-tool
%description -n lib-of-tool-1
what it needs
%package -n empty
Summary: nothing
%description -n empty
nothing
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc %{buildroot}/usr/share/tool %{buildroot}/usr/lib %{buildroot}/var/log
echo x > %{buildroot}/usr/bin/tool
echo x > %{buildroot}/etc/tool.conf
echo x > "%{buildroot}/usr/share/tool/a file"
echo x > %{buildroot}/usr/lib/libtool.so.1
echo x > %{buildroot}/var/log/tool.log
%files
/usr/bin/tool
%config /etc/tool.conf
%dir /usr/share/tool
"/usr/share/tool/a file"
%ghost /var/log/tool.log
%files -n lib-of-tool-1
/usr/lib/libtool.so.1
%files -n empty
`

// rpmRoot has a database of rpm's own making: SQLite, as Debian's rpm writes no other form.
func rpmRoot(t *testing.T, dbpath string) string {
	t.Helper()
	root, top := t.TempDir(), t.TempDir()
	write(t, top, map[string]string{"tool.spec": spec})
	run(t, "rpmbuild", "-bb", "--quiet", "--define", "_topdir "+top, filepath.Join(top, "tool.spec"))
	packages, err := filepath.Glob(filepath.Join(top, "RPMS/noarch/*.rpm"))
	if err != nil || len(packages) != 3 {
		t.Fatalf("rpmbuild made %q, %v", packages, err)
	}
	run(t, "rpm", slices.Concat([]string{"--root", root, "--dbpath", dbpath,
		"-i", "--justdb", "--nodeps", "--noscripts", "--notriggers", "--ignorearch", "--ignoreos"}, packages)...)
	return root
}

func TestRPM(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: rpm --root")
	}
	for _, dir := range rpmDirs {
		t.Run(dir, func(t *testing.T) {
			root := rpmRoot(t, dir)
			before := listing(t, filepath.Join(root, dir))
			db := mustOpen(t, root)
			checkRPM(t, db)
			if after := listing(t, filepath.Join(root, dir)); after != before {
				t.Errorf("reading has changed the database: %s\n%s", before, after)
			}
			fingerprint := snapshot(t, db.Fingerprint())
			run(t, "rpm", "--root", root, "--dbpath", dir, "-e", "--justdb", "--nodeps", "empty")
			if snapshot(t, db.Fingerprint()) == fingerprint {
				t.Error("the fingerprint has not changed with a removal")
			}
		})
	}
}

func checkRPM(t *testing.T, db Database) {
	t.Helper()
	files, err := db.Files("tool", "empty", "glibc")
	var missing *NoPackageError
	if !errors.As(err, &missing) || !slices.Equal(missing.Missing, []string{"glibc"}) {
		t.Errorf("%v", err)
	}
	slices.Sort(files["tool"])
	want := []string{"/etc/tool.conf", "/usr/bin/tool", "/usr/share/tool", "/usr/share/tool/a file"}
	if !slices.Equal(files["tool"], want) || len(files["empty"]) != 0 || files["empty"] == nil {
		t.Errorf("%q", files)
	}
	if files, err := db.Files("tool.noarch"); err != nil || len(files["tool.noarch"]) != len(want) {
		t.Errorf("by name and architecture: %q, %v", files, err)
	}
	owners, err := db.Owners([]string{"/etc/tool.conf", "/usr/lib/libtool.so.1", "/var/log/tool.log", "/usr/bin/stray"})
	if err != nil || len(owners) != 2 || owners["/etc/tool.conf"] != (Owner{"tool", true}) || owners["/usr/lib/libtool.so.1"] != (Owner{Package: "lib-of-tool-1"}) {
		t.Errorf("%v, %v", owners, err)
	}
	if needs, err := db.Needs("tool"); err != nil || !slices.Equal(needs, []string{"lib-of-tool-1", "tool"}) {
		t.Errorf("%q, %v", needs, err)
	}
}

// What rpm itself says is asked for where we can't read a database.
func TestRPMByTheTool(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: rpm --root")
	}
	root := rpmRoot(t, "/var/lib/rpm")
	h, err := newHost(root)
	if err != nil {
		t.Fatal(err)
	}
	db := &plain{kind: "rpm", host: h}
	if err := db.askRPM(filepath.Join(root, "var/lib/rpm"), errors.New("cause")); err != nil {
		t.Fatal(err)
	}
	checkRPM(t, db)
}

func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e.Name()+" "+info.ModTime().String())
	}
	return strings.Join(out, "\n")
}

// Databases of real machines, which the library that reads their containers brings along.
func TestRPMOfOthers(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/knqyf263/go-rpmdb").Output()
	if err != nil {
		t.Skipf("the module is not at hand: %v", err)
	}
	data := filepath.Join(strings.TrimSpace(string(out)), "pkg", "testdata")
	for name, tc := range map[string]struct{ file, ask, has string }{
		"centos7-plain": {"Packages", "bash", "/bin/bash"}, // Berkeley DB; a name before the merge
		"sle15-bci":     {"Packages.db", "bash", "/bin/bash"},
		"fedora35":      {"rpmdb.sqlite", "bash", "/usr/bin/bash"},
	} {
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(filepath.Join(data, name, tc.file))
			if err != nil {
				t.Skipf("the module has no such database: %v", err)
			}
			root := t.TempDir()
			write(t, root, map[string]string{"var/lib/rpm/" + tc.file: string(content)})
			db := mustOpen(t, root)
			files, err := db.Files(tc.ask, "glibc")
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(files[tc.ask], tc.has) && !slices.Contains(files[tc.ask], "/usr"+tc.has) {
				t.Errorf("%s has %d files, not %s", tc.ask, len(files[tc.ask]), tc.has)
			}
		})
	}
}

// What a running rpm has committed is in a second file until it ends.
func TestRPMWhileItIsWritten(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"var/lib/rpm/none": ""})
	file := filepath.Join(root, "var/lib/rpm/rpmdb.sqlite")
	w, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.SetMaxOpenConns(1)
	add := func(query string, args ...any) {
		t.Helper()
		if _, err := w.Exec(query, args...); err != nil {
			t.Fatal(err)
		}
	}
	for _, query := range []string{"PRAGMA journal_mode = WAL", "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)", "PRAGMA wal_checkpoint(TRUNCATE)"} {
		add(query)
	}
	add("INSERT INTO Packages (blob) VALUES (?)", headerOf(map[uint32]headerValue{tagName: {typeText, 1, "tool\x00"}}))
	db := mustOpen(t, root)
	if files, err := db.Files("tool"); err != nil {
		t.Errorf("%q, %v", files, err)
	}
	if want := []string{file, file + walSuffix}; !slices.Equal(db.Fingerprint(), want) {
		t.Errorf("fingerprint %q", db.Fingerprint())
	}
}

func TestDamagedHeaders(t *testing.T) {
	good := headerOf(map[uint32]headerValue{
		tagName: {typeText, 1, "tool\x00"}, tagBaseNames: {typeTexts, 2, "a\x00b\x00"}, tagDirNames: {typeTexts, 1, "/d/\x00"},
		tagDirIndexes: {typeInt32, 2, "\x00\x00\x00\x00\x00\x00\x00\x00"},
	})
	db := &plain{}
	if err := db.addRPM(good); err != nil || !slices.Equal(db.packages[0].files, []string{"/d/a", "/d/b"}) {
		t.Fatalf("%v, %+v", err, db.packages)
	}
	// Cut anywhere it is refused or read as far as it goes, and nothing panics; so with any byte changed.
	for n := range good {
		_ = (&plain{}).addRPM(good[:n])
		for _, b := range []byte{0, 0x7f, 0xff} {
			bad := bytes.Clone(good)
			bad[n] = b
			_ = (&plain{}).addRPM(bad)
		}
	}
	if err := (&plain{}).addRPM(good[:len(good)-1]); err == nil {
		t.Error("a header that is cut short was taken")
	}
}

type headerValue struct {
	kind, count uint32
	data        string
}

func headerOf(tags map[uint32]headerValue) []byte {
	var index, data []byte
	for tag, v := range tags {
		for _, word := range []uint32{tag, v.kind, uint32(len(data)), v.count} {
			index = binary.BigEndian.AppendUint32(index, word)
		}
		data = append(data, v.data...)
	}
	b := binary.BigEndian.AppendUint32(nil, uint32(len(tags)))
	return slices.Concat(binary.BigEndian.AppendUint32(b, uint32(len(data))), index, data)
}
