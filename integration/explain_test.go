package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// explained is what these tests read of the documented JSON.
type explained struct {
	Plan struct {
		State string `json:"state"`
	} `json:"plan"`
	Origins []struct {
		Role  string `json:"role"`
		Name  string `json:"name"`
		Files int    `json:"files"`
		Bytes int64  `json:"bytes"`
	} `json:"origins"`
	Strategy struct {
		Layer int `json:"layer"`
		Bind  int `json:"bind"`
	} `json:"strategy"`
	HostFiles []struct {
		Place    string  `json:"place"`
		Source   string  `json:"source"`
		Strategy string  `json:"strategy"`
		Because  because `json:"because"`
	} `json:"host_files"`
	LeftOut []struct {
		Cause   string  `json:"cause"`
		Reason  string  `json:"reason"`
		Because because `json:"because"`
	} `json:"left_out"`
	Dangling []struct {
		Place   string `json:"place"`
		Missing string `json:"missing"`
		Reason  string `json:"reason"`
	} `json:"dangling"`
	Unreadable []string `json:"unreadable"`
	Files      []struct {
		Path string `json:"path"`
		Role string `json:"role"`
		Name string `json:"name"`
	} `json:"files"`
	Shares struct {
		Home      string              `json:"home"`
		Binds     []map[string]any    `json:"binds"`
		Protected []string            `json:"protected"`
		Copies    []map[string]string `json:"copies"`
	} `json:"shares"`
}

type because struct {
	From  string `json:"from"`
	Image string `json:"image"`
	Line  int    `json:"line"`
	Entry string `json:"entry"`
	For   string `json:"for"`
}

// story is what these tests read of the story of a path.
type story struct {
	Steps []struct {
		Path string `json:"path"`
		Text string `json:"text"`
	} `json:"steps"`
	Place string `json:"place"`
	Is    *struct {
		Kind string `json:"kind"`
		Mode string `json:"mode"`
		UID  int    `json:"uid"`
		GID  int    `json:"gid"`
		Size int64  `json:"size"`
		Role string `json:"role"`
		Name string `json:"name"`
	} `json:"is"`
	Layers []struct {
		Role   string `json:"role"`
		Kind   string `json:"kind"`
		Hides  string `json:"hides"`
		At     string `json:"at"`
		Hidden bool   `json:"hidden"`
		Wins   bool   `json:"wins"`
	} `json:"layers"`
	Host *struct {
		Source string `json:"source"`
		Shown  string `json:"shown"`
		Why    string `json:"why"`
	} `json:"host"`
	Named []struct {
		Because because `json:"because"`
		Outcome string  `json:"outcome"`
		Reason  string  `json:"reason"`
	} `json:"named"`
}

func explains(t *testing.T, s *fixture.Sandbox, into any, args ...string) {
	t.Helper()
	res := s.MustCtl(append([]string{"explain", "--format", "json"}, args...)...)
	if err := json.Unmarshal([]byte(res.Stdout), into); err != nil {
		t.Fatalf("%v in %v", err, res)
	}
}

// causes are the entries that were left out, by cause.
func (e *explained) causes() map[string][]string {
	out := map[string][]string{}
	for _, l := range e.LeftOut {
		out[l.Cause] = append(out[l.Cause], l.Because.Entry)
		slices.Sort(out[l.Cause])
	}
	return out
}

// plans are the launch plans of a store with what tells whether one was written.
func plans(t *testing.T, s *fixture.Sandbox) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := os.ReadDir(filepath.Join(s.Root, "plans"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		st, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		out[f.Name()] = fmt.Sprint(st.Size(), st.ModTime())
	}
	return out
}

