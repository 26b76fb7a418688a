package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

func TestLinkLooksLikeAnyTool(t *testing.T) { fixture.Each(t, testLinkLooksLikeAnyTool) }

func testLinkLooksLikeAnyTool(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	target, err := os.Readlink(s.Link("probe"))
	if err != nil || filepath.Base(target) != "flake-launcher" {
		t.Errorf("link to %q, %v", target, err)
	}
	relative := filepath.Join(s.Links, "relative")
	if err := os.Mkdir(relative, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../probe", filepath.Join(relative, "probe")); err != nil {
		t.Fatal(err)
	}
	for behaviour, script := range map[string]string{
		"by PATH":             "PATH=" + s.Links + ":$PATH; probe exit 5",
		"by a relative path":  "cd " + s.Links + " && ./probe exit 5",
		"by a relative link":  filepath.Join(relative, "probe") + " exit 5",
		"as a login shell":    "exec -a -probe " + s.Link("probe") + " exit 5",
		"by argv[0] alone":    "exec -a probe " + s.Binary("flake-launcher") + " exit 5",
		"with an empty PATH":  "PATH= " + s.Link("probe") + " exit 5",
		"with no environment": "env -i " + s.Where() + " " + s.Link("probe") + " exit 5",
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := s.In(t)
			if res := s.Exec("/bin/bash", "-c", script); res.Code != 5 {
				t.Errorf("want status 5, got %v", res)
			}
		})
	}
	for behaviour, script := range map[string]string{
		"an unknown name":  "exec -a nobody-knows " + s.Binary("flake-launcher"),
		"an empty argv[0]": "exec -a '' " + s.Binary("flake-launcher"),
		"its own name":     s.Binary("flake-launcher"),
		"a path as name":   "exec -a ../../etc/passwd " + s.Binary("flake-launcher"),
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := s.In(t)
			s.Refused(s.Exec("/bin/bash", "-c", script))
		})
	}
}

func TestRegisterRefuses(t *testing.T) { fixture.Each(t, testRegisterRefuses) }

func testRegisterRefuses(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	foreign := s.Link("foreign")
	s.WriteFile(foreign, "mine\n")
	for behaviour, test := range map[string]struct {
		args []string
		want string
	}{
		"a file that is not ours":     {[]string{"--container", "probe", "--app", foreign, "--target", "/bin/probe"}, "foreign"},
		"a program of ours, forced":   {[]string{"--container", "probe", "--app", s.Binary("flake-ctl"), "--target", "/bin/probe", "--force"}, "own programs"},
		"a program of ours, anew":     {[]string{"--container", "probe", "--app", s.Binary("flake-engine"), "--target", "/bin/probe"}, "own programs"},
		"an image that is not there":  {[]string{"--container", "nowhere", "--app", s.Link("a")}, "nowhere"},
		"a base that is not there":    {[]string{"--container", "probe", "--base", "nobase", "--app", s.Link("a")}, "nobase"},
		"a layer that is not there":   {[]string{"--container", "probe", "--base", "probe", "--layer", "nolayer", "--app", s.Link("a")}, "nolayer"},
		"a target that is not there":  {[]string{"--container", "probe", "--app", s.Link("a"), "--target", "/no/target"}, "/no/target"},
		"a relative app":              {[]string{"--container", "probe", "--app", "relative"}, "relative"},
		"no container":                {[]string{"--app", s.Link("a")}, "container"},
		"the name of another flake":   {[]string{"--container", "probe", "--app", filepath.Join(s.Home, "probe"), "--target", "/bin/probe"}, "probe"},
		"a target outside by dot-dot": {[]string{"--container", "probe", "--app", s.Link("a"), "--target", "/../../etc/hostname-nowhere"}, ""},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := s.In(t)
			s.Refused(s.Ctl(append([]string{"register"}, test.args...)...), test.want)
			if _, err := os.Lstat(s.Link("a")); err == nil {
				t.Error("a link was left")
			}
			if _, err := os.Stat(filepath.Join(s.Registrations, "a.yaml")); err == nil {
				t.Error("a registration was left")
			}
		})
	}
	if content, _ := os.ReadFile(foreign); string(content) != "mine\n" {
		t.Errorf("the foreign file holds %q", content)
	}
}

func TestForceKeepsABackup(t *testing.T) { fixture.Each(t, testForceKeepsABackup) }

