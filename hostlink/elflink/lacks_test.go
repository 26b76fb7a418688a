package elflink

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

func TestLacks(t *testing.T) {
	for behaviour, test := range map[string]struct {
		make func(w *world)
		want []string
	}{
		"the images have all of it": {func(w *world) {
			w.lib(w.img, multiarch, "libz.so.1", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}})
		}, nil},
		"nobody has it": {func(w *world) {
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}})
		}, []string{"/usr/bin/tool needs libz.so.1: neither the images nor the host have it"}},
		"only the host has it": {func(w *world) {
			w.lib(w.host, multiarch, "libz.so.1", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}})
		}, []string{"/usr/bin/tool needs libz.so.1: only the host has it, and nobody asks for that [" + multiarch + "/libz.so.1.0.1]"}},
		"it is linked, too": {func(w *world) {
			w.lib(w.host, multiarch, "libz.so.1", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}})
			w.files = append(w.files, multiarch+"/libz.so.1", multiarch+"/libz.so.1.0.1")
		}, nil},
		"a version that the images' lacks": {func(w *world) {
			w.lib(w.img, multiarch, "libz.so.1", spec{defs: []string{"Z_1"}})
			w.lib(w.host, multiarch, "libz.so.1", spec{defs: []string{"Z_1", "Z_2"}})
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}, needs: needsOf("libz.so.1", "Z_2")})
		}, []string{"/usr/bin/tool needs Z_2 of libz.so.1: only the host has it, and nobody asks for that [" + multiarch + "/libz.so.1.0.1]"}},
		"a library that a linked one stands in for": {func(w *world) {
			w.host.write(w.t, "opt/app/libplug.so", spec{needed: []string{"libown.so.1"}}.build())
			w.host.write(w.t, "opt/app/libown.so.1", spec{soname: "libown.so.1"}.build())
			w.files = append(w.files, "opt/app/libplug.so", "opt/app/libown.so.1")
		}, nil},
		"a library for which there is none": {func(w *world) {
			w.host.write(w.t, "opt/app/libplug.so", spec{needed: []string{"libno.so.1"}}.build())
			w.files = append(w.files, "opt/app/libplug.so")
		}, []string{"/opt/app/libplug.so needs libno.so.1: neither the images nor the host have it"}},
		"a script on the PATH": {func(w *world) {
			w.file("usr/bin/tool", "#!/usr/bin/perl\n")
		}, []string{"/usr/bin/tool needs /usr/bin/perl: neither the images nor the host have it"}},
		"a script that nobody calls by name": {func(w *world) {
			w.file("usr/share/tool/example", "#!/usr/bin/perl\n")
		}, nil},
	} {
		t.Run(behaviour, func(t *testing.T) {
			w := newWorld(t)
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			test.make(w)
			plan := w.resolve(w.sources())
			missing, err := Lacks(Request{Image: w.img, HostRoot: string(w.host), Linked: plan})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range missing {
				text := m.String()
				if m.Host != "" {
					text += " [" + strings.TrimPrefix(m.Host, string(w.host)) + "]"
				}
				got = append(got, text)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(plan, w.resolve(w.sources()), cmp.Comparer(func(_, _ hostlink.Watched) bool { return true })); diff != "" {
				t.Errorf("a look has changed the plan: %s", diff)
			}
		})
	}
}
