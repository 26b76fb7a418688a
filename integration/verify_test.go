package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// problems are what verify says of a flake, as CHECK: CAUSE; each has a remedy.
func problems(t *testing.T, s *fixture.Sandbox, args ...string) []string {
	t.Helper()
	res := s.Ctl(append([]string{"verify", "--format", "json"}, args...)...)
	var reports []struct {
		Flake    string `json:"flake"`
		Problems int    `json:"problems"`
		Findings []struct {
			Check  string `json:"check"`
			Note   bool   `json:"note"`
			Cause  string `json:"cause"`
			Remedy string `json:"remedy"`
		} `json:"findings"`
	}
	if err := json.Unmarshal([]byte(res.Stdout), &reports); err != nil {
		t.Fatalf("%v in %v", err, res)
	}
	var out []string
	for _, r := range reports {
		for _, f := range r.Findings {
			if f.Note {
				continue
			}
			if f.Remedy == "" {
				t.Errorf("no remedy for %+v", f)
			}
			out = append(out, f.Check+": "+f.Cause)
		}
	}
	if (res.Code == 0) != (len(out) == 0) || res.Code > 1 {
		t.Errorf("%d problems, and %v", len(out), res)
	}
	return out
}

func TestVerify(t *testing.T) { fixture.Each(t, testVerify) }