func testForceKeepsABackup(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.WriteFile(s.Link("tool"), "#!/bin/sh\necho mine\n")
	if err := os.Chmod(s.Link("tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.Register("tool", "probe", "--target", "/bin/probe", "--force")
	if res := s.App("tool", "exit", "6"); res.Code != 6 {
		t.Errorf("forced: %v", res)
	}
	s.MustCtl("remove", s.Link("tool"))
	if res := s.App("tool"); res.Stdout != "mine\n" {
		t.Errorf("the replaced file did not come back: %v", res)
	}
}

func TestLoopIsRefused(t *testing.T) { fixture.Each(t, testLoopIsRefused) }

func testLoopIsRefused(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	// The target is the flake's own link: inside it would start itself again.
	link := s.Link("loop")
	lines := []string{}
	for dir := filepath.Dir(link); dir != "/"; dir = filepath.Dir(dir) {
		lines = append([]string{"dir " + strings.TrimPrefix(dir, "/")}, lines...)
	}
	lines = append(lines, "link "+strings.TrimPrefix(link, "/")+" to="+link)
	s.Load(fixture.Delta(t, "loop", lines...))
	s.Refused(s.Ctl("register", "--container", "loop", "--base", "probe", "--app", link))
	s.Refused(s.Run("--base", "probe", "loop", link))

	// The image's manifest names the very path at which the flake is registered on the host: the
	// host's file there is our own link, which is no file to link: the image's program runs.
	link = filepath.Join(hostDir(t, by), "tool")
	s.Load(fixture.Delta(t, "named", "dir opt", "dir "+strings.TrimPrefix(filepath.Dir(link), "/"),
		"link "+strings.TrimPrefix(link, "/")+" to=/bin/probe", "file removed data="+quote(strings.TrimPrefix(link, "/")+"\n")))
	s.MustCtl("register", "--container", "named", "--base", "probe", "--app", link)
	for range 2 {
		if res := s.Exec(link, "exit", "5"); res.Code != 5 {
			t.Errorf("%v", res)
		}
	}
}

func TestListAndImages(t *testing.T) { fixture.Each(t, testListAndImages) }

func testListAndImages(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	for _, command := range []string{"list", "images"} {
		for format, want := range map[string]string{"table": "probe", "json": `"`, "csv": ","} {
			if res := s.MustCtl(command, "--format", format); !strings.Contains(res.Stdout, want) || !strings.Contains(res.Stdout, "probe") {
				t.Errorf("%v", res)
			}
		}
		if res := s.Ctl(command, "--format", "poem"); res.Code == 0 {
			t.Errorf("%v", res)
		}
	}
	res := s.ExecWith(func(cmd *exec.Cmd) {}, s.Binary("flake-ctl"), "list", "--format", "json")
	if !strings.HasPrefix(strings.TrimSpace(res.Stdout), "[") {
		t.Errorf("JSON is a list: %v", res)
	}
}

func TestRemoveAndCollect(t *testing.T) { fixture.Each(t, testRemoveAndCollect) }

func testRemoveAndCollect(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Load(fixture.Delta(t, "extra", `file extra data="x"`))
	s.Register("extra", "extra", "--base", "probe", "--target", "/bin/probe")
	layers := func() int {
		entries, err := os.ReadDir(filepath.Join(s.Root, "layers", "sha256"))
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	s.Refused(s.Ctl("remove", "--container", "extra"), "extra")
	s.Refused(s.Ctl("remove", s.Link("unknown")), "unknown")
	if layers() != 2 {
		t.Fatalf("a refused removal removed layers")
	}
	s.MustCtl("remove", s.Link("extra"))
	if _, err := os.Lstat(s.Link("extra")); err == nil {
		t.Error("the link is still there")
	}
	if _, err := os.Stat(filepath.Join(s.Registrations, "extra.yaml")); err == nil {
		t.Error("the registration is still there")
	}
	s.MustCtl("remove", "--container", "extra")
	if got := layers(); got != 1 {
		t.Errorf("want the base's layer alone, got %d", got)
	}
	s.MustApp("probe", "exit", "0")

	stray := filepath.Join(s.Root, "layers", "sha256", strings.Repeat("a", 64))
	s.Mkdir(stray)
	s.MustCtl("gc", "--dry-run")
	if _, err := os.Stat(stray); err != nil {
		t.Error("a dry run removed something")
	}
	s.MustCtl("gc")
	if _, err := os.Stat(stray); err == nil {
		t.Error("a layer that nothing needs is still there")
	}
	s.MustApp("probe", "exit", "0")
}

func TestRunningFlakeKeepsItsLayers(t *testing.T) { fixture.Each(t, testRunningFlakeKeepsItsLayers) }

func testRunningFlakeKeepsItsLayers(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	cmd, _ := waiting(t, s, "15")
	res := s.Ctl("remove", "--container", "probe", "--force")
	if res.Code != 0 && !strings.Contains(res.Stderr, "use") {
		t.Errorf("%v", res)
	}
	layers := filepath.Join(s.Root, "layers", "sha256")
	if by.Range { // it runs with the other form of the layer
		layers = filepath.Join(s.Root, "ranges", "layers", "sha256")
	}
	if entries, _ := os.ReadDir(layers); len(entries) != 1 {
		t.Errorf("the running flake's layer is gone: %d", len(entries))
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait()
}

func TestRemoveAfterTheStore(t *testing.T) { fixture.Each(t, testRemoveAfterTheStore) }

// testRemoveAfterTheStore removes a flake whose store somebody has deleted by hand.
func testRemoveAfterTheStore(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	entries, err := os.ReadDir(s.Root)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if path := filepath.Join(s.Root, entry.Name()); path != s.Registrations {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Refused(s.Ctl("remove", "another"), "another")
	s.MustCtl("remove", "probe")
	for _, path := range []string{filepath.Join(s.Registrations, "probe.yaml"), s.Link("probe")} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
}
