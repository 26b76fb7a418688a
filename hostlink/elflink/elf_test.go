package elflink

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	s := spec{
		interp: "/lib64/ld-linux-x86-64.so.2", soname: "libx.so.1", needed: []string{"libc.so.6", "libm.so.6"},
		rpath: "$ORIGIN/../lib", runpath: "/opt/lib",
		needs: []versionNeed{{"libc.so.6", []string{"GLIBC_2.2.5", "GLIBC_2.36"}}, {"libm.so.6", []string{"GLIBC_2.29"}}},
		weak:  needsOf("libc.so.6", "WEAK_1"), defs: []string{"X_1", "X_2", "libx.so.1"},
	}
	for name, change := range map[string]func(*spec){
		"64 bits": func(*spec) {},
		"32 bits": func(s *spec) { s.class, s.machine = elf.ELFCLASS32, elf.EM_386 },
		"big-endian": func(s *spec) {
			s.big, s.machine = true, elf.EM_S390
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := s
			change(&s)
			o := mustParse(t, s.build())
			want := &object{
				class: cmpOr(s.class, elf.ELFCLASS64), machine: cmpOr(s.machine, elf.EM_X86_64), kind: elf.ET_DYN, dynamic: true,
				interp: s.interp, soname: s.soname, needed: s.needed, rpath: s.rpath, runpath: s.runpath,
				needs: append(slices.Clone(s.needs), versionNeed{file: "libc.so.6"}), defs: s.defs,
			}
			if diff := cmp.Diff(want, o, cmp.AllowUnexported(object{}, versionNeed{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func cmpOr[T comparable](a, b T) T {
	var zero T
	if a == zero {
		return b
	}
	return a
}

// TestParseAgainstDebugELF reads libraries of this machine both ways.
func TestParseAgainstDebugELF(t *testing.T) {
	files, _ := filepath.Glob("/usr/lib/*-linux-gnu/lib*.so.*")
	more, _ := filepath.Glob("/usr/lib64/lib*.so.*")
	if files = append(files, more...); len(files) == 0 {
		t.Skip("no libraries where Debian, Fedora and SUSE have them")
	}
	for _, name := range files[:min(len(files), 150)] {
		f, err := elf.Open(name)
		if err != nil {
			continue
		}
		defer f.Close()
		r, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		o, err := parse(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		needed, _ := f.ImportedLibraries()
		if !slices.Equal(needed, o.needed) {
			t.Errorf("%s: needed %v, want %v", name, o.needed, needed)
		}
		soname, _ := f.DynString(elf.DT_SONAME)
		if len(soname) == 1 && soname[0] != o.soname {
			t.Errorf("%s: soname %q, want %q", name, o.soname, soname[0])
		}
		defs, _ := f.DynamicVersions()
		var want []string
		for _, d := range defs {
			want = append(want, d.Name)
		}
		slices.Sort(want)
		if !slices.Equal(want, o.defs) {
			t.Errorf("%s: defines %v, want %v", name, o.defs, want)
		}
		needs, _ := f.DynamicVersionNeeds()
		for i, n := range needs {
			if n.Name != o.needs[i].file || len(n.Needs) < len(o.needs[i].versions) {
				t.Errorf("%s: needs %v, want %v", name, o.needs[i], n)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := spec{needed: []string{"libc.so.6"}, defs: []string{"A"}, needs: needsOf("libc.so.6", "V")}.build()
	set := func(at int, bytes ...byte) []byte {
		b := slices.Clone(good)
		copy(b[at:], bytes)
		return b
	}
	for name, b := range map[string][]byte{
		"short header":             good[:40],
		"class 7":                  set(4, 7),
		"byte order 9":             set(5, 9),
		"cut in program headers":   good[:100],
		"cut in the tables":        good[:270],
		"65535 program headers":    set(56, 0xff, 0xff),
		"headers of another size":  set(54, 1, 0),
		"headers beyond the file":  set(32, 0, 0, 0, 0, 0, 0, 0, 0x7f),
		"dynamic section of 4 GiB": set(64+56+32, 0, 0, 0, 0, 1),
		"no segment":               set(64, 0, 0, 0, 0),
		"names without end":        spec{needed: []string{strings.Repeat("x", maxString+1)}}.build(),
		"too many needed":          spec{needed: manyNames(maxNeeded + 1)}.build(),
		"too many versions":        spec{defs: manyNames(maxTable)}.build(),
	} {
		o, err := parse(bytes.NewReader(b))
		if bad := formatError(""); !errors.As(err, &bad) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
	for name, b := range map[string][]byte{"empty": nil, "script": []byte("#!/bin/sh\n"), "two bytes": []byte("\x7fE")} {
		if _, err := parse(bytes.NewReader(b)); !errors.Is(err, errNotELF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func manyNames(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint("v", i)
	}
	return out
}

// TestParseIsBounded: tables that lead each other in circles, over strings that share their ends.
func TestParseIsBounded(t *testing.T) {
	start := time.Now()
	random := rand.New(rand.NewPCG(1, 2))
	base := spec{
		needed: manyNames(200), defs: manyNames(2000), needs: []versionNeed{{"a", manyNames(2000)}},
		tail: strings.Repeat("y", 1<<20),
	}.build()
	for range 300 {
		b := slices.Clone(base[:20000])
		for range 1 + random.IntN(8) {
			b[random.IntN(len(b))] = byte(random.Uint32())
		}
		_, _ = parse(bytes.NewReader(append(b, base[20000:]...))) // whatever it is: no panic, no endless loop
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(spec{needed: []string{"libc.so.6"}, defs: []string{"A"}, needs: needsOf("libc.so.6", "V"), interp: "/lib/ld.so", runpath: "$ORIGIN"}.build())
	f.Add(spec{class: elf.ELFCLASS32, machine: elf.EM_386, soname: "x"}.build())
	f.Add(spec{big: true, needed: []string{"a", "b"}}.build())
	f.Add([]byte(elf.ELFMAG))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := parse(bytes.NewReader(b))
		if err != nil {
			return
		}
		text := len(o.interp) + len(o.soname) + len(o.rpath) + len(o.runpath)
		for _, s := range slices.Concat(o.needed, o.defs) {
			text += len(s)
		}
		if len(o.needed) > maxNeeded || len(o.defs) > maxTable || text > maxStrings {
			t.Errorf("%d needed, %d defined, %d bytes", len(o.needed), len(o.defs), text)
		}
	})
}

func FuzzParseCache(f *testing.F) {
	f.Add(cacheOf([2]string{"libz.so.1", "/lib/libz.so.1"}))
	f.Add([]byte("ld.so-1.7.0\x00" + string(cacheOf([2]string{"a", "/b"}))))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, paths := range parseCache(b) {
			for _, p := range paths {
				if name == "" || p == "" || p[0] != '/' {
					t.Errorf("%q: %q", name, p)
				}
			}
		}
	})
}

func FuzzTrustedDirs(f *testing.F) {
	f.Add([]byte("x\x00/lib64/\x00/usr/lib64/\x00y"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, d := range trustedDirs(b) {
			if !strings.HasPrefix(d, "/") || !strings.Contains(d, "lib") {
				t.Errorf("%q", d)
			}
		}
	})
}
