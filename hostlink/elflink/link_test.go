package elflink

import (
	"debug/elf"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLink(t *testing.T) {
	const m = "usr/lib/x86_64-linux-gnu/"
	glibc := []string{"lib64/ld-linux-x86-64.so.2", m + "ld-linux-x86-64.so.2", m + "libc.so.6", m + "libm.so.6", m + "libresolv.so.2"}
	for name, c := range map[string]struct {
		make func(w *world)
		want outcome
	}{
		"the images have all of it": {func(w *world) {
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			w.lib(w.img, multiarch, "libz.so.1", spec{defs: []string{"Z_1"}})
			w.lib(w.host, multiarch, "libz.so.1", spec{defs: []string{"Z_1", "Z_2"}})
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}, needs: needsOf("libz.so.1", "Z_1")})
		}, outcome{}},
		"a library with its needs and all hops": {func(w *world) {
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			w.lib(w.host, multiarch, "libz.so.1", spec{needed: []string{"liby.so.2"}})
			w.lib(w.host, "/usr/lib", "liby.so.2", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}})
		}, outcome{Entries: []string{"usr/lib/liby.so.2", "usr/lib/liby.so.2.0.1", m + "libz.so.1", m + "libz.so.1.0.1"}}},
		"a version that the images' lacks": {func(w *world) {
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			w.lib(w.img, multiarch, "libz.so.1", spec{defs: []string{"Z_1"}})
			w.host.write(w.t, multiarch+"/libz.so.1.2", spec{soname: "libz.so.1", defs: []string{"Z_1", "Z_2"}, needed: []string{"libc.so.6"}}.build())
			w.host.link(w.t, multiarch+"/libz.so.1", "libz.so.1.2")
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}, needs: needsOf("libz.so.1", "Z_2")})
		}, outcome{Entries: []string{m + "libz.so.1", m + "libz.so.1.2"}}},
		"a weak version is no need": {func(w *world) {
			w.debian(w.img, 36)
			w.debian(w.host, 38)
			w.program("usr/bin/tool", spec{weak: needsOf("libc.so.6", "GLIBC_2.38")})
		}, outcome{}},
		"an old C library is replaced with all its parts": {func(w *world) {
			w.debian(w.img, 31)
			w.debian(w.host, 36)
			w.program("usr/bin/tool", spec{needs: needsOf("libc.so.6", "GLIBC_2.36")})
		}, outcome{Entries: glibc}},
		"through a library of the host": {func(w *world) {
			w.debian(w.img, 31)
			w.debian(w.host, 36)
			w.lib(w.host, multiarch, "libz.so.1", spec{needs: needsOf("libm.so.6", "GLIBC_2.36"), needed: []string{"libm.so.6"}})
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}})
		}, outcome{Entries: append([]string{m + "libz.so.1", m + "libz.so.1.0.1"}, glibc...)}},
		"not by an older one": {func(w *world) {
			w.debian(w.img, 36)
			w.debian(w.host, 31)
			w.lib(w.host, multiarch, "libanl.so.1", spec{needs: needsOf("libc.so.6", "GLIBC_PRIVATE")})
			w.program("usr/bin/tool", spec{needed: []string{"libanl.so.1"}})
		}, outcome{Missing: []string{"/usr/bin/tool needs libanl.so.1: the host's C library is older than the images': it lacks GLIBC_2.36"}}},
		"nobody has it": {func(w *world) {
			w.debian(w.img, 31)
			w.debian(w.host, 36)
			w.program("usr/bin/tool", spec{needed: []string{"libno.so.1"}, needs: needsOf("libc.so.6", "GLIBC_2.39")})
		}, outcome{Missing: []string{
			"/usr/bin/tool needs GLIBC_2.39 of libc.so.6: the images' lacks GLIBC_2.39, and the host's is too old",
			"/usr/bin/tool needs libno.so.1: neither the images nor the host have it",
		}}},
		"dropped by the flake": {func(w *world) {
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			w.lib(w.host, multiarch, "libz.so.1", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}})
			w.drop = []string{"usr/lib/**/libz*"}
		}, outcome{
			Missing: []string{`/usr/bin/tool needs libz.so.1: the host has it, but it can't be linked: dropped by the flake's pattern "usr/lib/**/libz*"`},
		}},
		"glibc beside musl": {func(w *world) {
			w.alpine(w.img)
			w.debian(w.host, 36)
			w.lib(w.host, multiarch, "libz.so.1", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}})
		}, outcome{
			Entries: []string{m + "ld-linux-x86-64.so.2", m + "libc.so.6", m + "libz.so.1", m + "libz.so.1.0.1"},
			Nodes:   []string{interp64 + " /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"}, // the host's symlink leads through /lib
		}},
		"glibc beside a program that pretends to be its loader": {func(w *world) {
			w.alpine(w.img)
			w.img.write(w.t, "lib/libgcompat.so.0", spec{needed: []string{"libc.musl-x86_64.so.1"}}.build())
			w.img.link(w.t, interp64, "../lib/libgcompat.so.0")
			w.debian(w.host, 36)
			w.program("usr/bin/tool", spec{})
		}, outcome{
			Entries: []string{m + "ld-linux-x86-64.so.2", m + "libc.so.6"},
			Nodes:   []string{interp64 + " /usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"},
		}},
		"musl beside glibc": {func(w *world) {
			w.debian(w.img, 36)
			w.alpine(w.host)
			w.host.write(w.t, "etc/ld-musl-x86_64.path", []byte("/lib:/usr/lib/musl\n"))
			w.host.write(w.t, "usr/lib/musl/libq.so.1", spec{soname: "libq.so.1", needed: []string{"libc.so"}}.build())
			w.program("usr/bin/tool", spec{interp: interpM, needed: []string{"libq.so.1", "libc.musl-x86_64.so.1"}})
		}, outcome{
			Entries: []string{"lib/ld-musl-x86_64.so.1", "usr/lib/musl/libq.so.1"},
			Nodes:   []string{"/usr/lib/libq.so.1 /usr/lib/musl/libq.so.1"}, // the images have no list of directories
		}},
		"musl's would hide one of glibc": {func(w *world) {
			w.debian(w.img, 36)
			w.lib(w.img, "/usr/lib", "libz.so.1", spec{})
			w.alpine(w.host)
			w.program("usr/bin/tool", spec{interp: interpM, needed: []string{"libz.so.1", "libc.musl-x86_64.so.1"}})
		}, outcome{
			Entries: []string{"lib/ld-musl-x86_64.so.1"},
			Missing: []string{"/usr/bin/tool needs libz.so.1: the host's would take the place of /usr/lib/libz.so.1.0.1, which belongs to another C library"},
		}},
		"a directory that the images' loader does not search": {func(w *world) {
			w.fedora(w.img, 36)
			w.debian(w.host, 36)
			w.lib(w.host, multiarch, "libz.so.1", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}})
		}, outcome{
			Entries: []string{m + "libz.so.1", m + "libz.so.1.0.1"},
			Nodes:   []string{"/usr/lib64/libz.so.1 /usr/lib/x86_64-linux-gnu/libz.so.1.0.1"},
		}},
		"an old C library of another layout, with a cache": {func(w *world) {
			w.fedora(w.img, 31)
			w.img.write(w.t, "etc/ld.so.cache", cacheOf([2]string{"libc.so.6", "/lib64/libc.so.6"}, [2]string{"libm.so.6", "/lib64/libm.so.6"}))
			w.img.write(w.t, "usr/lib64/libz.so.1", spec{soname: "libz.so.1", needed: []string{"libm.so.6"}}.build())
			w.debian(w.host, 36)
			w.program("usr/bin/tool", spec{needs: needsOf("libc.so.6", "GLIBC_2.36"), needed: []string{"libm.so.6"}})
		}, outcome{
			Entries: glibc,
			Nodes: []string{
				"/usr/lib64/libc.so.6 /usr/lib/x86_64-linux-gnu/libc.so.6",
				"/usr/lib64/libm.so.6 /usr/lib/x86_64-linux-gnu/libm.so.6",
			},
		}},
		"what the cache says comes first": {func(w *world) {
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			w.lib(w.img, "/opt/old", "libz.so.1", spec{defs: []string{"Z_1"}})
			w.img.write(w.t, "etc/ld.so.cache", cacheOf([2]string{"libz.so.1", "/opt/old/libz.so.1"}))
			w.host.write(w.t, multiarch+"/libz.so.1", spec{soname: "libz.so.1", defs: []string{"Z_1", "Z_2"}, needed: []string{"libc.so.6"}}.build())
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}, needs: needsOf("libz.so.1", "Z_2")})
		}, outcome{Entries: []string{m + "libz.so.1"}, Nodes: []string{"/opt/old/libz.so.1 /usr/lib/x86_64-linux-gnu/libz.so.1"}}},
		"variants for newer processors are hidden": {func(w *world) {
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			w.lib(w.img, multiarch, "libz.so.1", spec{defs: []string{"Z_1"}})
			w.lib(w.img, multiarch+"/glibc-hwcaps/x86-64-v3", "libz.so.1", spec{defs: []string{"Z_1"}})
			w.host.write(w.t, multiarch+"/libz.so.1", spec{soname: "libz.so.1", defs: []string{"Z_1", "Z_2"}, needed: []string{"libc.so.6"}}.build())
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}, needs: needsOf("libz.so.1", "Z_2")})
		}, outcome{Entries: []string{m + "libz.so.1"}, Nodes: []string{multiarch + "/glibc-hwcaps/x86-64-v3/libz.so.1 "}}},
		"a library of another class is passed over": {func(w *world) {
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			w.lib(w.img, multiarch, "libz.so.1", spec{machine: elf.EM_386, class: elf.ELFCLASS32})
			w.lib(w.img, "/usr/lib", "libz.so.1", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}})
		}, outcome{}},
		"a program of another machine": {func(w *world) {
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			arm := spec{machine: elf.EM_AARCH64, interp: "/lib/ld-linux-aarch64.so.1", needed: []string{"libc.so.6"}}
			w.host.write(w.t, "usr/lib/ld-linux-aarch64.so.1", spec{machine: elf.EM_AARCH64, soname: "ld-linux-aarch64.so.1", tail: "\x00/lib/aarch64-linux-gnu/\x00"}.build())
			w.host.write(w.t, "usr/lib/aarch64-linux-gnu/libc.so.6", spec{machine: elf.EM_AARCH64, soname: "libc.so.6"}.build())
			w.program("usr/bin/tool", arm)
		}, outcome{Entries: []string{"lib/ld-linux-aarch64.so.1", "usr/lib/aarch64-linux-gnu/libc.so.6"}}},
		"a library as a file of its own": {func(w *world) {
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			w.lib(w.host, multiarch, "libz.so.1", spec{})
			w.file("usr/lib/tool/plugin.so", string(spec{needed: []string{"libz.so.1", "libc.so.6"}}.build()))
		}, outcome{Entries: []string{m + "libz.so.1", m + "libz.so.1.0.1"}}},
		"relocatable, static and damaged files need nothing": {func(w *world) {
			w.debian(w.img, 36)
			w.file("usr/lib/x.so", string(spec{kind: elf.ET_REL}.build()))
			w.file("usr/bin/static", string(spec{kind: elf.ET_EXEC}.build()))
			w.file("usr/bin/cut", string(spec{needed: []string{"libno.so"}}.build()[:100]))
		}, outcome{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.make(w)
			r, got := w.link()
			slices.Sort(c.want.Entries)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s\nreport %+v", diff, r.Report)
			}
		})
	}
}

