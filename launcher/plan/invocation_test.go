package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestArgv(t *testing.T) {
	p := &Plan{Entrypoint: []string{"/e", "-x"}, Cmd: []string{"c"}}
	tests := map[string]struct {
		v    Invocation
		want []string
	}{
		"no arguments: Cmd":          {Invocation{}, []string{"/e", "-x", "c"}},
		"arguments replace Cmd":      {Invocation{Args: []string{"@a", "%b", "--", ""}}, []string{"/e", "-x", "@a", "%b", "--", ""}},
		"command replaces both":      {Invocation{Replace: true, Args: []string{"sh", "-c", "x"}}, []string{"sh", "-c", "x"}},
		"words look like our own":    {Invocation{Args: []string{"--env", "--replace"}}, []string{"/e", "-x", "--env", "--replace"}},
		"optional is no argument":    {Invocation{Optional: true}, []string{"/e", "-x", "c"}},
		"environment is no argument": {Invocation{Env: []string{"A=1"}}, []string{"/e", "-x", "c"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			v, err := ParseWords(tc.v.Words())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, p.Argv(v)); d != "" {
				t.Error(d)
			}
			if d := cmp.Diff(tc.v.Env, v.Env); d != "" {
				t.Error(d)
			}
			if v.Optional != tc.v.Optional {
				t.Error("optional was lost")
			}
		})
	}
	for _, bad := range [][]string{nil, {"--env"}, {"x", "--"}} {
		if _, err := ParseWords(bad); err == nil {
			t.Errorf("words %q were accepted", bad)
		}
	}
}

func TestAdjustMakesBindsOptional(t *testing.T) {
	for _, optional := range []bool{false, true} {
		p := &Plan{Binds: []Bind{{Source: "/a"}, {Source: "/b", Optional: true}}}
		p.Adjust(Invocation{Optional: optional})
		if p.Binds[0].Optional != optional || !p.Binds[1].Optional {
			t.Errorf("%v: %+v", optional, p.Binds)
		}
	}
}

func TestEnviron(t *testing.T) {
	p := &Plan{Env: []string{"PATH=/bin", "LANG=C"}, Pass: []string{"TERM", "LANG", "LC_*", "*_proxy"}}
	caller := []string{"TERM=xterm", "LANG=de", "LC_ALL=x", "http_proxy=p", "SECRET=s", "PATH=/evil", "broken", "=odd"}
	v := Invocation{Env: []string{"A=1=2", "SECRET", "PATH=/mine", "UNSET"}}
	want := []string{"PATH=/mine", "LANG=C", "TERM=xterm", "LC_ALL=x", "http_proxy=p", "A=1=2", "SECRET=s"}
	if d := cmp.Diff(want, p.Environ(v, caller, "")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"PATH=/bin", "LANG=C"}, p.Env); d != "" {
		t.Errorf("the plan was changed: %s", d)
	}
}