// explainable registers the flake "listed" of a base, a layer and a delta over a host directory, with one of each kind.
func explainable(t *testing.T, by fixture.Caller) (s *fixture.Sandbox, dir string) {
	t.Helper()
	s, dir = started(t, by), hostDir(t, by)
	for i := range 20 {
		s.WriteFile(fmt.Sprintf("%s/f%02d", dir, i), strings.Repeat("x", i))
	}
	s.WriteFile(dir+"/tool", "the host's tool\n")
	s.WriteFile(dir+"/unasked", "x")
	s.WriteFile(dir+"/target", "x")
	s.WriteFile(dir+"/secret", "x")
	for path, text := range map[string]string{"good": "target", "bad": "/usr/share/common-licenses/GPL-2", "dir-link": "/usr/share"} {
		if err := os.Symlink(text, filepath.Join(dir, path)); err != nil {
			t.Fatal(err)
		}
	}
	for path, mode := range map[string]os.FileMode{"secret": 0o600, "tool": 0o755} {
		if err := os.Chmod(filepath.Join(dir, path), mode); err != nil {
			t.Fatal(err)
		}
	}
	below := strings.TrimPrefix(dir, "/")
	lines := []string{
		"kiwi_apt.config", "etc/hosts", "var/log/x", "../../etc/shadow", "etc/shadow", below + "/tool", below + "/tool", below + "/nowhere",
		below + "/good", below + "/bad", below + "/secret", below + "/f00/..", "proc/1/root", below + "/dropped",
	}
	s.WriteFile(dir+"/dropped", "x")
	for i := range 20 {
		lines = append(lines, fmt.Sprintf("%s/f%02d", below, i))
	}
	s.Load(fixture.Delta(t, "middle", "dir etc", `file etc/middle data="m"`, `file etc/flake-motd data="middle"`, "dir gone", "file gone/x", "link way to=etc", "file removed data="+quote(below+"/tool\n")))
	s.Load(fixture.Delta(t, "listed", "dir etc", `file etc/flake-motd data="delta\n" mode=0640`, "whiteout gone", "dir opt", "dir "+below, "file "+below+`/tool data="the image's"`,
		"file removed data="+quote(strings.Join(lines, "\n")+"\n")))
	s.Register("listed", "listed", "--base", "probe", "--layer", "middle", "--target", "/bin/probe", "--profile", "isolated")
	dropIn(s, "listed", "host_files: {drop: ["+below+"/dropped]}\n")
	s.MustApp("listed", "exit", "0")
	return s, dir
}

func TestExplain(t *testing.T) { fixture.Each(t, testExplain) }

func testExplain(t *testing.T, by fixture.Caller) {
	s, dir := explainable(t, by)
	below := strings.TrimPrefix(dir, "/")
	before := plans(t, s)
	var e explained
	explains(t, s, &e, "listed")
	if e.Plan.State != "fresh" {
		t.Errorf("the plan is %s", e.Plan.State)
	}
	want := map[string][]string{
		"noise": {"kiwi_apt.config", "var/log/x"}, "provided": {"etc/hosts"},
		"refused":   {"../../etc/shadow", "etc/shadow", below + "/f00/..", "proc/1/root"},
		"duplicate": {below + "/tool", below + "/tool"}, "missing": {below + "/nowhere"}, "policy": {below + "/secret"}, "dropped": {below + "/dropped"},
	}
	if got := e.causes(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("left out:\n%v, want\n%v", got, want)
	}
	if len(e.Dangling) != 1 || e.Dangling[0].Place != dir+"/bad" || e.Dangling[0].Missing != "/usr/share/common-licenses/GPL-2" || e.Dangling[0].Reason == "" {
		t.Errorf("dangling: %+v", e.Dangling)
	}
	by1 := map[string]string{}
	for _, f := range e.HostFiles {
		by1[f.Place] = fmt.Sprintf("%s %s:%d %s", f.Because.From, f.Because.Image, f.Because.Line, strings.TrimPrefix(f.Because.For, below))
	}
	for place, want := range map[string]string{
		dir + "/tool": "removed middle:1 ", dir + "/good": "removed listed:9 ", dir + "/target": "link listed:9 /good", dir + "/f07": "removed listed:22 ",
	} {
		if by1[place] != want {
			t.Errorf("%s is there for %q, want %q", place, by1[place], want)
		}
	}
	counts := map[string]int{}
	for _, o := range e.Origins {
		counts[o.Role] = o.Files
	}
	if counts["host"] != 24 || counts["layer"] != 2 || counts["delta"] != 1 || counts["base"] == 0 {
		t.Errorf("counts: %v", counts)
	}
	if e.Strategy.Layer+e.Strategy.Bind != 22 {
		t.Errorf("strategies: %+v", e.Strategy)
	}
	// Each file once, and what the app sees.
	explains(t, s, &e, "listed", "--all")
	for _, f := range e.Files {
		if f.Path == dir+"/tool" && f.Role != "host" || f.Path == "/etc/flake-motd" && f.Name != "listed" || f.Path == "/gone/x" || f.Path == "/removed" {
			t.Errorf("%+v", f)
		}
	}
	tree := s.MustCtl("explain", s.Link("listed")).Stdout
	for _, part := range []string{"layer ", "host files: 24", "opt/", "dropped by the flake's pattern", "needs /usr/share/common-licenses/GPL-2", "profile isolated"} {
		if !strings.Contains(tree, part) {
			t.Errorf("no %q in\n%s", part, tree)
		}
	}
	if again := s.MustCtl("explain", "listed").Stdout; again != tree {
		t.Error("two explanations differ")
	}
	if lines := strings.Count(tree, "\n"); lines > 80 {
		t.Errorf("%d lines for people", lines)
	}
	if after := plans(t, s); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("plans: before %v, after %v", before, after)
	}
	s.Refused(s.Ctl("explain", "nobody"), "nobody")
}

