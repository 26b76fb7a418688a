package integration

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

func TestKiwiJoe(t *testing.T) { fixture.EachUnranged(t, testKiwiJoe) }

func testKiwiJoe(t *testing.T, by fixture.Caller) {
	base, joe := fixture.Kiwi(t, "basesystem"), fixture.Kiwi(t, "joe")
	s := real(t, by)
	s.MustCtl("load", s.Share(base))
	s.MustCtl("load", s.Share(joe))
	s.Register("joe", "joe", "--base", "basesystem", "--target", "/usr/bin/joe")
	// Without a terminal joe reads what to do from a file of keys: write and leave.
	res := s.Exec("/bin/sh", "-c", s.Link("joe")+" --help 2>&1 </dev/null | cat")
	if !strings.Contains(strings.ToLower(res.Stdout), "joe") {
		t.Errorf("joe does not start: %v", res)
	}
	edits(t, s, "joe")
}

func TestKiwiStackOfThree(t *testing.T) { fixture.Each(t, testKiwiStackOfThree) }

func testKiwiStackOfThree(t *testing.T, by fixture.Caller) {
	var paths []string
	for _, name := range []string{"basesystem", "pylayer", "yamllint3"} {
		paths = append(paths, fixture.Kiwi(t, name))
	}
	s := real(t, by)
	for _, path := range paths {
		s.MustCtl("load", s.Share(path))
	}
	s.Register("yamllint", "yamllint3", "--base", "basesystem", "--layer", "pylayer", "--target", "/usr/bin/yamllint")
	if res := s.MustApp("yamllint", "--version"); !strings.HasPrefix(res.Stdout, "yamllint ") {
		t.Errorf("%v", res)
	}
	run := func(args ...string) *fixture.Result {
		return s.Run(append([]string{"--base", "basesystem", "--layer", "pylayer", "yamllint3"}, args...)...)
	}
	if res := run("/usr/bin/openssl", "version"); opensslOf(res.Stdout) != opensslOf(hostSays(t, "openssl", "version")) {
		t.Errorf("openssl is not the host's: %v", res)
	}
	// The hashed links of the certificates, by name and target, as the host has them.
	manifest := removedOf(t, paths[2])
	if len(manifest) != 451 {
		t.Errorf("the manifest has %d lines", len(manifest))
	}
	var want []string
	for _, entry := range manifest {
		if target, err := os.Readlink("/" + entry); err == nil && strings.HasPrefix(entry, "etc/ssl/certs/") {
			want = append(want, "/"+entry+" "+target)
		}
	}
	if len(want) < 100 {
		t.Fatalf("this host has only %d of the certificates' links: install ca-certificates (integration/hack/deps.sh test)", len(want))
	}
	res := run("/usr/bin/find", "/etc/ssl/certs", "-type", "l", "-printf", `%p %l\n`)
	have := map[string]bool{}
	for _, line := range strings.Split(res.Stdout, "\n") {
		have[line] = true
	}
	for _, line := range want {
		if !have[line] {
			t.Errorf("missing link %s", line)
			break
		}
	}
	kiwiExplained(t, s, manifest)
	// The database of packages is the image's own.
	if res := run("/usr/bin/dpkg-query", "-W", "-f", "${Status}", "yamllint"); res.Stdout != "install ok installed" {
		t.Errorf("the package database is not the image's: %v", res)
	}
}

// kiwiExplained holds what explain says of yamllint3 against the manifest and the host.
func kiwiExplained(t *testing.T, s *fixture.Sandbox, manifest []string) {
	t.Helper()
	var e explained
	explains(t, s, &e, "yamllint")
	noise, missing := map[string]bool{}, map[string]bool{}
	for _, entry := range manifest {
		switch _, err := os.Lstat("/" + entry); {
		case strings.HasPrefix(entry, "kiwi_"), strings.HasPrefix(entry, "var/lib/dpkg/"):
			noise[entry] = true
		case err != nil:
			missing[entry] = true
		}
	}
	linked := map[string]bool{}
	for _, f := range e.HostFiles {
		if f.Because.Image != "yamllint3" && f.Because.Image != "pylayer" {
			t.Errorf("%+v", f)
		}
		linked[f.Because.Entry] = true
	}
	for _, entry := range manifest {
		own := noise[entry] || missing[entry] || entry == "etc/hosts" || entry == "etc/resolv.conf"
		if linked[entry] == own {
			t.Errorf("%s: linked %v", entry, linked[entry])
		}
	}
	causes := e.causes()
	for cause, want := range map[string]map[string]bool{"noise": noise, "missing": missing} {
		for _, entry := range causes[cause] {
			if !want[entry] {
				t.Errorf("%s is left out as %s", entry, cause)
			}
		}
	}
	if len(causes["refused"])+len(causes["policy"])+len(causes["conflict"])+len(causes["type"]) > 0 {
		t.Errorf("left out: %v", causes)
	}
	// Every certificate leads to a file of the host's, whichever of its links the manifest lacks.
	if len(e.Dangling) > 0 {
		t.Errorf("dangling: %+v", e.Dangling)
	}
	var got story
	explains(t, s, &got, "yamllint", "/usr/bin/openssl")
	if got.Is == nil || got.Is.Role != "host" || got.Host == nil || got.Host.Shown == "" || len(got.Named) != 1 || got.Named[0].Because.Image != "yamllint3" {
		t.Errorf("openssl: %+v", got)
	}
	if found := problems(t, s, "yamllint"); len(found) > 0 {
		t.Errorf("verify: %q", found)
	}
}