func testVerify(t *testing.T, by fixture.Caller) {
	s, dir := explainable(t, by)
	s.Load(fixture.Delta(t, "other", `file other data="other"`))
	s.Register("other", "other", "--base", "probe", "--target", "/bin/probe")
	expect := func(when string, args []string, want ...string) {
		t.Helper()
		got := problems(t, s, args...)
		for i, w := range want {
			if i >= len(got) || !strings.HasPrefix(got[i], w) {
				t.Errorf("%s: problem %d is not %q: %q", when, i, w, got)
				return
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	expect("at first", []string{"other"})
	dangling := "host file: " + dir + "/bad leads to /usr/share/common-licenses/GPL-2"
	expect("with a link that leads nowhere", []string{"listed"}, dangling)
	dropIn(s, "listed", "host_files: {strategy: layer, drop: ["+strings.TrimPrefix(dir, "/")+"/bad]}\n")
	s.MustApp("listed", "exit", "0")
	expect("without that link", []string{"listed"})
	expect("all of them", nil)

	// Edited in place: the app sees the new content, and the old size, until its plan is compiled again.
	s.WriteFile(dir+"/f05", "quite another size\n")
	if err := os.Chmod(dir+"/f06", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(dir+"/f07", time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	expect("after edits in place", []string{"listed"},
		"host file: "+dir+"/f05 has 19 bytes, the app is told 5", "host file: "+dir+"/f06 has mode 0755, the app is told 0644", "host file: "+dir+"/f07 was changed")
	if res := s.Ctl("verify", "listed"); res.Code != 1 || !strings.Contains(res.Stdout, "/f05 has 19 bytes") || !strings.Contains(res.Stdout, "remedy: ") {
		t.Errorf("%v", res)
	}
	s.MustCtl("verify", "--repair", "listed")
	expect("after the repair", []string{"listed"})
	if seen := looks(t, s, s.Link("listed"), []string{dir + "/f05", dir + "/f06"}); !strings.Contains(seen[dir+"/f05"], " 19 ") || !strings.HasPrefix(seen[dir+"/f06"], "100755 ") {
		t.Errorf("the app sees %v", seen)
	}

	if err := os.Remove(dir + "/f08"); err != nil {
		t.Fatal(err)
	}
	expect("with a file less", []string{"listed"}, "plan: the launch plan is stale: "+dir, "host file: "+dir+"/f08 is gone")
	s.MustApp("listed", "exit", "0")
	expect("after a start", []string{"listed"})

	link := s.Link("other")
	if err := os.Rename(link, link+".away"); err != nil {
		t.Fatal(err)
	}
	expect("without its link", []string{"other"}, "link: link "+link+" is gone")
	s.WriteFile(link, "mine\n")
	expect("with a file for its link", []string{link}, "link: link "+link+" is something else")
	if err := os.Rename(link+".away", link); err != nil {
		t.Fatal(err)
	}
	registration := filepath.Join(s.Registrations, "other.yaml")
	text, err := os.ReadFile(registration)
	if err != nil {
		t.Fatal(err)
	}
	s.WriteFile(registration, string(text)+"unheard_of: 1\n")
	expect("with a mistake", []string{"other"}, "registration: "+registration)
	s.WriteFile(registration, string(text))
	expect("with a registration of another time", []string{"other"}, "plan: the launch plan is stale: "+registration)
	s.MustCtl("verify", "--repair", "other")

	if err := os.Rename(registration, registration+".away"); err != nil {
		t.Fatal(err)
	}
	expect("a link of no registration", nil, "link: link "+link+" belongs to no registration")
	if err := os.Rename(registration+".away", registration); err != nil {
		t.Fatal(err)
	}
	spoilLayer(t, s, "other")
	expect("with a spoilt layer", []string{"other"}, `image: image "other": layer `)
}

// spoilLayer takes a file's content out of the layer that has a file of that name.
func spoilLayer(t *testing.T, s *fixture.Sandbox, name string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(s.Root, "layers", "sha256", "*", name))
	if err != nil || len(found) != 1 {
		t.Fatalf("%q, %v", found, err)
	}
	content, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(found[0], 1); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(found[0], content, 0o644) })
}

// Root's flake, looked at by an ordinary user: what he would get of it, and that nothing of root's is touched.
func TestVerifyAndExplainOfRootsFlake(t *testing.T) {
	root := fixture.NewSystem(t)
	host := hostDir(t, fixture.Root)
	for name, mode := range map[string]os.FileMode{"open": 0o644, "closed": 0o600} {
		if err := os.WriteFile(filepath.Join(host, name), []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	below := strings.TrimPrefix(host, "/")
	root.Load(fixture.ProbeBase(t))
	root.Load(fixture.Delta(t, "listed", `file removed data=`+quote(below+"/open\n"+below+"/closed\n")))
	root.Register("listed", "listed", "--base", "probe", "--target", "/bin/probe")
	user := fixture.NewSandbox(t, fixture.User)
	for _, s := range []*fixture.Sandbox{root, user} {
		var e explained
		explains(t, s, &e, "listed")
		if got := e.causes()["policy"]; len(got) != 1 || got[0] != below+"/closed" {
			t.Errorf("%s: refused by the policy: %q", s.By.Name, got)
		}
		var got story
		explains(t, s, &got, "listed", host+"/open")
		if got.Is == nil || (got.Is.UID == 0) != s.By.IsRoot() {
			t.Errorf("%s: %+v", s.By.Name, got.Is)
		}
		if found := problems(t, s, "listed"); len(found) != 0 {
			t.Errorf("%s: %q", s.By.Name, found)
		}
	}
}

// A program of the host in a root that has none of its libraries: said before it is started.
func TestVerifyFindsMissingLibraries(t *testing.T) { fixture.Each(t, testVerifyFindsMissingLibraries) }

func testVerifyFindsMissingLibraries(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Load(fixture.Delta(t, "lacking", "dir usr", "dir usr/bin", `file removed data="usr/bin/env\n"`))
	s.Register("lacking", "lacking", "--base", "probe", "--target", "/bin/probe")
	found := problems(t, s, "lacking")
	if len(found) == 0 || !strings.HasPrefix(found[0], "libraries: /usr/bin/env needs ") {
		t.Errorf("%q", found)
	}
	if found := problems(t, s, "probe"); len(found) > 0 {
		t.Errorf("a root that is whole: %q", found)
	}
}
