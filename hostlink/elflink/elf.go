package elflink

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Limits of one file; the largest real libraries reach a tenth of them.
const (
	maxHeaders = 1024     // program headers
	maxDynamic = 64 << 10 // bytes of the dynamic section
	maxNeeded  = 512      // DT_NEEDED
	maxTable   = 16384    // entries of the version tables
	maxString  = 4096     // PATH_MAX
	maxStrings = 1 << 20  // bytes of all strings
)

// errNotELF is for files that begin otherwise.
var errNotELF = errors.New("not an ELF file")

// formatError is for files that only begin like one.
type formatError string

func (e formatError) Error() string { return "read ELF file: " + string(e) }

// object is what a dynamic loader wants to know of a program or library. It comes from the program headers alone, as the
// loader sees them: section headers may be missing, or lie. (debug/elf finds versions by section headers only.)
type object struct {
	class   elf.Class
	machine elf.Machine
	kind    elf.Type
	interp  string
	dynamic bool

	soname         string
	needed         []string
	rpath, runpath string
	needs          []versionNeed
	defs           []string // versions that it defines, sorted
}

// versionNeed are the versions that an object needs of one library.
type versionNeed struct {
	file     string
	versions []string // without weak ones, whose absence the loader only mentions
}

// lacks returns which versions o does not define. An object without versions is taken as it is, as glibc does.
func (o *object) lacks(versions []string) []string {
	if len(o.defs) == 0 {
		return nil
	}
	var out []string
	for _, v := range versions {
		if _, ok := slices.BinarySearch(o.defs, v); !ok {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// versionsOf returns which versions o needs of a library.
func (o *object) versionsOf(file string) []string {
	for _, n := range o.needs {
		if n.file == file {
			return n.versions
		}
	}
	return nil
}

// segment is a program header.
type segment struct {
	kind                 elf.ProgType
	offset, addr, length uint64
}

type parser struct {
	r     io.ReaderAt
	order binary.ByteOrder
	wide  bool
	load  []segment
	pages pages
	text  int // bytes of strings still to be read
	rows  int // entries of tables still to be read
	obj   *object
}

// parse reads an object. What is no ELF file is errNotELF, what only begins like one a formatError.
func parse(r io.ReaderAt) (*object, error) {
	var head [64]byte
	n, err := r.ReadAt(head[:], 0)
	if n < 4 || string(head[:4]) != elf.ELFMAG {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read ELF file: %w", err)
		}
		return nil, errNotELF
	}
	p := &parser{r: r, pages: pages{r: r}, text: maxStrings, rows: maxTable, obj: &object{}}
	segments, err := p.header(head[:n])
	if err != nil {
		return nil, err
	}
	for _, s := range segments {
		if s.kind == elf.PT_LOAD {
			p.load = append(p.load, s)
		}
	}
	for _, s := range segments {
		switch s.kind {
		case elf.PT_INTERP:
			if p.obj.interp, err = p.string(s.offset); err != nil {
				return nil, err
			}
		case elf.PT_DYNAMIC:
			if err := p.dynamic(s); err != nil {
				return nil, err
			}
		}
	}
	return p.obj, nil
}

func (p *parser) header(head []byte) ([]segment, error) {
	if len(head) < 52 {
		return nil, formatError("shorter than its header")
	}
	p.obj.class = elf.Class(head[elf.EI_CLASS])
	p.wide = p.obj.class == elf.ELFCLASS64
	if !p.wide && p.obj.class != elf.ELFCLASS32 || p.wide && len(head) < 64 {
		return nil, formatError("of no known class")
	}
	switch elf.Data(head[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		p.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		p.order = binary.BigEndian
	default:
		return nil, formatError("of no known byte order")
	}
	p.obj.kind = elf.Type(p.order.Uint16(head[16:]))
	p.obj.machine = elf.Machine(p.order.Uint16(head[18:]))
	offset, sizes, want := uint64(p.order.Uint32(head[28:])), head[42:], 32
	if p.wide {
		offset, sizes, want = p.order.Uint64(head[32:]), head[54:], 56
	}
	size, count := int(p.order.Uint16(sizes)), int(p.order.Uint16(sizes[2:]))
	switch {
	case count == 0:
		return nil, nil
	case count > maxHeaders:
		return nil, formatError("too many program headers")
	case size != want:
		return nil, formatError("program headers of another size")
	}
	table, err := p.bytes(offset, count*size)
	if err != nil {
		return nil, err
	}
	out := make([]segment, count)
	for i := range out {
		out[i] = p.segment(table[i*size:])
	}
	return out, nil
}

func (p *parser) segment(b []byte) segment {
	kind := elf.ProgType(p.order.Uint32(b))
	if p.wide {
		return segment{kind, p.order.Uint64(b[8:]), p.order.Uint64(b[16:]), p.order.Uint64(b[32:])}
	}
	return segment{kind, uint64(p.order.Uint32(b[4:])), uint64(p.order.Uint32(b[8:])), uint64(p.order.Uint32(b[16:]))}
}

// bytes reads a piece whose size the caller has bounded.
func (p *parser) bytes(offset uint64, size int) ([]byte, error) {
	if offset > 1<<62 {
		return nil, formatError("an offset beyond the file")
	}
	b := make([]byte, size)
	if n, err := p.r.ReadAt(b, int64(offset)); n < size {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read ELF file: %w", err)
		}
		return nil, formatError("cut short")
	}
	return b, nil
}

// fileOffset says where in the file an address is.
func (p *parser) fileOffset(addr uint64) (uint64, error) {
	for _, s := range p.load {
		if addr >= s.addr && addr-s.addr < s.length {
			return s.offset + (addr - s.addr), nil
		}
	}
	return 0, formatError("an address that no segment has")
}

func (p *parser) string(offset uint64) (string, error) {
	var out strings.Builder
	for {
		b, err := p.pages.from(offset)
		if err != nil {
			return "", err
		}
		end := slices.Index(b, 0)
		if end >= 0 {
			b = b[:end]
		}
		if p.text -= len(b) + 1; p.text < 0 || out.Len()+len(b) > maxString {
			return "", formatError("strings too long")
		}
		out.Write(b)
		if end >= 0 {
			return out.String(), nil
		}
		offset += uint64(len(b))
	}
}

// pages remembers the last pages of a file: tables and strings lie together.
type pages struct {
	r    io.ReaderAt
	seen map[uint64][]byte
}

const (
	pageSize = 4096
	maxPages = 64
)

// from returns what follows an offset to the end of its page, at least one byte.
func (p *pages) from(offset uint64) ([]byte, error) {
	number, skip := offset/pageSize, offset%pageSize
	page, ok := p.seen[number]
	if !ok {
		if number > 1<<50 {
			return nil, formatError("an offset beyond the file")
		}
		page = make([]byte, pageSize)
		n, err := p.r.ReadAt(page, int64(number*pageSize))
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read ELF file: %w", err)
		}
		page = page[:n]
		if p.seen == nil || len(p.seen) >= maxPages {
			p.seen = make(map[uint64][]byte)
		}
		p.seen[number] = page
	}
	if skip >= uint64(len(page)) {
		return nil, formatError("cut short")
	}
	return page[skip:], nil
}

// read fills b.
func (p *pages) read(b []byte, offset uint64) error {
	for len(b) > 0 {
		part, err := p.from(offset)
		if err != nil {
			return err
		}
		n := copy(b, part)
		b, offset = b[n:], offset+uint64(n)
	}
	return nil
}