// What the other manifests of KIWI come to on this host.
func TestKiwiOddExplained(t *testing.T) { fixture.Each(t, testKiwiOddExplained) }

func testKiwiOddExplained(t *testing.T, by fixture.Caller) {
	base, odd := fixture.Kiwi(t, "basesystem"), fixture.Kiwi(t, "odd")
	s := real(t, by)
	s.MustCtl("load", s.Share(base))
	s.MustCtl("load", s.Share(odd))
	s.Register("odd", "odd", "--base", "basesystem", "--target", "/bin/ls")
	var e explained
	explains(t, s, &e, "odd")
	for _, f := range e.HostFiles {
		if strings.HasPrefix(f.Place, "/opt/odd/") || strings.HasPrefix(f.Place, "/var/") {
			t.Errorf("linked: %+v", f)
		}
	}
	causes := e.causes()
	if len(causes["noise"]) != 6 || len(causes["provided"]) != 2 || len(e.HostFiles)+len(e.LeftOut) != len(removedOf(t, odd)) {
		t.Errorf("%d linked, left out: %v", len(e.HostFiles), causes)
	}
	if text := s.MustCtl("explain", "odd", "--all").Stdout; !strings.Contains(text, `"opt/odd/tab\there"`) || !strings.Contains(text, "opt/odd/ümlaut-名前.txt") {
		t.Errorf("names are not shown as they should be")
	}
}

// kiwiLayer is the one layer of a KIWI image, as a tar.
func kiwiLayer(t *testing.T, path string) []byte {
	t.Helper()
	var cmd *exec.Cmd
	switch filepath.Ext(path) {
	case ".zst":
		cmd = exec.Command(fixture.RequireProgram(t, "zstd"), "-dcq", path)
	case ".xz":
		cmd = exec.Command(fixture.RequireProgram(t, "xz"), "-dcq", path)
	default:
		cmd = exec.Command("cat", path)
	}
	archive, err := cmd.Output()
	if err != nil {
		t.Fatalf("unpack %s: %v", path, err)
	}
	tr := tar.NewReader(bytes.NewReader(archive))
	for {
		hdr, err := tr.Next()
		if err != nil {
			t.Fatalf("no layer in %s: %v", path, err)
		}
		if strings.HasSuffix(hdr.Name, ".tar") && hdr.Typeflag == tar.TypeReg {
			layer, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			return layer
		}
	}
}

func removedOf(t *testing.T, path string) []string {
	t.Helper()
	for tr := tar.NewReader(bytes.NewReader(kiwiLayer(t, path))); ; {
		hdr, err := tr.Next()
		if err != nil {
			t.Fatalf("no manifest in %s: %v", path, err)
		}
		if strings.TrimPrefix(hdr.Name, "./") == "removed" {
			content, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
		}
	}
}

// Every name, mode, owner, size and link as the tar says, seen from inside the app's root.
func TestKiwiOddEntryByEntry(t *testing.T) { fixture.Each(t, testKiwiOddEntryByEntry) }

