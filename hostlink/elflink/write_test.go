package elflink

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"
)

// spec is an object to be written. Zero values are those of amd64.
type spec struct {
	machine        elf.Machine
	class          elf.Class
	big            bool
	kind           elf.Type
	interp, soname string
	needed         []string
	rpath, runpath string
	needs          []versionNeed
	weak           []versionNeed
	defs           []string
	tail           string // behind all else
}

type elfWriter struct {
	order binary.ByteOrder
	wide  bool
	buf   bytes.Buffer
	text  map[string]uint64
	texts bytes.Buffer
}

// build writes the smallest file that a loader would find all this in: no sections.
func (s spec) build() []byte {
	if s.machine == 0 {
		s.machine = elf.EM_X86_64
	}
	if s.class == 0 {
		s.class = elf.ELFCLASS64
	}
	if s.kind == 0 {
		s.kind = elf.ET_DYN
	}
	w := &elfWriter{order: binary.LittleEndian, wide: s.class == elf.ELFCLASS64, text: map[string]uint64{}}
	if s.big {
		w.order = binary.BigEndian
	}
	w.texts.WriteByte(0)
	const headers = 4 * 64 // ELF header and three program headers, with room
	at := func() uint64 { return uint64(headers + w.buf.Len()) }
	needs, defs, dyn := uint64(0), uint64(0), [][2]uint64{}
	if n := len(s.needs) + len(s.weak); n > 0 {
		needs = at()
		w.needs(s.needs, s.weak)
		dyn = append(dyn, [2]uint64{uint64(elf.DT_VERNEED), needs}, [2]uint64{uint64(elf.DT_VERNEEDNUM), uint64(n)})
	}
	if len(s.defs) > 0 {
		defs = at()
		w.defs(s.defs)
		dyn = append(dyn, [2]uint64{uint64(elf.DT_VERDEF), defs}, [2]uint64{uint64(elf.DT_VERDEFNUM), uint64(len(s.defs))})
	}
	for _, n := range s.needed {
		dyn = append(dyn, [2]uint64{uint64(elf.DT_NEEDED), w.str(n)})
	}
	for tag, value := range map[elf.DynTag]string{elf.DT_SONAME: s.soname, elf.DT_RPATH: s.rpath, elf.DT_RUNPATH: s.runpath} {
		if value != "" {
			dyn = append(dyn, [2]uint64{uint64(tag), w.str(value)})
		}
	}
	interp := w.str(s.interp)
	strtab := at()
	w.buf.Write(w.texts.Bytes())
	for w.buf.Len()%8 != 0 {
		w.buf.WriteByte(0)
	}
	dynamic := at()
	for _, d := range append(dyn, [2]uint64{uint64(elf.DT_STRTAB), strtab}, [2]uint64{0, 0}) {
		w.word(d[0])
		w.word(d[1])
	}
	end := at()
	body := append(bytes.Clone(w.buf.Bytes()), s.tail...)
	w.buf.Reset()
	w.header(s)
	w.segment(elf.PT_LOAD, 0, end)
	w.segment(elf.PT_DYNAMIC, dynamic, end-dynamic)
	if s.interp != "" {
		w.segment(elf.PT_INTERP, strtab+interp, uint64(len(s.interp)+1))
	} else {
		w.segment(elf.PT_NULL, 0, 0)
	}
	return append(append(w.buf.Bytes(), make([]byte, headers-w.buf.Len())...), body...)
}

func (w *elfWriter) str(s string) uint64 {
	if s == "" {
		return 0
	}
	if at, ok := w.text[s]; ok {
		return at
	}
	at := uint64(w.texts.Len())
	w.texts.WriteString(s + "\x00")
	w.text[s] = at
	return at
}

func (w *elfWriter) put(values ...any) {
	for _, v := range values {
		_ = binary.Write(&w.buf, w.order, v) // to memory
	}
}

func (w *elfWriter) word(v uint64) {
	if w.wide {
		w.put(v)
		return
	}
	w.put(uint32(v))
}

func (w *elfWriter) header(s spec) {
	data := elf.ELFDATA2LSB
	if s.big {
		data = elf.ELFDATA2MSB
	}
	w.buf.WriteString(elf.ELFMAG)
	w.buf.Write([]byte{byte(s.class), byte(data), 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	w.put(uint16(s.kind), uint16(s.machine), uint32(1))
	head, size := uint64(52), uint16(32)
	if w.wide {
		head, size = 64, 56
	}
	w.word(0)
	w.word(head)
	w.word(0)
	w.put(uint32(0), uint16(head), size, uint16(3), uint16(0), uint16(0), uint16(0))
}

func (w *elfWriter) segment(kind elf.ProgType, at, size uint64) {
	if w.wide {
		w.put(uint32(kind), uint32(4), at, at, at, size, size, uint64(8))
		return
	}
	w.put(uint32(kind), uint32(at), uint32(at), uint32(at), uint32(size), uint32(size), uint32(4), uint32(4))
}

func (w *elfWriter) needs(strong, weak []versionNeed) {
	all := append(append([]versionNeed{}, strong...), weak...)
	for i, n := range all {
		next := uint32(16 + 16*len(n.versions))
		if i == len(all)-1 {
			next = 0
		}
		w.put(uint16(1), uint16(len(n.versions)), uint32(w.str(n.file)), uint32(16), next)
		for j, v := range n.versions {
			step, flags := uint32(16), uint16(0)
			if j == len(n.versions)-1 {
				step = 0
			}
			if i >= len(strong) {
				flags = 2
			}
			w.put(uint32(0), flags, uint16(j+2), uint32(w.str(v)), step)
		}
	}
}

func (w *elfWriter) defs(versions []string) {
	for i, v := range versions {
		next := uint32(28)
		if i == len(versions)-1 {
			next = 0
		}
		w.put(uint16(1), uint16(0), uint16(i+1), uint16(1), uint32(0), uint32(20), next, uint32(w.str(v)), uint32(0))
	}
}

// needsOf is short for what a program needs of one library.
func needsOf(file string, versions ...string) []versionNeed {
	return []versionNeed{{file: file, versions: versions}}
}

func mustParse(t *testing.T, b []byte) *object {
	t.Helper()
	o, err := parse(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return o
}
