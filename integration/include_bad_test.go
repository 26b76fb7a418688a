package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

func TestIncludeKilled(t *testing.T) { fixture.Each(t, testIncludeKilled) }

func testIncludeKilled(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	base := layerCount(t, s)
	path := archive(t, s, "big.tar", `file opt/big size=80000000`, `file etc/origin data="big\n"`)
	register := []string{"register", "--container", "probe", "--target", "/bin/probe", "--app", s.Link("big"), "--include-tar", path}
	cmd := s.Command(t.Context(), s.Binary("flake-ctl"), register...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	leftovers := func() []string {
		left, _ := filepath.Glob(filepath.Join(s.Root, "tmp", "include-*"))
		return left
	}
	for len(leftovers()) == 0 && layerCount(t, s) == base {
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Fatal("it was not killed in time")
	}
	if got := layerCount(t, s); got != base {
		t.Errorf("%d layers of a killed process", got-base)
	}
	s.MustCtl(register...)
	if res := s.MustApp("big", "cat", "/etc/origin"); res.Stdout != "big\n" {
		t.Errorf("%v", res)
	}
	s.MustCtl("gc")
	if left := leftovers(); len(left) != 0 {
		t.Errorf("gc left %v", left)
	}
	s.MustApp("big", "exit", "0")
}

func TestIncludeRefuses(t *testing.T) { fixture.Each(t, testIncludeRefuses) }

func testIncludeRefuses(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	base := layerCount(t, s)
	dir := tree(t, s)
	text := filepath.Join(s.Tmp, "text")
	s.WriteFile(text, strings.Repeat("no archive at all\n", 100))
	whole := readFile(t, archive(t, s, "whole.tar", "file a size=100000", "file b size=100000"))
	cut := filepath.Join(s.Tmp, "cut.tar")
	s.WriteFile(cut, whole[:150000])
	for behaviour, test := range map[string]struct {
		flag, path string
		want       []string
	}{
		"a missing tar":                 {"tar", filepath.Join(s.Tmp, "none.tar"), []string{"none.tar", "no such file", "--include-tar"}},
		"a missing path":                {"path", filepath.Join(s.Tmp, "none"), []string{"none", "no such file", "--include-path"}},
		"a directory as a tar":          {"tar", dir, []string{dir, "not a regular file"}},
		"a text as a tar":               {"tar", text, []string{text, "not a tar archive"}},
		"a cut tar":                     {"tar", cut, []string{"cut.tar", "truncated"}},
		"a name with ..":                {"tar", archive(t, s, "up.tar", `file ../../evil data="x"`), []string{"up.tar", "..", "archive"}},
		"an absolute name":              {"tar", archive(t, s, "abs.tar", `file /etc/passwd data="x"`), []string{"abs.tar", "absolute"}},
		"through a link that leads out": {"tar", archive(t, s, "link.tar", `link out to=/etc`, `file out/evil data="x"`), []string{"link.tar", "symbolic link"}},
		"a hard link that leads out":    {"tar", archive(t, s, "hard.tar", `hard passwd to=../../../etc/passwd`), []string{"hard.tar", "hard link"}},
		"all of the host":               {"path", "/", []string{"/"}},
		"where the store is":            {"path", filepath.Dir(s.Root), []string{s.Root}},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := s.In(t)
			s.Refused(s.Ctl("register", "--container", "probe", "--target", "/bin/probe", "--app", s.Link("bad"), "--include-"+test.flag, test.path), test.want...)
			if res := s.Run("--include-"+test.flag, test.path, "probe", "/bin/probe", "exit", "0"); res.Code != 125 {
				t.Errorf("%v", res)
			}
			if _, err := os.Lstat(s.Link("bad")); err == nil {
				t.Error("a link was left")
			}
		})
	}
	whiteout := filepath.Join(dir, ".wh.file")
	s.WriteFile(whiteout, "")
	s.Refused(s.Ctl("register", "--container", "probe", "--target", "/bin/probe", "--app", s.Link("bad"), "--include-path", dir), ".wh.file")
	s.WriteFile(filepath.Join(s.Registrations, "relative.yaml"), "include: {tar: [a.tar]}\ncontainer: {name: probe, target_app_path: /bin/probe, host_app_path: "+s.Link("relative")+"}\n")
	s.Refused(s.Exec("/bin/bash", "-c", "exec -a relative "+s.Binary("flake-launcher")), "a.tar", "absolute")
	if err := os.Remove(filepath.Join(s.Registrations, "relative.yaml")); err != nil {
		t.Fatal(err)
	}
	if got := layerCount(t, s); got != base {
		t.Errorf("%d layers of what was refused", got-base)
	}
	if !by.IsRoot() {
		s.Refused(s.Ctl("register", "--container", "probe", "--target", "/bin/probe", "--app", s.Link("bad"), "--include-path", "/etc/shadow"), "/etc/shadow", "permission denied")
		s.Refused(s.Ctl("register", "--container", "probe", "--target", "/bin/probe", "--app", s.Link("bad"), "--include-path", "/root"), "/root", "permission denied")
	}
}

// A path that is said relative means the directory in which it is said.
func TestIncludeRelative(t *testing.T) { fixture.Each(t, testIncludeRelative) }

func testIncludeRelative(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	for _, name := range []string{"a", "b"} {
		s.Mkdir(filepath.Join(s.Home, name))
		s.WriteFile(filepath.Join(s.Home, name, "x.tar"), readFile(t, archive(t, s, name+".tar", `dir etc`, fmt.Sprintf("file etc/origin data=%q", name+"\n"))))
	}
	for _, name := range []string{"a", "b"} {
		res := s.ExecWith(func(cmd *exec.Cmd) { cmd.Dir = filepath.Join(s.Home, name) }, s.Binary("flake-run"),
			"--include-tar", "x.tar", "probe", "/bin/probe", "cat", "/etc/origin")
		if res.Stdout != name+"\n" {
			t.Errorf("%s: %v", name, res)
		}
	}
}
