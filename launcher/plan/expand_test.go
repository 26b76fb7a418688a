package plan

import "testing"

func TestExpand(t *testing.T) {
	vars := map[string]string{"HOME": "/home/u", "A_1": "%HOME", "EMPTY": ""}
	lookup := func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	for in, want := range map[string]struct{ out, missing string }{
		"":               {"", ""},
		"plain":          {"plain", ""},
		"%HOME":          {"/home/u", ""},
		"%HOME/x:%HOME":  {"/home/u/x:/home/u", ""},
		"%A_1":           {"%HOME", ""}, // once
		"%EMPTY.":        {".", ""},
		"%HOME2":         {"", "HOME2"},
		"%UNSET/%OTHER":  {"/", "UNSET"},
		"100%":           {"100%", ""},
		"%%HOME":         {"%/home/u", ""},
		"50%-70% %1 %é":  {"50%-70% %1 %é", ""},
		"%XDG-%HOMEx":    {"-", "XDG"},
		"date +%Y-%m-%d": {"date +--", "Y"},
	} {
		out, missing := Expand(in, lookup)
		if out != want.out || missing != want.missing {
			t.Errorf("%q: %q, missing %q; want %q, %q", in, out, missing, want.out, want.missing)
		}
	}
}
