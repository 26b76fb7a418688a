package elflink

import (
	"debug/elf"
	"slices"
)

// dynamic reads the section that PT_DYNAMIC describes.
func (p *parser) dynamic(s segment) error {
	if s.length > maxDynamic {
		return formatError("dynamic section too long")
	}
	table, err := p.bytes(s.offset, int(s.length))
	if err != nil {
		return err
	}
	p.obj.dynamic = true
	values := map[elf.DynTag]uint64{}
	var needed []uint64
	for tag, value := range p.dynamicEntries(table) {
		if tag == elf.DT_NEEDED {
			if needed = append(needed, value); len(needed) > maxNeeded {
				return formatError("too many libraries needed")
			}
			continue
		}
		values[tag] = value
	}
	strtab, ok := values[elf.DT_STRTAB]
	if !ok {
		return nil
	}
	if strtab, err = p.fileOffset(strtab); err != nil {
		return err
	}
	for _, at := range needed {
		name, err := p.string(strtab + at)
		if err != nil {
			return err
		}
		if name != "" && !slices.Contains(p.obj.needed, name) {
			p.obj.needed = append(p.obj.needed, name)
		}
	}
	for tag, into := range map[elf.DynTag]*string{
		elf.DT_SONAME: &p.obj.soname, elf.DT_RPATH: &p.obj.rpath, elf.DT_RUNPATH: &p.obj.runpath,
	} {
		if at, ok := values[tag]; ok {
			if *into, err = p.string(strtab + at); err != nil {
				return err
			}
		}
	}
	if err := p.versionNeeds(values, strtab); err != nil {
		return err
	}
	return p.versionDefs(values, strtab)
}

func (p *parser) dynamicEntries(table []byte) func(func(elf.DynTag, uint64) bool) {
	size := 8
	if p.wide {
		size = 16
	}
	return func(yield func(elf.DynTag, uint64) bool) {
		for ; len(table) >= size; table = table[size:] {
			var tag elf.DynTag
			var value uint64
			if p.wide {
				tag, value = elf.DynTag(p.order.Uint64(table)), p.order.Uint64(table[8:])
			} else {
				tag, value = elf.DynTag(p.order.Uint32(table)), uint64(p.order.Uint32(table[4:]))
			}
			if tag == elf.DT_NULL || !yield(tag, value) {
				return
			}
		}
	}
}

// row reads one entry of a version table, and counts it.
func (p *parser) row(b []byte, offset uint64) error {
	if p.rows--; p.rows < 0 {
		return formatError("too many symbol versions")
	}
	return p.pages.read(b, offset)
}

// versionNeeds reads DT_VERNEED: a list of libraries, each with a list of versions. The distances to the next entries
// are unsigned, so both lists end.
func (p *parser) versionNeeds(values map[elf.DynTag]uint64, strtab uint64) error {
	at, ok := values[elf.DT_VERNEED]
	if !ok {
		return nil
	}
	at, err := p.fileOffset(at)
	if err != nil {
		return err
	}
	for {
		var b [16]byte
		if err := p.row(b[:], at); err != nil {
			return err
		}
		file, err := p.string(strtab + uint64(p.order.Uint32(b[4:])))
		if err != nil {
			return err
		}
		need := versionNeed{file: file}
		if need.versions, err = p.needAux(at+uint64(p.order.Uint32(b[8:])), strtab); err != nil {
			return err
		}
		p.obj.needs = append(p.obj.needs, need)
		next := uint64(p.order.Uint32(b[12:]))
		if next == 0 {
			return nil
		}
		at += next
	}
}

func (p *parser) needAux(at, strtab uint64) (versions []string, err error) {
	const weak = 2 // VER_FLG_WEAK
	for {
		var b [16]byte
		if err := p.row(b[:], at); err != nil {
			return nil, err
		}
		name, err := p.string(strtab + uint64(p.order.Uint32(b[8:])))
		if err != nil {
			return nil, err
		}
		if p.order.Uint16(b[4:])&weak == 0 {
			versions = append(versions, name)
		}
		next := uint64(p.order.Uint32(b[12:]))
		if next == 0 {
			return versions, nil
		}
		at += next
	}
}

// versionDefs reads DT_VERDEF. The first name of each entry is the version, further ones are what it follows.
func (p *parser) versionDefs(values map[elf.DynTag]uint64, strtab uint64) error {
	at, ok := values[elf.DT_VERDEF]
	if !ok {
		return nil
	}
	at, err := p.fileOffset(at)
	if err != nil {
		return err
	}
	for {
		var b [20]byte
		if err := p.row(b[:], at); err != nil {
			return err
		}
		var aux [8]byte
		if err := p.row(aux[:], at+uint64(p.order.Uint32(b[12:]))); err != nil {
			return err
		}
		name, err := p.string(strtab + uint64(p.order.Uint32(aux[:])))
		if err != nil {
			return err
		}
		p.obj.defs = append(p.obj.defs, name)
		next := uint64(p.order.Uint32(b[16:]))
		if next == 0 {
			break
		}
		at += next
	}
	slices.Sort(p.obj.defs)
	return nil
}