func TestRunPaths(t *testing.T) {
	for name, c := range map[string]struct {
		make    func(w *world)
		missing int
		entries []string
	}{
		"RUNPATH with $ORIGIN": {func(w *world) {
			w.lib(w.host, "/opt/tool/lib", "libq.so.1", spec{})
			w.program("opt/tool/bin/tool", spec{needed: []string{"libq.so.1"}, runpath: "/no:$ORIGIN/../lib"})
		}, 0, []string{"opt/tool/lib/libq.so.1", "opt/tool/lib/libq.so.1.0.1"}},
		"RPATH holds for what is brought in": {func(w *world) {
			w.lib(w.host, "/opt/tool/lib", "libq.so.1", spec{needed: []string{"libr.so.1"}})
			w.lib(w.host, "/opt/tool/lib", "libr.so.1", spec{})
			w.program("opt/tool/bin/tool", spec{needed: []string{"libq.so.1"}, rpath: "${ORIGIN}/../lib"})
		}, 0, []string{"opt/tool/lib/libq.so.1", "opt/tool/lib/libq.so.1.0.1", "opt/tool/lib/libr.so.1", "opt/tool/lib/libr.so.1.0.1"}},
		"RUNPATH does not": {func(w *world) {
			w.lib(w.host, "/opt/tool/lib", "libq.so.1", spec{needed: []string{"libr.so.1"}})
			w.lib(w.host, "/opt/tool/lib", "libr.so.1", spec{})
			w.program("opt/tool/bin/tool", spec{needed: []string{"libq.so.1"}, runpath: "$ORIGIN/../lib"})
		}, 1, []string{"opt/tool/lib/libq.so.1", "opt/tool/lib/libq.so.1.0.1"}},
		"RPATH is void beside RUNPATH": {func(w *world) {
			w.lib(w.host, "/opt/tool/lib", "libq.so.1", spec{})
			w.program("opt/tool/bin/tool", spec{needed: []string{"libq.so.1"}, runpath: "/no", rpath: "$ORIGIN/../lib"})
		}, 1, nil},
		"what is loaded is not searched again": {func(w *world) {
			w.lib(w.host, "/opt/tool/lib", "libq.so.1", spec{needed: []string{"libr.so.1"}})
			w.lib(w.host, "/opt/tool/lib", "libr.so.1", spec{})
			w.program("opt/tool/bin/tool", spec{needed: []string{"libr.so.1", "libq.so.1"}, runpath: "$ORIGIN/../lib"})
		}, 0, []string{"opt/tool/lib/libq.so.1", "opt/tool/lib/libq.so.1.0.1", "opt/tool/lib/libr.so.1", "opt/tool/lib/libr.so.1.0.1"}},
		"$LIB is the loader's own": {func(w *world) {
			w.lib(w.host, "/opt/lib/x86_64-linux-gnu", "libq.so.1", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"libq.so.1"}, runpath: "/opt/$LIB"})
		}, 0, []string{"opt/lib/x86_64-linux-gnu/libq.so.1", "opt/lib/x86_64-linux-gnu/libq.so.1.0.1"}},
		"$PLATFORM": {func(w *world) {
			w.lib(w.host, "/opt/x86_64", "libq.so.1", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"libq.so.1"}, runpath: "/opt/${PLATFORM}/."})
		}, 0, []string{"opt/x86_64/libq.so.1", "opt/x86_64/libq.so.1.0.1"}},
		"a need by path": {func(w *world) {
			w.lib(w.host, "/opt/tool", "libq.so.1", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"/opt/tool/libq.so.1"}})
		}, 0, []string{"opt/tool/libq.so.1", "opt/tool/libq.so.1.0.1"}},
		"the host's ld.so.conf": {func(w *world) {
			w.host.write(w.t, "etc/ld.so.conf", []byte("include ld.so.conf.d/*.conf\n"))
			w.host.write(w.t, "etc/ld.so.conf.d/q.conf", []byte("/usr/lib/x86_64-linux-gnu/q\n"))
			w.lib(w.host, multiarch+"/q", "libq.so.1", spec{})
			w.program("usr/bin/tool", spec{needed: []string{"libq.so.1"}})
		}, 0, []string{"usr/lib/x86_64-linux-gnu/q/libq.so.1", "usr/lib/x86_64-linux-gnu/q/libq.so.1.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.debian(w.img, 36)
			w.debian(w.host, 36)
			c.make(w)
			r, got := w.link()
			if !slices.Equal(got.Entries, c.entries) || len(got.Missing) != c.missing {
				t.Errorf("got %+v\nreport %+v", got, r.Report)
			}
		})
	}
}