func testKiwiOddEntryByEntry(t *testing.T, by fixture.Caller) {
	base, odd := fixture.Kiwi(t, "basesystem"), fixture.Kiwi(t, "odd")
	s := real(t, by)
	s.MustCtl("load", s.Share(base))
	s.MustCtl("load", s.Share(odd))
	res := s.MustRun("--base", "basesystem", "odd", "/usr/bin/find", "/", "-xdev", "-printf", `%P\t%y\t%m\t%U:%G\t%s\t%l\t%n\0`)
	seen := map[string]string{}
	for _, record := range strings.Split(res.Stdout, "\x00") {
		name, rest, _ := strings.Cut(record, "\t")
		if strings.HasPrefix(rest, "here\t") { // the one name with a tab in it
			name, rest, _ = strings.Cut(record[len(name)+1:], "\t")
			name = "opt/odd/keep/tab\t" + name
		}
		seen[name] = rest
	}
	fromHost := map[string]bool{"removed": true}
	for _, entry := range removedOf(t, odd) {
		if _, err := os.Lstat("/" + entry); err == nil {
			fromHost[entry] = true
		}
	}
	links := map[string]int{}
	var headers []*tar.Header
	for tr := tar.NewReader(bytes.NewReader(kiwiLayer(t, odd))); ; {
		hdr, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		hdr.Name = strings.Trim(strings.TrimPrefix(hdr.Name, "./"), "/")
		hdr.Linkname = strings.TrimPrefix(hdr.Linkname, "./")
		if hdr.Typeflag == tar.TypeLink {
			links[hdr.Linkname]++
			links[hdr.Name] = -1
		}
		headers = append(headers, hdr)
	}
	byName := map[string]*tar.Header{}
	for _, hdr := range headers {
		byName[hdr.Name] = hdr
	}
	checked := 0
	for _, hdr := range headers {
		// The root, and what every start lays over with its own.
		if hdr.Name == "" || hdr.Name == "." || fromHost[hdr.Name] || provided(hdr.Name) {
			continue
		}
		one, shared := hdr, 1+links[hdr.Name]
		if hdr.Typeflag == tar.TypeLink {
			one, shared = byName[hdr.Linkname], 1+links[hdr.Linkname]
		}
		got, ok := seen[hdr.Name]
		if !ok {
			t.Errorf("%q is not there", hdr.Name)
			continue
		}
		fields := strings.Split(got, "\t")
		want := []string{kindOf(one), fmt.Sprintf("%o", one.Mode&0o7777), by.OwnerOf(one.Uid, one.Gid)}
		have := fields[:3]
		if one.Typeflag == tar.TypeReg {
			want = append(want, fmt.Sprint(one.Size), "", fmt.Sprint(shared))
			have = fields[:6]
		}
		if one.Typeflag == tar.TypeSymlink {
			want = append(want, one.Linkname)
			have = append(have[:3:3], fields[4])
		}
		if strings.Join(want, "|") != strings.Join(have, "|") {
			t.Errorf("%q: want %q, got %q", hdr.Name, want, have)
		}
		checked++
	}
	if checked < 250 {
		t.Errorf("only %d of %d entries compared", checked, len(headers))
	}
	attributes(t, s, kiwiLayer(t, odd), headers)
}

// provided says whether a start supplies the path itself.
func provided(name string) bool {
	for _, own := range []string{"etc/hosts", "etc/resolv.conf", "etc/hostname", "etc/passwd", "etc/group", "dev", "proc", "sys", "run", "etc/mtab"} {
		if name == own || strings.HasPrefix(name, own+"/") {
			return true
		}
	}
	return false
}

// kindOf is the entry's kind in the letters of find.
func kindOf(hdr *tar.Header) string {
	return map[byte]string{
		tar.TypeReg: "f", tar.TypeDir: "d", tar.TypeSymlink: "l", tar.TypeFifo: "p", tar.TypeChar: "c", tar.TypeBlock: "b",
	}[hdr.Typeflag]
}

// attributes checks owners and extended attributes in the store: the capability is there, overlayfs's
// own are not.
func attributes(t *testing.T, s *fixture.Sandbox, layer []byte, headers []*tar.Header) {
	t.Helper()
	entries := layerOf(t, s, fmt.Sprintf("%x", sha256.Sum256(layer)))
	for _, hdr := range headers {
		e := entries[filepath.Clean(hdr.Name)]
		if e == nil {
			t.Errorf("%q is not in the store", hdr.Name)
			continue
		}
		if int(e.uid) != hdr.Uid || int(e.gid) != hdr.Gid {
			t.Errorf("%q: want owner %d:%d, got %d:%d", hdr.Name, hdr.Uid, hdr.Gid, e.uid, e.gid)
		}
		for key, value := range hdr.PAXRecords {
			attribute, ok := strings.CutPrefix(key, "SCHILY.xattr.")
			if !ok {
				continue
			}
			got := e.attribute(attribute)
			if want := !strings.Contains(attribute, ".overlay."); (got == value) != want {
				t.Errorf("%q: attribute %s is %q, kept: %v", hdr.Name, attribute, got, !want)
			}
		}
	}
}

// Without a base nobody asks for its /systemfiles; see TestKiwiSystemFiles for the pair.
func TestKiwiRpmBaseStarts(t *testing.T) { fixture.Each(t, testKiwiRpmBaseStarts) }

func testKiwiRpmBaseStarts(t *testing.T, by fixture.Caller) {
	base := fixture.Kiwi(t, "rpmbase")
	s := real(t, by)
	s.MustCtl("load", s.Share(base))
	if res := s.MustRun("rpmbase", "/bin/bash", "-c", "echo $((6*7))"); res.Stdout != "42\n" {
		t.Errorf("%v", res)
	}
}
