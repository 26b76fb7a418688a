package plan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
)

// The file: a header of headerSize bytes (magic, format version, length and CRC-32C of the body, then offset, length and
// EarlySum of Plan.Early, all little endian), then the fields of Plan in the order of encode, and at a multiple of 8 what
// Early is. Strings and lists carry a 32-bit length. launcher/early/front reads the header as well.
const (
	magic      = "FLAKEPLN"
	version    = 8
	headerSize = 32
	// maxSize bounds what a reader takes into memory. 100,000 links need about 12 MB.
	maxSize = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EarlySum tells a whole Plan.Early from a torn one. It takes eight bytes at a time: that part is read at every start. Its
// length is a multiple of eight.
func EarlySum(b []byte) uint32 {
	h := uint64(len(b))
	for ; len(b) >= 8; b = b[8:] {
		h = (h ^ binary.NativeEndian.Uint64(b)) * 0x9e3779b97f4a7c15
		h ^= h >> 32
	}
	if len(b) > 0 {
		return 0
	}
	return uint32(h)
}

type encoder struct{ b []byte }

func (e *encoder) u32(v uint32)     { e.b = binary.LittleEndian.AppendUint32(e.b, v) }
func (e *encoder) u64(v uint64)     { e.b = binary.LittleEndian.AppendUint64(e.b, v) }
func (e *encoder) str(s string)     { e.u32(uint32(len(s))); e.b = append(e.b, s...) }
func (e *encoder) bytes(s []byte)   { e.u32(uint32(len(s))); e.b = append(e.b, s...) }
func (e *encoder) bool(v bool)      { e.b = append(e.b, map[bool]byte{true: 1}[v]) }
func (e *encoder) strs(v []string)  { list(e, v, (*encoder).str) }
func (e *encoder) u32s(v []uint32)  { list(e, v, (*encoder).u32) }
func (e *encoder) blobs(v [][]byte) { list(e, v, (*encoder).bytes) }

func list[T any](e *encoder, v []T, item func(*encoder, T)) {
	e.u32(uint32(len(v)))
	for _, x := range v {
		item(e, x)
	}
}

func (e *encoder) node(n Node) {
	e.str(n.Path)
	e.u32(n.Mode)
	e.u32(n.UID)
	e.u32(n.GID)
	e.str(n.Text)
	e.bool(n.Opaque)
}

func (e *encoder) link(l Link) {
	e.str(l.Source)
	e.str(l.Target)
	e.str(l.Kind)
}

func (e *encoder) bind(b Bind) {
	e.str(b.Source)
	e.str(b.Target)
	e.bool(b.ReadOnly)
	e.bool(b.Optional)
	e.bool(b.Devices)
	e.str(b.Tmpfs)
	e.bool(b.NoExec)
}

func (e *encoder) copied(c Copy) {
	e.str(c.Source)
	e.str(c.Target)
	e.u32(c.Mode)
}

func (e *encoder) hostLayer(h *HostLayer) {
	e.bool(h != nil)
	if h != nil {
		e.str(h.Dir)
		e.strs(h.Data)
		e.bool(h.Trusted)
	}
}

func (e *encoder) idRange(r *Range) {
	e.bool(r != nil)
	if r == nil {
		return
	}
	for _, maps := range [][]IDMap{r.UIDs, r.GIDs} {
		list(e, maps, func(e *encoder, m IDMap) { e.u32(m.Inside); e.u32(m.Outside); e.u32(m.Size) })
	}
	e.str(r.NewUIDMap)
	e.str(r.NewGIDMap)
}

func (e *encoder) check(c Check) {
	e.str(c.Path)
	e.bool(c.Absent)
	e.u64(c.Dev)
	e.u64(c.Ino)
	e.u64(uint64(c.Size))
	e.u64(uint64(c.Mtime))
	e.u64(uint64(c.Ctime))
}

// Encode renders the plan as the file's bytes.
func (p *Plan) Encode() []byte {
	e := &encoder{b: make([]byte, headerSize, 4096)}
	e.str(p.Build)
	e.str(p.Kernel)
	e.str(p.Name)
	e.strs(p.Words)
	e.strs(p.Searched)
	e.strs(p.Digests)
	list(e, p.Checks, (*encoder).check)
	e.bool(p.Sudo)
	e.strs(p.Lower)
	e.str(p.Writable)
	e.str(p.Store)
	list(e, p.Seed, (*encoder).node)
	e.hostLayer(p.HostLayer)
	list(e, p.Links, (*encoder).link)
	e.strs(p.Entrypoint)
	e.strs(p.Cmd)
	e.strs(p.Env)
	e.strs(p.Pass)
	e.strs(p.Deny)
	e.strs(p.Set)
	e.str(p.Cwd)
	e.bool(p.CwdVars)
	e.u32(p.UID)
	e.u32(p.GID)
	e.u32s(p.Groups)
	list(e, p.Binds, (*encoder).bind)
	e.bool(p.ShareCwd)
	e.bool(p.Foreign)
	list(e, p.Copies, (*encoder).copied)
	list(e, p.Followed, func(e *encoder, s Symlink) { e.str(s.Path); e.str(s.Text) })
	e.strs(p.Protect)
	e.bool(p.PreserveFDs)
	e.bool(p.PilotArguments)
	e.str(p.Kept)
	e.u64(p.Size)
	e.str(p.Engine)
	e.bool(p.User)
	e.u32(p.Caller)
	e.idRange(p.Range)
	e.bytes(p.Ops)
	e.bytes(p.Config)
	e.blobs(p.Filters)

	copy(e.b, magic)
	body := e.b[headerSize:]
	binary.LittleEndian.PutUint32(e.b[8:], version)
	binary.LittleEndian.PutUint32(e.b[12:], uint32(len(body)))
	binary.LittleEndian.PutUint32(e.b[16:], crc32.Checksum(body, castagnoli))
	for len(e.b)%8 != 0 {
		e.b = append(e.b, 0)
	}
	binary.LittleEndian.PutUint32(e.b[20:], uint32(len(e.b)))
	binary.LittleEndian.PutUint32(e.b[24:], uint32(len(p.Early)))
	binary.LittleEndian.PutUint32(e.b[28:], EarlySum(p.Early))
	return append(e.b, p.Early...)
}

// Write puts the plan at path, atomically: a reader finds the old file, the new one or none. It is not synced,
// since a plan is derived data whose checksum tells a torn file.
func (p *Plan) Write(path string) (err error) {
	b := p.Encode()
	if len(b) > maxSize {
		return fmt.Errorf("write plan of %q: %d bytes are more than a plan may have", p.Name, len(b))
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".plan-*")
	if err != nil {
		return fmt.Errorf("write plan of %q: %w", p.Name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write plan of %q: %w", p.Name, err), os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(b)
	// World-readable like the store it lies in: other users start root's flakes from it.
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
