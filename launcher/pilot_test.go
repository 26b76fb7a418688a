package launcher

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTakePilot(t *testing.T) {
	tests := map[string]struct {
		args, rest []string
		want       Pilot
	}{
		"nothing":                   {nil, nil, Pilot{}},
		"none of ours":              {[]string{"-x", "a@b", "a%b", "", "--", "x"}, []string{"-x", "a@b", "a%b", "", "--", "x"}, Pilot{}},
		"an instance":               {[]string{"@one", "x"}, []string{"x"}, Pilot{Instance: "one"}},
		"the first one wins":        {[]string{"@one", "@two"}, nil, Pilot{Instance: "one"}},
		"anywhere, behind -- too":   {[]string{"a", "--", "%remove", "b", "@one"}, []string{"a", "--", "b"}, Pilot{Instance: "one", Remove: true}},
		"flake-pilot's own form":    {[]string{"@NAME=123_-"}, nil, Pilot{Instance: "NAME=123_-"}},
		"a dot in it":               {[]string{"@1.2"}, nil, Pilot{Instance: "1.2"}},
		"64 characters":             {[]string{"@" + strings.Repeat("x", 64)}, nil, Pilot{Instance: strings.Repeat("x", 64)}},
		"all options":               {[]string{"%progress", "%ignore_sync_error", "%ignore_missing_volume_path", "%interactive", "%remove"}, nil, Pilot{Progress: true, IgnoreSyncErrors: true, IgnoreMissingVolumes: true, Interactive: true, Remove: true}},
		"twice":                     {[]string{"%remove", "%remove"}, nil, Pilot{Remove: true}},
		"with a value":              {[]string{"%remove:yes"}, nil, Pilot{Remove: true}},
		"with an empty value":       {[]string{"%remove:"}, nil, Pilot{Remove: true}},
		"escaped":                   {[]string{"@@scope/x", "%%s", "@@", "%%", "@@@x", "%%remove"}, []string{"@scope/x", "%s", "@", "%", "@@x", "%remove"}, Pilot{}},
		"an escape is no other's":   {[]string{"@one", "%%@x"}, []string{"%@x"}, Pilot{Instance: "one"}},
		"marks that are not first":  {[]string{"x@y", "x%y", "-@x"}, []string{"x@y", "x%y", "-@x"}, Pilot{}},
		"bytes that are no letters": {[]string{"\xff", "\n", "ü"}, []string{"\xff", "\n", "ü"}, Pilot{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			rest, p, err := takePilot(tc.args)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.rest, rest); d != "" {
				t.Errorf("rest: %s", d)
			}
			if d := cmp.Diff(tc.want, p); d != "" {
				t.Errorf("pilot: %s", d)
			}
		})
	}
}

func TestTakePilotRefuses(t *testing.T) {
	tests := map[string]struct{ arg, want, fix string }{
		"a format":                       {"%s", `"%s"`, "write %%s"},
		"an option of another pilot":     {"%port:8080", `"%port:8080"`, "write %%port:8080"},
		"the last colon splits":          {"%remove:a:b", `"%remove:a:b"`, "%remove"},
		"a lone mark":                    {"%", `"%"`, "write %%"},
		"the case counts":                {"%Remove", `"%Remove"`, "known are %progress"},
		"a package":                      {"@scope/x", `"@scope/x"`, "@@ begins"},
		"no name":                        {"@", `""`, "@@ begins"},
		"the directory above":            {"@..", `".."`, "letters"},
		"a dot first":                    {"@.b", `".b"`, "letters"},
		"no letter first":                {"@=b", `"=b"`, "letters"},
		"a blank":                        {"@a b", `"a b"`, "letters"},
		"a line":                         {"@a\nb", `"a\nb"`, "letters"},
		"no ASCII":                       {"@ü", `"ü"`, "letters"},
		"65 characters":                  {"@" + strings.Repeat("x", 65), "xxx", "64"},
		"300 characters":                 {"@" + strings.Repeat("x", 300), "...", "64"},
		"a megabyte":                     {"%" + strings.Repeat("x", 1<<20), "...", "..."},
		"an instance behind a good one":  {"@one/two", "one/two", "letters"},
		"an escape with nothing to hide": {"%@x", `"%@x"`, "write %%@x"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, p, err := takePilot([]string{"@good", "%remove", tc.arg})
			if err == nil || !strings.Contains(err.Error(), tc.want) || len(err.Error()) > 300 {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			var r interface{ Remedy() string }
			if !errors.As(err, &r) || !strings.Contains(r.Remedy(), tc.fix) {
				t.Errorf("remedy of %v", err)
			}
			if p != (Pilot{}) {
				t.Errorf("half done: %+v", p)
			}
		})
	}
}

func TestPilotOfTheEnvironment(t *testing.T) {
	tests := map[string]struct {
		instance, options string
		want              Pilot
		err               string
	}{
		"none":           {"", "", Pilot{}, ""},
		"an instance":    {"one", "", Pilot{Instance: "one"}, ""},
		"options":        {"", "  progress\tremove\nremove ", Pilot{Progress: true, Remove: true}, ""},
		"a bad instance": {"../x", "", Pilot{}, "FLAKE_INSTANCE"},
		"with a mark":    {"", "%remove", Pilot{}, `FLAKE_OPTIONS: "%remove"`},
		"unknown":        {"", "remove fast", Pilot{}, `"fast"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv(envInstance, tc.instance)
			t.Setenv(envOptions, tc.options)
			p, err := environmentPilot()
			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Fatalf("got %v, want %q", err, tc.err)
			}
			if p != tc.want {
				t.Errorf("got %+v", p)
			}
			if os.Getenv(envInstance)+os.Getenv(envOptions) != "" {
				t.Error("the app would see the variables")
			}
			var r interface{ Remedy() string }
			if err != nil && (!errors.As(err, &r) || r.Remedy() == "") {
				t.Errorf("no remedy: %v", err)
			}
		})
	}
}

func TestPilotAddsUpAndTravels(t *testing.T) {
	p := Pilot{Instance: "env", Progress: true}.with(Pilot{Instance: "arg", Remove: true}).with(Pilot{})
	if p != (Pilot{Instance: "arg", Progress: true, Remove: true}) {
		t.Errorf("got %+v", p)
	}
	if d := cmp.Diff([]string{"FLAKE_INSTANCE=arg", "FLAKE_OPTIONS=progress remove"}, p.environ()); d != "" {
		t.Error(d)
	}
	if env := (Pilot{}).environ(); env != nil {
		t.Errorf("nothing asked for, but %q", env)
	}
}