func TestExplainPath(t *testing.T) { fixture.Each(t, testExplainPath) }

func testExplainPath(t *testing.T, by fixture.Caller) {
	s, dir := explainable(t, by)
	for path, want := range map[string]string{
		dir + "/tool":               "file host; delta file; host " + shownBy(t, s, dir+"/tool") + "; linked duplicate duplicate",
		"/way/flake-motd":           "file delta listed; via /way->etc; delta file wins, layer file hidden; linked-not",
		"/gone/x":                   "nothing; delta whiteout /gone, layer file hidden; linked-not",
		dir + "/unasked":            "nothing; host not: nothing asks for it; linked-not",
		dir + "/secret":             "nothing; host not: policy: not every user of this host may read it: the default policy; policy",
		dir + "/nowhere":            "nothing; missing",
		dir + "/bad":                "nothing; via " + dir + "/bad->/usr/share/common-licenses/GPL-2; host not: dangling: it lies elsewhere than the link; linked dangling",
		"/etc/shadow":               "nothing; host not: refused: password hashes of the host; refused refused", // by line 4, too
		"/removed":                  "nothing; delta file, layer file hidden; linked-not",
		"/etc/hosts":                "file launcher; host not: provided: the launcher provides it; provided",
		"/dev/kmsg":                 "nothing; host not: nothing asks for it; linked-not",
		"/dev/stdin":                "descriptor launcher; via /dev/stdin->/proc/self/fd/0; linked-not",
		"/proc/self/status/../../1": "nothing; host not: nothing asks for it; linked-not",
	} {
		var got story
		explains(t, s, &got, "listed", path)
		if line := got.line(); line != want {
			t.Errorf("%s:\n got %s\nwant %s", path, line, want)
		}
		if text := s.MustCtl("explain", "listed", path).Stdout; !strings.HasPrefix(text, path+"\n") {
			t.Errorf("%s: %s", path, text)
		}
	}
}

// shownBy is the strategy of a host file, and why.
func shownBy(t *testing.T, s *fixture.Sandbox, path string) string {
	var got story
	explains(t, s, &got, "listed", path)
	if got.Host == nil || got.Host.Shown == "" {
		t.Fatalf("%s is not shown: %+v", path, got.Host)
	}
	return got.Host.Shown
}

