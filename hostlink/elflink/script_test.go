package elflink

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseShebang(t *testing.T) {
	for in, want := range map[string][2]string{
		"#!/bin/sh\n":                             {"/bin/sh", ""},
		"#! /bin/sh -e\nx":                        {"/bin/sh", ""},
		"#!/usr/bin/env python3\n":                {"/usr/bin/env", "python3"},
		"#!/usr/bin/env -S python3 -u\n":          {"/usr/bin/env", "python3"},
		"#!/usr/bin/env -Sperl -w\n":              {"/usr/bin/env", "perl"},
		"#!/usr/bin/env --split-string=perl -w\n": {"/usr/bin/env", "perl"},
		"#!/usr/bin/env -i -u HOME A=b ruby\n":    {"/usr/bin/env", "ruby"},
		"#!/usr/bin/env /opt/x\n":                 {"/usr/bin/env", "/opt/x"},
		"#!/usr/bin/env\n":                        {"/usr/bin/env", ""},
		"#!/usr/bin/../bin/perl":                  {"/usr/bin/perl", ""},
		"#!perl\n":                                {"", ""},
		"#!\n":                                    {"", ""},
		"#!/bin/\x00sh\n":                         {"", ""},
		"# !/bin/sh\n":                            {"", ""},
		"":                                        {"", ""},
		"#!/usr/bin/env -u\n":                     {"/usr/bin/env", ""},
		"#!/usr/bin/env -S\t-i\tLC_ALL=C  bash  -eu\n": {"/usr/bin/env", "bash"},
	} {
		interp, program := parseShebang([]byte(in))
		if got := [2]string{interp, program}; got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestScripts(t *testing.T) {
	native := string(spec{interp: interp64, needed: []string{"libc.so.6"}}.build())
	for name, c := range map[string]struct {
		make func(w *world)
		want outcome
		used []string
	}{
		"the images have it": {func(w *world) {
			w.img.write(w.t, "usr/bin/perl", []byte(native))
			w.img.write(w.t, "usr/bin/env", []byte(native))
			w.file("usr/bin/a", "#!/usr/bin/perl\n")
			w.file("usr/bin/b", "#!/usr/bin/env perl\n")
		}, outcome{}, []string{"/usr/bin/a needs /usr/bin/perl", "/usr/bin/b needs /usr/bin/env", "/usr/bin/b needs perl"}},
		"from the host, by its own path and with its libraries": {func(w *world) {
			w.img.write(w.t, "usr/bin/env", []byte(native))
			w.lib(w.host, multiarch, "libpy.so.3", spec{})
			w.host.write(w.t, "usr/bin/python3.11", spec{interp: interp64, needed: []string{"libpy.so.3", "libc.so.6"}}.build())
			w.host.link(w.t, "usr/bin/python3", "python3.11")
			w.file("usr/bin/a", "#!/usr/bin/env -S python3 -u\n")
		}, outcome{Entries: []string{
			"usr/bin/python3", "usr/bin/python3.11",
			"usr/lib/x86_64-linux-gnu/libpy.so.3", "usr/lib/x86_64-linux-gnu/libpy.so.3.0.1",
		}}, []string{"/usr/bin/a needs /usr/bin/env", "/usr/bin/python3.11 needs " + interp64, "/usr/bin/python3.11 needs libc.so.6"}},
		"a directory of the host that is not on the images' PATH": {func(w *world) {
			w.path = []string{"/app/bin", "/usr/bin"}
			w.img.write(w.t, "usr/bin/env", []byte(native))
			w.host.write(w.t, "usr/sbin/tool", []byte(native))
			w.file("usr/bin/a", "#!/usr/bin/env tool\n")
		}, outcome{Entries: []string{"usr/sbin/tool"}, Nodes: []string{"/usr/bin/tool /usr/sbin/tool"}}, nil},
		"an interpreter that is a script itself": {func(w *world) {
			w.host.write(w.t, "usr/bin/outer", []byte("#!/usr/bin/inner\n"))
			w.host.write(w.t, "usr/bin/inner", []byte(native))
			w.file("usr/bin/a", "#!/usr/bin/outer\n")
		}, outcome{Entries: []string{"usr/bin/inner", "usr/bin/outer"}}, nil},
		"/bin is a directory of its own in the images": {func(w *world) {
			w.img.write(w.t, "bin/other", nil)
			w.host.write(w.t, "usr/bin/bash", []byte(native))
			w.host.link(w.t, "bin", "usr/bin")
			w.file("usr/bin/a", "#!/bin/bash\n")
		}, outcome{Entries: []string{"bin/bash"}}, nil},
		"nobody has it": {func(w *world) {
			w.img.write(w.t, "usr/bin/env", []byte(native))
			w.file("usr/bin/a", "#!/usr/bin/env ruby\n")
			w.file("usr/bin/b", "#!/opt/ruby/bin/ruby\n")
		}, outcome{Missing: []string{
			"/usr/bin/a needs ruby: neither the images nor the host have it",
			"/usr/bin/b needs /opt/ruby/bin/ruby: neither the images nor the host have it",
		}}, nil},
		"examples in documentation are not asked": {func(w *world) {
			w.file("usr/share/doc/a/example", "#!/usr/bin/ruby\n")
		}, outcome{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			c.make(w)
			r, got := w.link()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s\nreport %+v", diff, r.Report)
			}
			var used []string
			for _, u := range r.Report.Used {
				used = append(used, fmt.Sprint(u.Need))
			}
			slices.Sort(used)
			if c.used != nil && !slices.Equal(used, c.used) {
				t.Errorf("used %q, want %q", used, c.used)
			}
		})
	}
}
