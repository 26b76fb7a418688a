package run

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/launcher"
)

func TestParse(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		args []string
		want launcher.AdHoc
	}{
		"image only":                   {[]string{"i"}, launcher.AdHoc{Image: "i"}},
		"command":                      {[]string{"i", "c", "-x", "--base", "q"}, launcher.AdHoc{Image: "i", Command: []string{"c", "-x", "--base", "q"}}},
		"leading dashes are dropped":   {[]string{"i", "--", "c", "--", "d"}, launcher.AdHoc{Image: "i", Command: []string{"c", "--", "d"}}},
		"flags behind the image too":   {[]string{"i", "--version", "-u", "x"}, launcher.AdHoc{Image: "i", Command: []string{"--version", "-u", "x"}}},
		"help belongs to the app":      {[]string{"i", "c", "--help"}, launcher.AdHoc{Image: "i", Command: []string{"c", "--help"}}},
		"pilot's marks are untouched":  {[]string{"i", "c", "@scope/x", "%s"}, launcher.AdHoc{Image: "i", Command: []string{"c", "@scope/x", "%s"}}},
		"commas split nothing":         {[]string{"-e", "A=1,2", "--layer", "x,y", "--layer=z", "--base=b", "i"}, launcher.AdHoc{Base: "b", Layers: []string{"x,y", "z"}, Env: []string{"A=1,2"}, Image: "i"}},
		"user and writable":            {[]string{"--user", "7:8", "--writable", "none", "i"}, launcher.AdHoc{Flags: []string{"--user=7:8", "--writable=none"}, Image: "i"}},
		"the default writable is told": {[]string{"--writable", "tmpfs", "i"}, launcher.AdHoc{Flags: []string{"--writable=tmpfs"}, Image: "i"}},
		"flags come in one order": {[]string{"--share=/b", "--opt", "-v /x:/x", "--share", "/a,c", "--profile", "isolated", "i"}, launcher.AdHoc{
			Flags: []string{"--profile=isolated", "--share=/b", "--share=/a,c", "--opt=-v /x:/x"}, Image: "i"}},
		"instance":             {[]string{"--instance", "n", "i"}, launcher.AdHoc{Image: "i", Instance: "n"}},
		"trace":                {[]string{"--trace", "i", "--trace"}, launcher.AdHoc{Image: "i", Trace: "1", Command: []string{"--trace"}}},
		"trace to a file":      {[]string{"--trace-json", "/t/../x.json", "i"}, launcher.AdHoc{Image: "i", Trace: "/x.json"}},
		"trace to a near file": {[]string{"--trace-json=1", "i"}, launcher.AdHoc{Image: "i", Trace: filepath.Join(here, "1")}},
		"trace between others": {[]string{"--base=b", "--trace", "--layer", "l", "i"}, launcher.AdHoc{Base: "b", Layers: []string{"l"}, Image: "i", Trace: "1"}},
		"empty arguments stay": {[]string{"i", "c", "", " "}, launcher.AdHoc{Image: "i", Command: []string{"c", "", " "}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := parse(tc.args, io.Discard, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Command) == 0 {
				got.Command = nil
			}
			if d := cmp.Diff(tc.want, *got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"nothing":           {nil, "an image is wanted"},
		"empty image":       {[]string{""}, "an image is wanted"},
		"unknown flag":      {[]string{"--bad", "i"}, "unknown flag --bad"},
		"layer, no base":    {[]string{"--layer", "l", "i"}, "--layer needs a --base"},
		"bad writable":      {[]string{"--writable", "ram", "i"}, "--writable"},
		"nameless variable": {[]string{"-e", "=x", "i"}, "a name is missing"},
		"instance":          {[]string{"--instance", "n/m", "i"}, "instance name"},
		"two traces":        {[]string{"--trace", "--trace-json", "/x", "i"}, "--trace"},
		"nameless trace":    {[]string{"--trace-json=", "i"}, "the name of a file is missing"},
		"no file for trace": {[]string{"--trace-json"}, "--trace-json"},
		"empty include":     {[]string{"--include-path", "", "i"}, "--include-path: the path is empty"},
		"nameless instance": {[]string{"--instance", "", "i"}, "instance name"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			if launcher.Code(err) != launcher.ExitFailure {
				t.Errorf("exit code %d", launcher.Code(err))
			}
		})
	}
}
