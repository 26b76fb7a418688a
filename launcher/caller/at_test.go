package caller

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// place makes a directory tree and gives its path without symlinks on the way.
func place(t *testing.T, dirs ...string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func at(t *testing.T, p *plan.Plan, dir string, vars map[string]string) (*Moment, error) {
	t.Helper()
	t.Chdir(dir)
	return At(p, Caller{
		Lookup: func(name string) (string, bool) { v, ok := vars[name]; return v, ok },
		Getwd:  unixGetwd,
	})
}

func TestCwd(t *testing.T) {
	root := place(t, "home/u/p", "elsewhere")
	home, outside := root+"/home/u", root+"/elsewhere"
	if err := os.Symlink("home", root+"/link"); err != nil {
		t.Fatal(err)
	}
	shared := []plan.Bind{{Source: home, Target: home}}
	for behaviour, test := range map[string]struct {
		binds    []plan.Bind
		dir, pwd string
		want     Cwd
		more     []Bind
		links    []Symlink
	}{
		"below a shared home":           {shared, home + "/p", "", Cwd{Path: home + "/p", Real: home + "/p"}, nil, nil},
		"the shared home":               {shared, home, "", Cwd{Path: home, Real: home}, nil, nil},
		"elsewhere":                     {shared, outside, "", Cwd{Path: outside, Real: outside}, []Bind{{Source: outside, Target: outside}}, nil},
		"nothing shared":                {nil, home, "", Cwd{Path: home, Real: home}, []Bind{{Source: home, Target: home}}, nil},
		"covered by something else":     {[]plan.Bind{{Source: home, Target: home}, {Source: outside, Target: home + "/p"}}, home + "/p", "", Cwd{Path: home + "/p", Real: home + "/p"}, []Bind{{Source: home + "/p", Target: home + "/p"}}, nil},
		"by a symlink":                  {shared, home + "/p", root + "/link/u/p", Cwd{Path: root + "/link/u/p", Real: home + "/p"}, nil, []Symlink{{root + "/link", "home"}}},
		"PWD of another directory":      {shared, home + "/p", outside, Cwd{Path: home + "/p", Real: home + "/p"}, nil, nil},
		"PWD that is no clean path":     {shared, home + "/p", home + "/../u/p", Cwd{Path: home + "/p", Real: home + "/p"}, nil, nil},
		"relative PWD":                  {shared, home + "/p", "p", Cwd{Path: home + "/p", Real: home + "/p"}, nil, nil},
		"the root shares nothing":       {nil, "/", "", Cwd{Path: "/"}, nil, nil},
		"a directory that is the image": {nil, "/usr", "", Cwd{Path: "/usr"}, nil, nil},
		"below one":                     {nil, "/proc/self", "", Cwd{}, nil, nil},
	} {
		t.Run(behaviour, func(t *testing.T) {
			p := &plan.Plan{ShareCwd: true, Cwd: "/image", Binds: test.binds}
			m, err := at(t, p, test.dir, map[string]string{"PWD": test.pwd})
			if err != nil {
				t.Fatal(err)
			}
			if behaviour == "below one" { // whose name is a number
				if !Own(m.Cwd.Path) || len(m.Binds) > 0 {
					t.Errorf("%+v", m)
				}
				return
			}
			if d := cmp.Diff(test.want, m.Cwd, cmpopts.IgnoreFields(Cwd{}, "Dev", "Ino")); d != "" {
				t.Error(d)
			}
			if got := m.Binds[len(test.binds):]; !cmp.Equal(got, test.more, cmpopts.EquateEmpty()) {
				t.Errorf("binds %+v, want %+v", got, test.more)
			}
			if !cmp.Equal(m.Symlinks, test.links, cmpopts.EquateEmpty()) {
				t.Errorf("symlinks %+v, want %+v", m.Symlinks, test.links)
			}
			if (m.Cwd.Ino != 0) != (m.Cwd.Real != "") {
				t.Errorf("inode of %+v", m.Cwd)
			}
		})
	}
}

// What is mounted below the current directory is not hidden by it.
func TestMountsBelowCwd(t *testing.T) {
	root := place(t, "p", "data")
	p := &plan.Plan{ShareCwd: true, Binds: []plan.Bind{{Source: root + "/data", Target: "/data"}, {Source: root + "/data", Target: root + "/p/data"}, {Target: root + "/p/t", Tmpfs: "mode=0700"}}}
	m, err := at(t, p, root+"/p", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Bind{{Source: root + "/data", Target: "/data"}, {Source: root + "/p", Target: root + "/p"}, {Source: root + "/data", Target: root + "/p/data"}, {Target: root + "/p/t", Tmpfs: "mode=0700"}}
	if d := cmp.Diff(want, m.Binds); d != "" {
		t.Error(d)
	}
}

func TestCwdByAVariable(t *testing.T) {
	p := &plan.Plan{Cwd: "%DIR/../w", CwdVars: true}
	if m, err := at(t, p, t.TempDir(), map[string]string{"DIR": "/a"}); err != nil || m.Cwd.Path != "/w" || !m.Cwd.Make {
		t.Errorf("%+v, %v", m, err)
	}
	for _, vars := range []map[string]string{nil, {"DIR": "relative"}} {
		var cwd *CwdError
		if _, err := at(t, p, t.TempDir(), vars); !errorAs(err, &cwd) {
			t.Errorf("%v: got %v", vars, err)
		}
	}
}

func TestCwdOfTheImage(t *testing.T) {
	m, err := at(t, &plan.Plan{Cwd: "/work"}, t.TempDir(), nil)
	if err != nil || m.Cwd != (Cwd{Path: "/work", Make: true}) || m.PWD() != "" || len(m.Binds) > 0 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestDeletedCwd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	_, err := At(&plan.Plan{ShareCwd: true}, Self())
	var cwd *CwdError
	if !errorAs(err, &cwd) || cwd.Remedy() == "" {
		t.Errorf("got %v", err)
	}
}

func TestBindsOfTheMoment(t *testing.T) {
	root := place(t, "a", "sock")
	if err := os.Symlink("a", root+"/link"); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"DIR": root, "REL": "a", "SYS": "/usr"}
	for behaviour, test := range map[string]struct {
		bind plan.Bind
		want []Bind
		fail bool
	}{
		"a tmpfs by a variable":      {plan.Bind{Target: "%DIR/t", Tmpfs: "mode=0700", NoExec: true}, []Bind{{Target: root + "/t", Tmpfs: "mode=0700", NoExec: true}}, false},
		"by a symlink":               {plan.Bind{Source: root + "/link", Target: "/a"}, []Bind{{Source: root + "/a", Target: "/a"}}, false},
		"plain":                      {plan.Bind{Source: root + "/a", Target: "/a", ReadOnly: true}, []Bind{{Source: root + "/a", Target: "/a", ReadOnly: true}}, false},
		"by a variable":              {plan.Bind{Source: "%DIR/a", Target: "%DIR/a"}, []Bind{{Source: root + "/a", Target: root + "/a"}}, false},
		"not clean":                  {plan.Bind{Source: "%DIR/../" + filepath.Base(root) + "/a", Target: "/x"}, []Bind{{Source: root + "/a", Target: "/x"}}, false},
		"unset":                      {plan.Bind{Source: "%NONE/a", Target: "/x"}, nil, true},
		"unset, optional":            {plan.Bind{Source: "%NONE", Target: "/x", Optional: true}, nil, false},
		"missing":                    {plan.Bind{Source: root + "/b", Target: "/x"}, nil, true},
		"missing, optional":          {plan.Bind{Source: root + "/b", Target: "/x", Optional: true}, nil, false},
		"relative":                   {plan.Bind{Source: "%REL", Target: "/x"}, nil, true},
		"over the image's own":       {plan.Bind{Source: "%DIR/a", Target: "%SYS"}, nil, true},
		"a part of a path component": {plan.Bind{Source: root + "/so%NAME", Target: "/x", Optional: true}, nil, false},
	} {
		t.Run(behaviour, func(t *testing.T) {
			m, err := at(t, &plan.Plan{Binds: []plan.Bind{test.bind}}, root, vars)
			if test.fail {
				var share *ShareError
				if !errorAs(err, &share) || share.Remedy() == "" {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(test.want, m.Binds, cmpopts.EquateEmpty()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestProtect(t *testing.T) {
	ours := []string{"/home/u/.local/share/flakes", "/home/u/.config/flakes"}
	self := func(path string, ro bool) Bind { return Bind{Source: path, Target: path, ReadOnly: ro} }
	for behaviour, test := range map[string]struct{ binds, want []Bind }{
		"elsewhere":           {[]Bind{self("/srv", false)}, []Bind{self("/srv", false)}},
		"a neighbour by name": {[]Bind{self("/home/u/.config/flakes2", false)}, []Bind{self("/home/u/.config/flakes2", false)}},
		"the home": {[]Bind{self("/home/u", false)}, []Bind{
			self("/home/u", false), self("/home/u/.local", false), self("/home/u/.local/share", false), self(ours[0], true),
			self("/home/u/.config", false), self(ours[1], true),
		}},
		"read-only anyway":   {[]Bind{self("/home/u", true)}, []Bind{self("/home/u", true)}},
		"one of them":        {[]Bind{self(ours[1], false)}, []Bind{self(ours[1], true)}},
		"below one of them":  {[]Bind{self(ours[0]+"/plans", false)}, []Bind{self(ours[0]+"/plans", true)}},
		"under another name": {[]Bind{{Source: "/home/u/.config", Target: "/conf"}}, []Bind{{Source: "/home/u/.config", Target: "/conf"}, {Source: ours[1], Target: "/conf/flakes", ReadOnly: true}}},
		"the same place twice": {[]Bind{self("/home/u/.config", false), self("/home/u/.config", false)}, []Bind{
			self("/home/u/.config", false), self(ours[1], true), self("/home/u/.config", false), self(ours[1], true),
		}},
		"below what covers it": {[]Bind{self("/home/u/.config", false), {Target: "/home/u/.config/flakes", Tmpfs: "mode=0700"}}, []Bind{
			self("/home/u/.config", false), self(ours[1], true), {Target: "/home/u/.config/flakes", Tmpfs: "mode=0700"},
		}},
	} {
		t.Run(behaviour, func(t *testing.T) {
			if d := cmp.Diff(test.want, protect(test.binds, ours)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestProfilesGrow(t *testing.T) {
	native, project, isolated := ProfileOf(Native), ProfileOf(Project), ProfileOf(Isolated)
	if !native.Home || !native.Tmp || !native.Cwd || !native.Network || project.Home || project.Tmp || !project.Cwd || !project.Network ||
		isolated.Home || isolated.Tmp || isolated.Cwd || isolated.Network || ProfileOf("unheard of").Name != Isolated {
		t.Errorf("%+v\n%+v\n%+v", native, project, isolated)
	}
	for _, pat := range isolated.Pass {
		if !contains(project.Pass, pat) {
			t.Errorf("project passes less than isolated: %s", pat)
		}
	}
}
