package integration

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// hostTree is what manifests name in the test of the strategies: all kinds of files that hosts have.
func hostTree(t *testing.T, by fixture.Caller) (dir string, names []string) {
	t.Helper()
	dir = hostDir(t, by)
	file := func(name string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content of "+name+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		by.Give(t, path)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	link := func(name, text string) {
		if err := os.Symlink(text, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	for i := range 20 {
		file(fmt.Sprintf("plain/%02d", i), 0o644)
	}
	file("program", 0o755)
	file("odd-mode", 0o604)
	file("private", 0o600) // which the policy refuses
	file("read-only", 0o444)
	file("setuid", 0o755|os.ModeSetuid)
	file("with blank", 0o644)
	file(" leading", 0o644)
	file("-dash", 0o644)
	file("ünïcode", 0o644)
	file(`back\slash;*?[x]`, 0o644)
	file("empty", 0o644)
	if err := os.Truncate(filepath.Join(dir, "empty"), 0); err != nil {
		t.Fatal(err)
	}
	link("relative", "program")
	link("absolute", filepath.Join(dir, "program"))
	link("dangling", "nowhere")
	file("first", 0o644)
	if err := os.Link(filepath.Join(dir, "first"), filepath.Join(dir, "second")); err != nil {
		t.Fatal(err)
	}
	names = append(names, "second")
	file("attribute", 0o644)
	if err := unix.Setxattr(filepath.Join(dir, "attribute"), "user.mine", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	file("file-here", 0o644)     // a directory in the image
	file("dir-here/file", 0o644) // its parent is a file in the image
	file("linked/deep", 0o644)   // its parent is a symlink in the image
	if err := os.Mkdir(filepath.Join(dir, "directory"), 0o750); err != nil {
		t.Fatal(err)
	}
	by.Give(t, filepath.Join(dir, "directory"))
	return dir, append(names, "directory")
}

// looks asks the probe about paths.
func looks(t *testing.T, s *fixture.Sandbox, app string, paths []string) map[string]string {
	t.Helper()
	res := s.ExecWith(func(cmd *exec.Cmd) { cmd.Stdin = strings.NewReader(strings.Join(paths, "\n") + "\n") }, app, "look")
	if res.Code != 0 {
		t.Fatalf("%v", res)
	}
	out := map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(res.Stdout, "\n"), "\n") {
		out[paths[i]] = strings.TrimPrefix(line, paths[i]+" ")
	}
	return out
}

func TestStrategies(t *testing.T) { fixture.Each(t, testStrategies) }

// testStrategies holds both ways of showing host files against each other and against the host.
func testStrategies(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	dir, names := hostTree(t, by)
	below := strings.TrimPrefix(dir, "/")
	var manifest strings.Builder
	for i, name := range names {
		prefix := []string{"", "/", "./"}[i%3]
		fmt.Fprintf(&manifest, "%s%s/%s\n", prefix, below, name)
	}
	fmt.Fprintf(&manifest, "\n%s/program\n%s/../../etc/shadow\n%s/missing\n", below, below, below)
	s.Load(fixture.Delta(t, "listed", "file removed data="+quote(manifest.String()),
		"dir opt", "dir "+below, "dir "+below+"/file-here", "file "+below+"/dir-here", "dir "+below+"/elsewhere", "link "+below+"/linked to=elsewhere"))
	var paths []string
	for _, name := range names {
		paths = append(paths, filepath.Join(dir, name))
	}
	paths = append(paths, dir+"/missing", dir+"/elsewhere/deep", dir)
	seen := map[string]map[string]string{}
	for _, strategy := range []string{"bind", "layer"} {
		s.Register(strategy, "listed", "--base", "probe", "--target", "/bin/probe", "--profile", "isolated", "--force")
		dropIn(s, strategy, "host_files: {strategy: "+strategy+"}\n")
		seen[strategy] = looks(t, s, s.Link(strategy), paths)
		mounts := s.MustApp(strategy, "cat", "/proc/self/mountinfo").Stdout
		if n := strings.Count(mounts, " "+dir+"/plain/"); (n == 40) != (strategy == "bind") {
			t.Errorf("%s: %d times a file in mountinfo, which names source and place of each", strategy, n)
		}
	}
	for _, path := range paths {
		bind, layer := seen["bind"][path], seen["layer"][path]
		if !by.IsRoot() { // closed list: the owner of a host file
			layer = strings.Replace(layer, " "+by.Owner()+" ", " ", 1)
			bind = strings.Replace(bind, " "+by.Owner()+" ", " ", 1)
		}
		if strings.HasPrefix(bind, "40") { // closed list: a directory is as old as the layer that was made for it
			bind, layer = withoutTime(bind), withoutTime(layer)
		}
		if bind != layer {
			t.Errorf("%s: bind %q, layer %q", path, seen["bind"][path], seen["layer"][path])
		}
	}
	for name, want := range map[string]string{"program": "100755 ", "read-only": "100444 ", "setuid": "104755 ", "relative": `"program"`, "dangling": `"nowhere"`, "file-here": "100644 ", "dir-here/file": "100644 ", "linked/deep": "100644 ", "directory": "40750 ", "odd-mode": "100604 ", "private": "none"} {
		if got := seen["layer"][filepath.Join(dir, name)]; !strings.Contains(got, want) {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if res := s.MustApp("layer", "xattr", dir+"/attribute"); !strings.Contains(res.Stdout, "user.mine") {
		t.Errorf("attributes: %v", res)
	}
	nothingReachesTheHost(t, s, dir, names)
}

// nothingReachesTheHost has the app change its host files in all ways.
func nothingReachesTheHost(t *testing.T, s *fixture.Sandbox, dir string, names []string) {
	before := census(t, dir)
	for _, strategy := range []string{"bind", "layer"} {
		var paths []string
		for _, name := range names {
			paths = append(paths, filepath.Join(dir, name))
		}
		res := s.MustApp(strategy, append([]string{"spoil"}, paths...)...)
		if lines := words(res); len(lines) != len(paths) || strategy == "layer" && !slices.Contains(lines, "true true true true true") {
			t.Errorf("%s: the app tried nothing: %v", strategy, res)
		}
	}
	after := census(t, dir)
	for path, is := range before {
		if after[path] != is {
			t.Errorf("%s was %s, is %s", path, is, after[path])
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d entries before, %d after", len(before), len(after))
	}
}

// A host whose directory is itself an overlay leaves no room for two more of them: all is bound, and works.
func TestHostLayerFallsBack(t *testing.T) { fixture.Each(t, testHostLayerFallsBack) }

func testHostLayerFallsBack(t *testing.T, by fixture.Caller) {
	fixture.RequireRoot(t, "to mount over /opt")
	s := started(t, by)
	scratch := t.TempDir()
	for _, d := range []string{"lower/tool", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(scratch, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	fixture.OpenWay(t, scratch)
	var manifest strings.Builder
	for i := range 30 {
		name := fmt.Sprintf("tool/%02d", i)
		if err := os.WriteFile(filepath.Join(scratch, "lower", name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		manifest.WriteString("opt/" + name + "\n")
	}
	data := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", scratch)
	if err := unix.Mount("overlay", "/opt", "overlay", 0, data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount("/opt", unix.MNT_DETACH) })
	s.Load(fixture.Delta(t, "listed", "file removed data="+quote(manifest.String())))
	s.Register("listed", "listed", "--base", "probe", "--target", "/bin/probe", "--profile", "isolated")
	if res := s.App("listed", "cat", "/opt/tool/07"); res.Stdout != "tool/07" {
		t.Errorf("%v", res)
	}
	s.Register("forced", "listed", "--base", "probe", "--target", "/bin/probe", "--profile", "isolated")
	dropIn(s, "forced", "host_files: {strategy: layer}\n")
	s.Refused(s.App("forced", "cat", "/opt/tool/07"), "strategy: layer")
}

func TestFreshness(t *testing.T) { fixture.Each(t, testFreshness) }

// testFreshness changes host files at random between starts and compares what the app sees. With strict it never differs;
// else only size, mode and times of what was changed in place. There are so many files and directories that a start looks at
// them while PID 1 is at work already: it is taken back when one has changed, and the app must not notice.
func testFreshness(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	dir := hostDir(t, by)
	var manifest strings.Builder
	var paths []string
	for i := range 100 {
		name := fmt.Sprintf("d%d/%02d", i%70, i)
		paths = append(paths, filepath.Join(dir, name))
		manifest.WriteString(strings.TrimPrefix(dir, "/") + "/" + name + "\n")
		if err := os.MkdirAll(filepath.Dir(paths[i]), 0o755); err != nil {
			t.Fatal(err)
		}
		s.WriteFile(paths[i], fmt.Sprintf("%s at first\n", name))
	}
	s.Load(fixture.Delta(t, "listed", "file removed data="+quote(manifest.String())))
	for _, freshness := range []string{"strict", "default"} {
		s.Register(freshness, "listed", "--base", "probe", "--target", "/bin/probe", "--profile", "isolated")
		dropIn(s, freshness, "host_files: {strategy: layer, freshness: "+freshness+"}\n")
		s.MustApp(freshness, "exit", "0")
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same each time
	for round := range 12 {
		inPlace := map[string]bool{}
		for range 1 + random.IntN(6) {
			path := paths[random.IntN(len(paths))]
			inPlace[path] = change(t, s, random, path, round)
		}
		for _, freshness := range []string{"strict", "default"} {
			fields := []string{"status", "SigBlk", "SigIgn", "CapEff", "Cpus_allowed", "Seccomp_filters", "NoNewPrivs"}
			taken := s.MustApp(freshness, fields...).Stdout
			if plain := s.MustApp(freshness, fields...).Stdout; plain != taken {
				t.Errorf("round %d, %s: %q after a change, %q without", round, freshness, taken, plain)
			}
			inside, outside := looks(t, s, s.Link(freshness), paths), looks(t, s, s.NativeProbe(), paths)
			for _, path := range paths {
				in, out := anonymous(inside[path], by), anonymous(outside[path], by)
				if in == out || freshness == "default" && inPlace[path] {
					continue
				}
				t.Fatalf("round %d, %s, %s: inside %q, outside %q", round, freshness, path, in, out)
			}
		}
		for path := range inPlace { // what differs by default is gone once something in the directory changes
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "touch"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(filepath.Join(filepath.Dir(path), "touch"))
		}
	}
}

// manyDirs makes an image "listed" that asks for files in so many directories of the host that a start looks at them while
// PID 1 is at work.
func manyDirs(t *testing.T, s *fixture.Sandbox) string {
	t.Helper()
	dir := hostDir(t, s.By)
	var manifest strings.Builder
	for i := range 90 {
		name := fmt.Sprintf("%02d/file", i)
		manifest.WriteString(strings.TrimPrefix(dir, "/") + "/" + name + "\n")
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		s.WriteFile(filepath.Join(dir, name), name)
	}
	s.Load(fixture.Delta(t, "listed", "file removed data="+quote(manifest.String())))
	return dir
}

// slowOutside runs a start whose outer process, and no other, is slow to look at the host.
func slowOutside(t *testing.T) []string {
	t.Helper()
	return []string{
		fixture.RequireProgram(t, "strace"), "-o", filepath.Join(t.TempDir(), "log"), "-e", "trace=stat,newfstatat",
		"-e", "inject=stat,newfstatat:delay_enter=1000",
	}
}

func TestStalePlanIsSilent(t *testing.T) { fixture.Each(t, testStalePlanIsSilent) }

// testStalePlanIsSilent takes away what PID 1 is about to mount, while there are so many directories to look at that it has
// begun: what it can't find then is nobody's business, since the plan is made anew.
func testStalePlanIsSilent(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	dir := manyDirs(t, s)
	s.Register("bound", "listed", "--base", "probe", "--target", "/bin/probe", "--profile", "isolated")
	dropIn(s, "bound", "host_files: {strategy: bind}\n")
	time.Sleep(100 * time.Millisecond) // what has just changed is never fresh
	s.MustApp("bound", "exit", "0")
	if err := os.Remove(filepath.Join(dir, "89/file")); err != nil {
		t.Fatal(err)
	}
	words := slowOutside(t)
	if os.Geteuid() == 0 && !by.IsRoot() {
		words = append(words, fixture.RequireProgram(t, "setpriv"), fmt.Sprintf("--reuid=%d", by.UID), fmt.Sprintf("--regid=%d", by.GID), "--clear-groups")
	}
	words = append(words, s.Link("bound"), "exit", "0")
	res := s.ExecWith(func(cmd *exec.Cmd) { cmd.SysProcAttr = nil }, words[0], words[1:]...)
	if res.Code != 0 || res.Stderr != "" {
		t.Errorf("status %d, said %q", res.Code, res.Stderr)
	}
}

// A root without CAP_KILL can't kill a PID 1 that has become the app's user: a start that is taken back must end it all the same.
func TestStalePlanWithoutKill(t *testing.T) {
	fixture.RequireRoot(t, "it takes rights away")
	s := started(t, fixture.Root)
	dir := manyDirs(t, s)
	s.Register("other", "listed", "--base", "probe", "--target", "/bin/probe", "--profile", "isolated", "--user", "1000")
	time.Sleep(100 * time.Millisecond)
	s.MustApp("other", "exit", "0")
	s.WriteFile(filepath.Join(dir, "89/new"), "")
	words := append([]string{"--bounding-set=-kill", "--inh-caps=-kill"}, append(slowOutside(t), s.Link("other"), "exit", "0")...)
	res := s.ExecWith(func(cmd *exec.Cmd) { cmd.SysProcAttr = nil }, fixture.RequireProgram(t, "setpriv"), words...)
	if res.Code != 0 || res.Stderr != "" {
		t.Errorf("%v", res)
	}
}

// change does something to a file and says whether that was in place.
func change(t *testing.T, s *fixture.Sandbox, random *rand.Rand, path string, round int) bool {
	t.Helper()
	text := fmt.Sprintf("round %d %s\n", round, strings.Repeat("x", random.IntN(200)))
	var err error
	inPlace := false
	switch _, statErr := os.Lstat(path); {
	case statErr != nil: // add
		s.WriteFile(path, text)
	default:
		switch random.IntN(5) {
		case 0: // replace
			s.WriteFile(path+".new", text)
			err = os.Rename(path+".new", path)
		case 1:
			err = os.Remove(path)
		case 2:
			err, inPlace = os.Chmod(path, []os.FileMode{0o644, 0o664, 0o604, 0o755, 0o704}[random.IntN(5)]), true
		default:
			err, inPlace = os.WriteFile(path, []byte(text), 0o644), true
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return inPlace
}

// anonymous takes the owner out of what look says, which without root is the caller through the layer.
func anonymous(line string, by fixture.Caller) string {
	f := strings.Fields(line)
	if len(f) > 1 && !by.IsRoot() {
		f[1] = "-"
	}
	return strings.Join(f, " ")
}

// withoutTime is what the probe saw of a path without its time, seconds since the epoch.
func withoutTime(look string) string {
	return regexp.MustCompile(` [0-9]{9,} `).ReplaceAllString(look, " ")
}
