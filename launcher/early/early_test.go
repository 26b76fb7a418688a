package early

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// readers are the C program in front, as flake-launcher and as flake-run, which tell what they would start.
var readers [2]string

func TestMain(m *testing.M) {
	plan.Build = "a test"
	dir, err := os.MkdirTemp("", "flake-early-")
	if err == nil {
		err = build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func build(dir string) error {
	sources, err := filepath.Glob("front/*.c")
	if err != nil {
		return err
	}
	cc, err := exec.LookPath("musl-gcc")
	if err != nil {
		cc = "gcc"
	}
	for i, name := range []string{"flake-launcher", "flake-run"} {
		readers[i] = filepath.Join(dir, name)
		args := []string{"-std=gnu11", "-static", "-Os", "-Wall", "-Wextra", "-Werror", "-DFRONT_TEST", fmt.Sprintf("-Wl,--defsym=flake_build=%#x", plan.BuildID())}
		if i == 1 {
			args = append(args, "-Wl,--defsym=flake_ad_hoc=1")
		}
		if out, err := exec.Command(cc, slices.Concat(args, []string{"-o", readers[i]}, sources)...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cc, err, out)
		}
	}
	return nil
}

// world is what a start finds.
type world struct {
	t    *testing.T
	dir  string // below it all lies
	p    *plan.Plan
	env  []string
	cwd  string
	argv []string
	open int // descriptors that the caller has open; 0: the standard ones
	// words make it an ad-hoc start; v is what the launcher makes of argv.
	words []string
	v     plan.Invocation
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) mkdir(names ...string) {
	w.t.Helper()
	for _, n := range names {
		if err := os.MkdirAll(w.path(n), 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) lookup(name string) (string, bool) {
	for _, kv := range w.env {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	real, err := filepath.EvalSymlinks(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	w.dir = real
	w.mkdir("store/plans", "layer", "base", "host", "home/sub", "work", "tmp")
	o := &initproc.Ops{}
	o.Clone(unix.CLONE_NEWNS|unix.CLONE_NEWPID, 0)
	o.Mount("proc", "proc", "/proc", "", 0, 0)
	o.Pivot(false)
	o.Caps(initproc.Caps{Bounding: 3})
	list, err := o.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	user := os.Geteuid() != 0
	w.p = &plan.Plan{
		Build: plan.Build, Kernel: plan.Kernel(), Name: "app", Lower: []string{w.path("layer"), w.path("base")}, Writable: plan.WritableTmpfs,
		Store: w.path("store"), Entrypoint: []string{"/bin/app"}, Cmd: []string{"--default"}, Env: []string{"PATH=/bin", "A=image"},
		Pass: []string{"*"}, Deny: []string{"LD_*", "*_SECRET", "LANG", "FLAKES_ROOT"}, Set: []string{"S=set", "A=won"}, Cwd: "/srv", ShareCwd: true,
		Seed:   []plan.Node{{Path: "etc", Mode: 0o755}},
		Binds:  []plan.Bind{{Source: w.path("tmp"), Target: "/tmp"}, {Source: "%HOME", Target: "%HOME"}, {Source: w.path("none"), Target: "/none", Optional: true}},
		Copies: []plan.Copy{{Source: "/etc/hosts", Target: "/etc/hosts", Mode: 0o644}}, Protect: []string{w.path("store"), w.path("home/.config")},
		Engine: plan.EngineDirect, User: user, Caller: uint32(os.Geteuid()), Ops: list, Filters: [][]byte{{1, 2, 3, 4, 5, 6, 7, 8}},
		Checks: []plan.Check{plan.NewCheck(w.path("layer")), plan.NewCheck(w.path("missing")), plan.NewCheck("/etc/passwd")},
	}
	w.env = []string{"FLAKES_ROOT=" + w.path("store"), "HOME=" + w.path("home"), "LANG=C", "LD_PRELOAD=x", "MY_SECRET=1", "B=caller", "A=caller", "EMPTY=", "odd", "=odder", "B=twice"}
	w.cwd, w.argv = w.path("work"), []string{"/usr/bin/app", "one", "", "three words"}
	w.v = plan.Invocation{Args: w.argv[1:]}
	return w
}

// compile writes the plan with what the early part reads of it.
func (w *world) compile() {
	w.t.Helper()
	for _, name := range append(slices.Clone(Variables), "PWD") {
		w.t.Setenv(name, "")
		if value, ok := w.lookup(name); ok {
			os.Setenv(name, value)
		} else {
			os.Unsetenv(name)
		}
	}
	w.p.Words = w.words
	var err error
	if w.p.Early, err = Section(w.p); err != nil {
		w.t.Fatal(err)
	}
	home, _ := w.lookup("HOME")
	name := plan.FileName("app", home)
	if w.words != nil {
		name = plan.AdHocName(w.words, home)
	}
	if err := w.p.Write(filepath.Join(w.path("store/plans"), name)); err != nil {
		w.t.Fatal(err)
	}
}

// early is the list that the C program makes, nil if it leaves the start to Go.
func (w *world) early() []byte {
	w.t.Helper()
	reader := readers[0]
	if w.words != nil {
		reader = readers[1]
	}
	out, err := os.Create(w.path("out"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer out.Close()
	// Not by os/exec, which leaves of a variable that is there twice only one.
	files := []*os.File{nil, out, os.Stderr}
	for len(files) < w.open {
		files = append(files, os.Stderr)
	}
	child, err := os.StartProcess(reader, w.argv, &os.ProcAttr{Dir: w.cwd, Env: w.env, Files: files})
	if err != nil {
		w.t.Fatal(err)
	}
	end, err := child.Wait()
	if err != nil || end.ExitCode() != 0 && end.ExitCode() != 3 {
		w.t.Fatal(end, err)
	}
	list, err := os.ReadFile(out.Name())
	if err != nil {
		w.t.Fatal(err)
	}
	if end.ExitCode() == 3 {
		return nil
	}
	return list
}

// late is the list that Go makes.
func (w *world) late() []byte {
	w.t.Helper()
	w.t.Chdir(w.cwd)
	os.Unsetenv("PWD")
	p, err := plan.Decode(w.p.Encode())
	if err != nil {
		w.t.Fatal(err)
	}
	now, err := caller.At(p, caller.Caller{Lookup: w.lookup, Getwd: func() (string, error) { return unix.Getwd() }})
	if err != nil {
		w.t.Fatal(err)
	}
	d := Describe(p, now, places(p))
	d.Speaker, d.Args, d.Env = "app", p.Argv(w.v), p.Environ(w.v, w.env, now.PWD())
	if w.words != nil {
		d.Speaker = AdHoc
	}
	list, err := d.List()
	if err != nil {
		w.t.Fatal(err)
	}
	return initproc.Blob(list)
}

func TestSameListAsGo(t *testing.T) {
	for behaviour, prepare := range map[string]func(w *world){
		"plain":                         func(*world) {},
		"many descriptors":              func(w *world) { w.open = FirstFD - 5 },
		"no arguments":                  func(w *world) { w.argv = w.argv[:1]; w.v.Args = nil },
		"called by its bare name":       func(w *world) { w.argv[0] = "app" },
		"no entry point":                func(w *world) { w.p.Entrypoint = nil },
		"arguments that are no UTF-8":   func(w *world) { w.argv[1] = "\xff\n\x01" },
		"nothing of the environment":    func(w *world) { w.p.Pass = nil },
		"patterns":                      func(w *world) { w.p.Pass = []string{"B", "EM*TY", "*PTY", "X*"} },
		"an empty environment":          func(w *world) { w.env = w.env[:2] },
		"no HOME":                       func(w *world) { w.env = append(w.env[:1:1], "A=1"); w.p.Binds = w.p.Binds[:1] },
		"in a shared directory":         func(w *world) { w.cwd = w.path("home/sub") },
		"in the home directory":         func(w *world) { w.cwd = w.path("home") },
		"in /":                          func(w *world) { w.cwd = "/" },
		"in a directory of the image's": func(w *world) { w.cwd = "/usr/bin" },
		"in a place that shows another": func(w *world) { w.p.Binds = append(w.p.Binds, plan.Bind{Source: w.path("tmp"), Target: w.dir}) },
		"PWD is right":                  func(w *world) { w.env = append(w.env, "PWD="+w.cwd) },
		"PWD is old":                    func(w *world) { w.env = append(w.env, "PWD=/usr") },
		"PWD is relative":               func(w *world) { w.env = append(w.env, "PWD=work") },
		"PWD does not exist":            func(w *world) { w.env = append(w.env, "PWD=/no/such") },
		"no directory shared":           func(w *world) { w.p.ShareCwd = false },
		"no directory at all":           func(w *world) { w.p.ShareCwd, w.p.Cwd = false, "/" },
		"a home with a store":           func(w *world) { w.mkdir("home/.config/flakes") },
		"a host layer":                  func(w *world) { w.p.HostLayer = &plan.HostLayer{Dir: w.path("host"), Data: []string{"/usr", "/etc"}} },
		"links":                         func(w *world) { w.p.Links = []plan.Link{{Source: "/etc/hosts", Target: "/x", Kind: plan.LinkFile}} },
		"above what is protected": func(w *world) {
			w.mkdir("work/a/b/c", "work/a/b/d", "work/e")
			w.p.Protect = []string{w.path("store"), w.path("work/a/b/c"), w.path("work/a/b/d"), w.path("work/a/b"), w.path("work/e"), w.path("work/none")}
		},
		"a limited tmpfs": func(w *world) { w.p.Size = 1 << 20 },
		"a source behind a symlink": func(w *world) {
			if err := os.Symlink("tmp", w.path("link")); err != nil {
				w.t.Fatal(err)
			}
			w.p.Binds = append(w.p.Binds, plan.Bind{Source: w.path("link"), Target: "/mnt"})
		},
		"read-only root, in a shared directory": func(w *world) {
			w.p.Writable, w.cwd = plan.WritableNone, w.path("home/sub")
		},
		"other variables of ours": func(w *world) { w.env = append(w.env, "XDG_CONFIG_HOME=/x", "XDG_DATA_HOME=/y") },
	} {
		t.Run(behaviour, func(t *testing.T) {
			w := newWorld(t)
			prepare(w)
			w.compile()
			got := w.early()
			if got == nil {
				t.Fatal("left to Go")
			}
			if want := w.late(); !bytes.Equal(got, want) {
				t.Errorf("%s", difference(got, want))
			}
		})
	}
}

func TestSameListAdHoc(t *testing.T) {
	for behaviour, tc := range map[string]struct {
		argv, words []string
		v           plan.Invocation
	}{
		"an image":          {[]string{"img"}, []string{"--", "img"}, plan.Invocation{}},
		"a command":         {[]string{"img", "ls", "-l"}, []string{"--", "img"}, plan.Invocation{Replace: true, Args: []string{"ls", "-l"}}},
		"two dashes":        {[]string{"img", "--", "-x"}, []string{"--", "img"}, plan.Invocation{Replace: true, Args: []string{"-x"}}},
		"a base":            {[]string{"--base", "b", "img"}, []string{"--base=b", "--", "img"}, plan.Invocation{}},
		"a stack":           {[]string{"--base=b", "--layer", "l", "--layer=m", "img"}, []string{"--base=b", "--layer=l", "--layer=m", "--", "img"}, plan.Invocation{}},
		"variables":         {[]string{"-e", "X=1", "--env=B", "--env", "NONE", "-e", "X=2", "img"}, []string{"--", "img"}, plan.Invocation{Env: []string{"X=1", "B", "NONE", "X=2"}}},
		"-e in the command": {[]string{"img", "-e", "X=1"}, []string{"--", "img"}, plan.Invocation{Replace: true, Args: []string{"-e", "X=1"}}},
	} {
		t.Run(behaviour, func(t *testing.T) {
			w := newWorld(t)
			w.argv, w.words, w.v = append([]string{"flake-run"}, tc.argv...), append([]string{"compile", "--ad-hoc"}, tc.words...), tc.v
			w.compile()
			got := w.early()
			if got == nil {
				t.Fatal("left to Go")
			}
			if want := w.late(); !bytes.Equal(got, want) {
				t.Errorf("%s", difference(got, want))
			}
		})
	}
}

// What is not plain, or not as it was, is Go's: it has the words for it.
func TestLeftToGo(t *testing.T) {
	nothing := func(*world) {}
	for behaviour, tc := range map[string]struct{ before, after func(w *world) }{
		"another build":            {nothing, func(w *world) { w.patch("build") }},
		"a damaged plan":           {nothing, func(w *world) { w.patch("flip") }},
		"a plan cut short":         {nothing, func(w *world) { w.patch("cut") }},
		"no plan":                  {nothing, func(w *world) { w.patch("remove") }},
		"a plan others may write":  {nothing, func(w *world) { w.patch("chmod") }},
		"a plan behind a symlink":  {nothing, func(w *world) { w.patch("link") }},
		"a store others may write": {nothing, func(w *world) { os.Chmod(w.path("store"), 0o777) }},
		"a store behind a symlink": {nothing, func(w *world) {
			os.Rename(w.path("store"), w.path("moved"))
			os.Symlink("moved", w.path("store"))
		}},
		"a store by a long way": {func(w *world) { w.env[0] = "FLAKES_ROOT=" + w.dir + "//store" }, nothing},
		"a relative store":      {nothing, func(w *world) { w.env[0] = "FLAKES_ROOT=store"; w.cwd = w.dir }},
		"a changed layer": {nothing, func(w *world) {
			time.Sleep(20 * time.Millisecond) // times of files are those of the clock's ticks
			w.mkdir("layer/new")
		}},
		"what was missing":             {nothing, func(w *world) { w.mkdir("missing") }},
		"a layer that is gone":         {func(w *world) { w.p.Checks = nil }, func(w *world) { os.Remove(w.path("base")) }},
		"another HOME":                 {nothing, func(w *world) { w.env[1] = "HOME=/other" }},
		"another XDG_CONFIG_HOME":      {nothing, func(w *world) { w.env = append(w.env, "XDG_CONFIG_HOME=/other") }},
		"an empty XDG_DATA_HOME":       {nothing, func(w *world) { w.env = append(w.env, "XDG_DATA_HOME=") }},
		"asked by a variable":          {nothing, func(w *world) { w.env = append(w.env, "FLAKE_INSTANCE=x") }},
		"an optional source appears":   {nothing, func(w *world) { w.mkdir("none") }},
		"a source goes":                {nothing, func(w *world) { os.Remove(w.path("tmp")) }},
		"a source becomes a symlink":   {nothing, func(w *world) { os.Remove(w.path("tmp")); os.Symlink("work", w.path("tmp")) }},
		"something protected appears":  {nothing, func(w *world) { w.mkdir("home/.config") }},
		"above a shared directory":     {nothing, func(w *world) { w.cwd = w.dir }},
		"in something protected":       {nothing, func(w *world) { w.cwd = w.path("store/plans") }},
		"by a symlink":                 {nothing, func(w *world) { os.Symlink("work", w.path("way")); w.env = append(w.env, "PWD="+w.path("way")) }},
		"a login shell's name":         {nothing, func(w *world) { w.argv[0] = "-app" }},
		"its own name":                 {nothing, func(w *world) { w.argv[0] = "/x/flake-launcher" }},
		"no name":                      {nothing, func(w *world) { w.argv[0] = "" }},
		"a name with a slash behind":   {nothing, func(w *world) { w.argv[0] = "app/" }},
		"no command":                   {func(w *world) { w.p.Entrypoint, w.p.Cmd = nil, nil }, func(w *world) { w.argv = w.argv[:1] }},
		"a command to be quoted":       {func(w *world) { w.p.Entrypoint = []string{"/bin/\"x\""} }, nothing},
		"a directory for a fixed root": {func(w *world) { w.p.Writable = plan.WritableNone }, nothing},
		"writable on disk":             {func(w *world) { w.p.Writable = plan.WritableDisk }, nothing},
		"kept":                         {func(w *world) { w.p.Kept = plan.KeptResume }, nothing},
		"pilot arguments":              {func(w *world) { w.p.PilotArguments = true }, nothing},
		"descriptors":                  {func(w *world) { w.p.PreserveFDs = true }, nothing},
		"a descriptor in our place":    {func(w *world) { w.open = FirstFD + 1 }, nothing},
		"another engine":               {func(w *world) { w.p.Engine = plan.EngineLibcontainer }, nothing},
		"variables in a directory":     {func(w *world) { w.p.CwdVars, w.p.Cwd = true, "%HOME" }, nothing},
		"variables in the environment": {func(w *world) { w.p.Set = []string{"A=%HOME"} }, nothing},
		"another variable in a source": {func(w *world) { w.p.Binds[1].Source = "%B" }, nothing},
		"a plan for never":             {func(w *world) { w.p.Checks = append(w.p.Checks, plan.Never) }, nothing},
		"a link to a source leads to another name": {func(w *world) {
			if err := errors.Join(os.WriteFile(w.path("work/a"), nil, 0o644), os.Link(w.path("work/a"), w.path("work/b")), os.Symlink("work/a", w.path("link"))); err != nil {
				w.t.Fatal(err)
			}
			w.p.Binds = append(w.p.Binds, plan.Bind{Source: w.path("link"), Target: "/mnt/x"})
		}, func(w *world) { os.Remove(w.path("link")); os.Symlink("work/b", w.path("link")) }},
		"the host's pids": {func(w *world) {
			o := &initproc.Ops{}
			o.Clone(unix.CLONE_NEWNS, 0)
			o.Pivot(false)
			w.p.Ops, _ = o.Bytes()
		}, nothing},
	} {
		t.Run(behaviour, func(t *testing.T) {
			w := newWorld(t)
			tc.before(w)
			w.compile()
			tc.after(w)
			if w.early() != nil {
				t.Error("started")
			}
		})
	}
}

// A root who may trace processes could come at the file that PID 1 was executed from.
func TestMightyAppsAreGos(t *testing.T) {
	w := newWorld(t)
	o := &initproc.Ops{}
	o.Clone(unix.CLONE_NEWNS|unix.CLONE_NEWPID, 0)
	o.Pivot(false)
	o.Caps(initproc.Caps{Bounding: 1 << unix.CAP_SYS_PTRACE})
	w.p.Ops, _ = o.Bytes()
	w.compile()
	if got, user := w.early(), os.Geteuid() != 0; (got != nil) != user {
		t.Errorf("started: %v, as a user: %v", got != nil, user)
	}
}

func TestAdHocLeftToGo(t *testing.T) {
	for behaviour, argv := range map[string][]string{
		"nothing":              {},
		"an option":            {"--profile", "native", "img"},
		"a base twice":         {"--base=b", "--base=b", "img"},
		"a layer without base": {"--layer=l", "img"},
		"an empty image":       {""},
		"a joined -e":          {"-eX=1", "img"},
		"-e with a sign":       {"-e=X", "img"},
		"a nameless variable":  {"-e", "=1", "img"},
		"another image":        {"other"},
		"help":                 {"--help"},
		"dashes first":         {"--", "img"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			w := newWorld(t)
			w.words, w.argv = []string{"compile", "--ad-hoc", "--", "img"}, append([]string{"flake-run"}, argv...)
			w.compile()
			if w.early() != nil {
				t.Error("started")
			}
		})
	}
}

// patch harms the plan file.
func (w *world) patch(how string) {
	w.t.Helper()
	files, err := filepath.Glob(w.path("store/plans/*"))
	if err != nil || len(files) != 1 {
		w.t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		w.t.Fatal(err)
	}
	switch how {
	case "build":
		plan.Build = "another"
		w.compile()
		plan.Build = "a test"
		return
	case "flip":
		b[len(b)-9] ^= 1
	case "cut":
		b = b[:len(b)-8]
	case "chmod":
		err = os.Chmod(files[0], 0o666)
	case "remove", "link":
		err = os.Remove(files[0])
	}
	if how == "link" {
		err = errors.Join(err, os.WriteFile(w.path("elsewhere"), b, 0o644), os.Symlink(w.path("elsewhere"), files[0]))
	} else if how != "remove" {
		err = errors.Join(err, os.WriteFile(files[0], b, 0o644))
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// difference shows where two lists part.
func difference(got, want []byte) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	show := func(b []byte) string { return fmt.Sprintf("%q", b[max(0, at-60):min(len(b), at+60)]) }
	return fmt.Sprintf("at %d of %d and %d:\n got %s\nwant %s", at, len(got), len(want), show(got), show(want))
}

// The numbers are the same on both sides.
func TestRecordNumbers(t *testing.T) {
	src, err := os.ReadFile("front/front.h")
	if err != nil {
		t.Fatal(err)
	}
	text := string(src)
	_, list, _ := strings.Cut(text, "REC_IF = 1,")
	list, _, _ = strings.Cut(list, "REC_LAST")
	got := append([]string{"REC_IF"}, strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\t' })...)
	want := []string{
		recIf - 1: "REC_IF", recVar - 1: "REC_VAR", recCheck - 1: "REC_CHECK", recOpen - 1: "REC_OPEN", recBind - 1: "REC_BIND",
		recSource - 1: "REC_SOURCE", recProtect - 1: "REC_PROTECT", recEnv - 1: "REC_ENV", recPass - 1: "REC_PASS", recDeny - 1: "REC_DENY",
		recSet - 1: "REC_SET", recCommand - 1: "REC_COMMAND", recDefault - 1: "REC_DEFAULT", recOwned - 1: "REC_OWNED", recHead - 1: "REC_HEAD",
		recBinds - 1: "REC_BINDS", recRights - 1: "REC_RIGHTS", recCwd - 1: "REC_CWD", recID - 1: "REC_ID", recShare - 1: "REC_SHARE", recWords - 1: "REC_WORDS", recNamed - 1: "REC_NAMED",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, line := range []string{
		fmt.Sprintf("FIRST_FD = %d, MAX_DIRS = %d,", FirstFD, maxDirs),
		fmt.Sprintf("IF_USER = %d, IF_SHARE = %d, IF_FIXED = %d, IF_ROOT = %d }", flagUser, flagShare, flagFixed, flagRoot),
	} {
		if !strings.Contains(text, line) {
			t.Errorf("no %q", line)
		}
	}
}