// TestLost: the host's library has what is needed, but not all that programs of the images may need.
func TestLost(t *testing.T) {
	w := newWorld(t)
	w.debian(w.img, 31)
	w.debian(w.host, 36)
	w.lib(w.img, multiarch, "libz.so.1", spec{defs: []string{"Z_1", "Z_FEDORA"}})
	w.lib(w.host, multiarch, "libz.so.1", spec{defs: []string{"Z_1", "Z_2"}})
	w.program("usr/bin/tool", spec{needed: []string{"libz.so.1"}, needs: []versionNeed{{"libz.so.1", []string{"Z_2"}}, {"libc.so.6", []string{"GLIBC_2.36"}}}})
	r, _ := w.link()
	lost := map[string][]string{}
	for _, h := range r.Report.Host {
		if len(h.Lost) > 0 {
			lost[h.Name] = h.Lost
		}
	}
	if diff := cmp.Diff(map[string][]string{"libz.so.1": {"Z_FEDORA"}}, lost); diff != "" {
		t.Error(diff)
	}
}

func TestWarnings(t *testing.T) {
	var r Report
	if got := r.Warnings(); len(got) > 0 {
		t.Errorf("%q", got)
	}
	for _, name := range []string{"a.so", "b.so", "c.so", "d.so"} {
		r.Missing = append(r.Missing, Missing{Need: Need{File: "/x", Kind: NeedLibrary, Name: name}})
	}
	r.Missing = append(r.Missing, Missing{Need: Need{File: "/x", Kind: NeedLibrary, Name: "e.so"}, Host: "/usr/lib/e.so"})
	want := []string{
		"4 needs of host files that neither images nor host satisfy: /x needs a.so; /x needs b.so; /x needs c.so; 1 more",
		"1 need of host files that only the host satisfies, and no list asks for: /x needs e.so (/usr/lib/e.so): --host-package with the package of such a file brings what it needs",
	}
	if diff := cmp.Diff(want, r.Warnings()); diff != "" {
		t.Error(diff)
	}
}
