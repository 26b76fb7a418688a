package elflink

import (
	"bytes"
	"debug/elf"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// libc is the family of C libraries that an object belongs to.
type libc string

const (
	glibc libc = "glibc"
	musl  libc = "musl"
)

// family tells by the names that an object needs; "" where it could be of any.
func (o *object) family() libc {
	for _, name := range o.needed {
		switch {
		case name == "libc.so" || strings.HasPrefix(name, "libc.musl-"):
			return musl
		case isGlibc(name):
			return glibc
		}
	}
	switch {
	case isGlibc(o.soname):
		return glibc
	case strings.HasPrefix(path.Base(o.interp), "ld-musl-"), o.soname == "libc.so", strings.HasPrefix(o.soname, "ld-musl-"):
		return musl
	case o.interp != "":
		return glibc
	}
	return ""
}

// platform is what there is to know of a machine.
type platform struct {
	interp  string // of glibc
	triplet string // Debian's
	musl    string // musl's name
	name    string // $PLATFORM
}

var platforms = map[elf.Machine]platform{
	elf.EM_X86_64:    {"/lib64/ld-linux-x86-64.so.2", "x86_64-linux-gnu", "x86_64", "x86_64"},
	elf.EM_386:       {"/lib/ld-linux.so.2", "i386-linux-gnu", "i386", "i686"},
	elf.EM_AARCH64:   {"/lib/ld-linux-aarch64.so.1", "aarch64-linux-gnu", "aarch64", "aarch64"},
	elf.EM_ARM:       {"/lib/ld-linux-armhf.so.3", "arm-linux-gnueabihf", "armhf", "v7l"},
	elf.EM_RISCV:     {"/lib/ld-linux-riscv64-lp64d.so.1", "riscv64-linux-gnu", "riscv64", ""},
	elf.EM_PPC64:     {"/lib64/ld64.so.2", "powerpc64le-linux-gnu", "powerpc64le", "power8"},
	elf.EM_S390:      {"/lib/ld64.so.1", "s390x-linux-gnu", "s390x", "z900"},
	elf.EM_LOONGARCH: {"/lib64/ld-linux-loongarch-lp64d.so.1", "loongarch64-linux-gnu", "loongarch64", ""},
}

// loader is a dynamic loader as one tree has it.
type loader struct {
	interp  string // as programs name it
	libc    libc
	class   elf.Class
	machine elf.Machine
	at      *found              // nil: the tree lacks it
	first   map[string][]string // ld.so.cache: paths by name, looked at before dirs
	dirs    []string
	lib     string // what $LIB stands for
	memo    map[string]*found
}

// defaultInterp is the loader of a library, which names none.
func (s *side) defaultInterp(o *object) string {
	p := platforms[o.machine]
	ofMusl := "/lib/ld-musl-" + p.musl + ".so.1"
	switch o.family() {
	case musl:
		return ofMusl
	case "":
		if follow(s.tree, p.interp).kind == "" && follow(s.tree, ofMusl).kind != "" {
			return ofMusl
		}
	}
	return p.interp
}

// loaderOf returns the loader that an object is started or loaded by.
func (s *side) loaderOf(o *object) *loader {
	interp := o.interp
	if interp == "" {
		interp = s.defaultInterp(o)
	}
	return s.loader(interp, o)
}

func (s *side) loader(interp string, o *object) *loader {
	key := loaderKey{interp, o.class, o.machine}
	if l, ok := s.loaders[key]; ok {
		return l
	}
	l := &loader{interp: interp, libc: glibc, class: o.class, machine: o.machine, memo: make(map[string]*found)}
	s.loaders[key] = l
	if at := s.object(interp); at != nil && l.fits(at.obj) {
		l.at = at
	}
	if name := path.Base(interp); strings.HasPrefix(name, "ld-musl-") {
		l.libc = musl
		l.dirs = s.muslDirs(strings.TrimSuffix(name, ".so.1"))
		return l
	}
	if l.at != nil && l.at.obj.family() == musl { // a program that stands in for glibc's loader, and is none
		l.at = nil
	}
	l.first = s.cache()
	l.dirs = s.builtInDirs(l)
	l.lib = strings.TrimPrefix(l.dirs[0], "/")
	if s.conf {
		l.dirs = append(confDirs(s.tree, s.list), l.dirs...)
	}
	return l
}

// fits says whether an object can be loaded into a process of this loader; others are passed over in the search.
func (l *loader) fits(o *object) bool {
	return o.class == l.class && o.machine == l.machine && (o.kind == elf.ET_DYN || o.kind == elf.ET_EXEC)
}

func (s *side) muslDirs(name string) []string {
	b := readFile(s.tree, "/etc/"+name+".path", maxConf)
	if b == nil {
		return []string{"/lib", "/usr/local/lib", "/usr/lib"}
	}
	return strings.FieldsFunc(string(b), func(r rune) bool { return r == ':' || r == '\n' })
}

// builtInDirs are those compiled into a loader of glibc: they differ between distributions, so they are read from it.
func (s *side) builtInDirs(l *loader) []string {
	const limit = 8 << 20 // the loader has a quarter of a megabyte
	if l.at != nil {
		if f, err := s.tree.open(l.at.path); err == nil {
			defer f.Close()
			b, err := io.ReadAll(io.LimitReader(f, limit))
			if dirs := trustedDirs(b); err == nil && len(dirs) > 0 {
				return dirs
			}
		}
	}
	triplet := platforms[l.machine].triplet
	if follow(s.tree, "/usr/lib/"+triplet).kind == hostlink.KindDir && triplet != "" {
		return []string{"/lib/" + triplet, "/usr/lib/" + triplet, "/lib", "/usr/lib"}
	}
	if l.class == elf.ELFCLASS64 {
		return []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib"}
	}
	return []string{"/lib", "/usr/lib"}
}

// trustedDirs finds the list "/lib64/", "/usr/lib64/" in a loader: strings one after another, each ended by a NUL.
func trustedDirs(b []byte) []string {
	for at := 0; at < len(b); {
		i := bytes.Index(b[at:], []byte("\x00/"))
		if i < 0 {
			return nil
		}
		at += i + 1
		var dirs []string
		for next := at; ; {
			end := bytes.IndexByte(b[next:], 0)
			if end < 0 || !isTrustedDir(b[next:next+end]) || len(dirs) == 16 {
				break
			}
			dirs = append(dirs, path.Clean(string(b[next:next+end])))
			next += end + 1
		}
		if len(dirs) > 0 {
			return dirs
		}
	}
	return nil
}

func isTrustedDir(s []byte) bool {
	if len(s) < 5 || len(s) > 255 || s[0] != '/' || s[len(s)-1] != '/' || !bytes.Contains(s, []byte("lib")) {
		return false
	}
	return !bytes.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._-+", r)
	})
}

// isGlibc says whether a library belongs to glibc itself: its members share private symbols (GLIBC_PRIVATE), so all that a
// process loads have to be of one build.
func isGlibc(soname string) bool {
	return slices.Contains(glibcMembers, soname) || strings.HasPrefix(soname, "ld-linux") && strings.Contains(soname, ".so.")
}

var glibcMembers = []string{
	"libc.so.6", "libm.so.6", "libmvec.so.1", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2", "libutil.so.1",
	"libanl.so.1", "libnsl.so.1", "libBrokenLocale.so.1", "libthread_db.so.1", "libc_malloc_debug.so.0",
	"libnss_files.so.2", "libnss_dns.so.2", "libnss_compat.so.2", "libnss_db.so.2", "libnss_hesiod.so.2",
	"ld64.so.1", "ld64.so.2",
}