// line is a story in one line.
func (g *story) line() string {
	parts := []string{"nothing"}
	if g.Is != nil {
		parts[0] = strings.TrimSpace(g.Is.Kind + " " + g.Is.Role + " " + g.Is.Name)
	}
	for _, step := range g.Steps {
		parts = append(parts, "via "+step.Path+"->"+step.Text)
	}
	var layers []string
	for _, l := range g.Layers {
		text := strings.TrimSpace(l.Role + " " + l.Kind)
		if l.Hides != "" {
			text += " " + l.Hides + " " + l.At
		}
		for word, is := range map[string]bool{" wins": l.Wins, " hidden": l.Hidden} {
			if is {
				text += word
			}
		}
		layers = append(layers, text)
	}
	if len(layers) > 0 {
		parts = append(parts, strings.Join(layers, ", "))
	}
	switch {
	case g.Host != nil && g.Host.Shown != "":
		parts = append(parts, "host "+g.Host.Shown)
	case g.Host != nil:
		parts = append(parts, "host not: "+g.Host.Why)
	}
	var outcomes []string
	for _, n := range g.Named {
		outcomes = append(outcomes, n.Outcome)
	}
	if len(outcomes) == 0 {
		outcomes = []string{"linked-not"}
	}
	return strings.Join(append(parts, strings.Join(outcomes, " ")), "; ")
}

// What explain says of owners and modes is what the app sees, by both strategies.
func TestExplainedOwners(t *testing.T) { fixture.Each(t, testExplainedOwners) }

func testExplainedOwners(t *testing.T, by fixture.Caller) {
	s, dir := explainable(t, by)
	for _, strategy := range []string{"bind", "layer"} {
		dropIn(s, "listed", "host_files: {strategy: "+strategy+"}\n")
		paths := []string{dir + "/tool", dir + "/f03", dir + "/good", dir, "/etc/flake-motd", "/etc", "/bin/probe", "/tmp", "/etc/hosts", "/etc/resolv.conf", "/etc/passwd", "/usr/bin", "/etc/middle",
			"/dev", "/dev/null", "/dev/tty", "/dev/pts", "/dev/pts/ptmx", "/dev/shm", "/dev/mqueue", "/dev/kmsg", "/proc", "/proc/cpuinfo", "/sys"}
		seen := looks(t, s, s.Link("listed"), paths)
		for _, path := range paths {
			var got story
			explains(t, s, &got, "listed", filepath.Dir(path)+"/./"+filepath.Base(path))
			if len(got.Steps) > 0 {
				continue
			}
			if seen[path] == "none" || got.Is == nil {
				if seen[path] != "none" || got.Is != nil {
					t.Errorf("%s: %s: the app sees %q, explained as %+v", strategy, path, seen[path], got.Is)
				}
				continue
			}
			var mode uint32
			if _, err := fmt.Sscanf(seen[path], "%o", &mode); err != nil {
				t.Fatal(err)
			}
			kind := map[uint32]string{unix.S_IFREG: "file", unix.S_IFDIR: "directory", unix.S_IFCHR: "device"}[mode&unix.S_IFMT]
			want := fmt.Sprintf("%s %04o %s", kind, mode&0o7777, strings.Fields(seen[path])[1])
			if is := fmt.Sprintf("%s %s %d:%d", got.Is.Kind, got.Is.Mode, got.Is.UID, got.Is.GID); is != want {
				t.Errorf("%s: %s: the app sees %s, explained as %s", strategy, path, want, is)
			}
		}
	}
}

func TestExplainIsFast(t *testing.T) { fixture.Each(t, testExplainIsFast) }

func testExplainIsFast(t *testing.T, by fixture.Caller) {
	const files = 8000
	s, dir := started(t, by), hostDir(t, by)
	var manifest strings.Builder
	for i := range files {
		sub := fmt.Sprintf("%s/d%03d", dir, i/50)
		if i%50 == 0 {
			if err := os.Mkdir(sub, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		path := fmt.Sprintf("%s/f%d", sub, i)
		if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		manifest.WriteString(path[1:] + "\n")
	}
	by.GiveTree(t, dir)
	s.Load(fixture.Delta(t, "listed", "file removed data="+quote(manifest.String())))
	s.Register("listed", "listed", "--base", "probe", "--target", "/bin/probe")
	best := time.Hour
	for range 3 {
		res := s.MustCtl("explain", "listed")
		best = min(best, res.Took)
		if lines := strings.Count(res.Stdout, "\n"); lines > 80 {
			t.Errorf("%d lines for %d files", lines, files)
		}
	}
	one := s.MustCtl("explain", "listed", dir+"/d003/f155").Took
	t.Logf("explain: %v, one path: %v", best, one)
	if best > time.Second {
		t.Errorf("explain took %v", best)
	}
}
