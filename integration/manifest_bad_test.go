package integration

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// Manifests that no image builder writes. Whatever they name, the app sees no more of the host than the names of plain
// files allow.
func TestHostileManifests(t *testing.T) { fixture.Each(t, testHostileManifests) }

func testHostileManifests(t *testing.T, by fixture.Caller) {
	s, host := started(t, by), hostDir(t, by)
	below := strings.TrimPrefix(host, "/")
	s.WriteFile(host+"/good", "good")
	for name, mode := range map[string]uint32{"fifo": unix.S_IFIFO | 0o666, "device": unix.S_IFCHR | 0o666} {
		if err := unix.Mknod(filepath.Join(host, name), mode, int(unix.Mkdev(1, 3))); err != nil {
			t.Fatal(err)
		}
	}
	l, err := net.Listen("unix", host+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for name, text := range map[string]string{"proc": "/proc", "etc": "/etc", "self": "self"} {
		if err := os.Symlink(text, filepath.Join(host, name)); err != nil {
			t.Fatal(err)
		}
	}
	lines := map[string]string{ // with the cause for which it is left out
		"../../etc/shadow": "refused", "/etc/shadow": "refused", "etc/../etc/shadow": "refused", below + "/etc/shadow": "refused",
		"/proc/1/root": "refused", "/proc/1/root/etc/shadow": "refused", below + "/proc/1/environ": "refused", "dev/mem": "refused", "/sys/kernel": "refused",
		below + "/fifo": "type", below + "/device": "type", below + "/self/x": "unreadable", "/": "refused", "./.": "refused",
		strings.Repeat("x", 256): "refused", strings.Repeat("a/", 3000): "refused", "\x1b[31mred": "missing", "removed": "refused", "/removed/x": "refused",
	}
	manifest := below + "/good\n" + below + "/socket\n"
	for line := range lines {
		manifest += line + "\n"
	}
	s.Load(fixture.Delta(t, "hostile", "file removed data="+fmt.Sprintf("%q", manifest)))
	s.Register("hostile", "hostile", "--base", "probe", "--target", "/bin/probe", "--profile", "isolated")
	var e explained
	explains(t, s, &e, "hostile")
	left := map[string]int{}
	for _, l := range e.LeftOut {
		left[l.Cause]++
	}
	want := map[string]int{}
	for _, cause := range lines {
		want[cause]++
	}
	if fmt.Sprint(left) != fmt.Sprint(want) {
		t.Errorf("left out: %v, want %v", left, want)
	}
	seen := looks(t, s, s.Link("hostile"), []string{host + "/good", host + "/socket", host + "/fifo", host + "/device", host + "/etc/shadow", "/etc/shadow"})
	for path, is := range seen {
		if base := filepath.Base(path); (is != "none") != (base == "good" || base == "socket") {
			t.Errorf("%s is %s", path, is)
		}
	}
	if out := s.MustCtl("explain", "hostile").Stdout; strings.ContainsRune(out, 0x1b) {
		t.Errorf("explain prints what the image wants the terminal to do: %q", out)
	}
}

// What lies in the place of a manifest.
func TestBadManifests(t *testing.T) { fixture.Each(t, testBadManifests) }

func testBadManifests(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.WriteFile(s.Home+"/list", "etc/hostname\n")
	for behaviour, test := range map[string]struct {
		lines []string
		want  string // of the refusal; "": it starts
	}{
		"a symlink out of the image":     {[]string{"link removed to=" + strings.Repeat("../", 12) + s.Home[1:] + "/list"}, "/removed"},
		"an absolute symlink":            {[]string{"link removed to=" + s.Home + "/list"}, "/removed"},
		"a symlink to a directory":       {[]string{"dir d", "link removed to=d"}, "/removed"},
		"a symlink to a FIFO":            {[]string{"fifo f", "link removed to=f"}, "/removed"},
		"a symlink to itself":            {[]string{"link removed to=removed"}, "/removed"},
		"a FIFO":                         {[]string{"fifo removed"}, "/removed"},
		"a directory":                    {[]string{"dir removed", `file removed/x data="x"`}, ""},
		"binary garbage":                 {[]string{"file removed size=100000"}, "/removed"},
		"100 MB":                         {[]string{"file removed size=100000000"}, "/removed"},
		"more lines than there can be":   {[]string{"file removed data=" + fmt.Sprintf("%q", strings.Repeat("a\n", 1_000_001))}, "/removed"},
		"as many lines as there may be":  {[]string{"file removed data=" + fmt.Sprintf("%q", strings.Repeat("no/such/file\n", 500_000))}, ""},
		"the older name, as a symlink":   {[]string{"link vanished to=/etc/passwd"}, "/vanished"},
		"one line that is no valid name": {[]string{`file removed data="\xff\xfe\n"`}, ""},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := s.In(t)
			name := "bad" + strings.Map(func(r rune) rune {
				if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
					return r
				}
				return -1
			}, behaviour)
			s.Load(fixture.Delta(t, name, test.lines...))
			// Of memory it gets no more than this; Go's own reserve does not count.
			res := s.Exec("/usr/bin/prlimit", "--data=700000000", s.Binary("flake-ctl"), "register", "--container", name, "--base", "probe", "--app", s.Link(name), "--target", "/bin/probe", "--profile", "isolated")
			if res.Took > 20*time.Second {
				t.Errorf("it took %v", res.Took)
			}
			t.Logf("%v", res.Took.Round(time.Millisecond))
			if test.want != "" {
				s.Refused(res, test.want)
				return
			}
			if res.Code != 0 {
				t.Fatalf("%v", res)
			}
			s.MustApp(name, "exit", "0")
		})
	}
}
