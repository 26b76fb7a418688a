package plan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

var (
	// ErrDamaged is returned for a file that is no plan, is torn, or was written by another version.
	// The remedy is always to compile it again.
	ErrDamaged = errors.New("launch plan is damaged or of another version")
	// ErrForeign is returned for a file that another user could have written.
	ErrForeign = errors.New("launch plan could have been written by another user")
)

// decoder reads substrings of one string, so that a plan costs one allocation for all of its text.
type decoder struct {
	s   string
	bad bool
}

func (d *decoder) take(n int) string {
	if d.bad || n < 0 || n > len(d.s) {
		d.bad = true
		return ""
	}
	out := d.s[:n]
	d.s = d.s[n:]
	return out
}

func (d *decoder) u32() uint32 {
	b := d.take(4)
	if d.bad {
		return 0
	}
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

func (d *decoder) u64() uint64   { lo := d.u32(); return uint64(lo) | uint64(d.u32())<<32 }
func (d *decoder) str() string   { return d.take(int(d.u32())) }
func (d *decoder) bytes() []byte { return []byte(d.str()) }
func (d *decoder) bool() bool    { return d.take(1) == "\x01" }

func items[T any](d *decoder, item func() T) []T {
	n := int(d.u32())
	// Each item has at least one byte: a length beyond the rest is damage, not a reason to allocate.
	if d.bad || n > len(d.s) {
		d.bad = d.bad || n > 0
		return nil
	}
	if n == 0 {
		return nil
	}
	out := make([]T, n)
	for i := range out {
		out[i] = item()
	}
	return out
}

func (d *decoder) strs() []string { return items(d, d.str) }

func (d *decoder) node() Node {
	return Node{Path: d.str(), Mode: d.u32(), UID: d.u32(), GID: d.u32(), Text: d.str(), Opaque: d.bool()}
}
func (d *decoder) link() Link { return Link{Source: d.str(), Target: d.str(), Kind: d.str()} }
func (d *decoder) bind() Bind {
	return Bind{Source: d.str(), Target: d.str(), ReadOnly: d.bool(), Optional: d.bool(), Devices: d.bool(), Tmpfs: d.str(), NoExec: d.bool()}
}
func (d *decoder) copied() Copy { return Copy{Source: d.str(), Target: d.str(), Mode: d.u32()} }
func (d *decoder) idMap() IDMap { return IDMap{d.u32(), d.u32(), d.u32()} }

func (d *decoder) hostLayer() *HostLayer {
	if !d.bool() {
		return nil
	}
	return &HostLayer{Dir: d.str(), Data: d.strs(), Trusted: d.bool()}
}

func (d *decoder) idRange() *Range {
	if !d.bool() {
		return nil
	}
	return &Range{UIDs: items(d, d.idMap), GIDs: items(d, d.idMap), NewUIDMap: d.str(), NewGIDMap: d.str()}
}

func (d *decoder) symlink() Symlink { return Symlink{Path: d.str(), Text: d.str()} }

func (d *decoder) check() Check {
	return Check{
		Path: d.str(), Absent: d.bool(), Dev: d.u64(), Ino: d.u64(),
		Size: int64(d.u64()), Mtime: int64(d.u64()), Ctime: int64(d.u64()),
	}
}

// Decode reads the bytes of a plan file. It returns ErrDamaged for anything but a whole plan of this version.
func Decode(b []byte) (*Plan, error) {
	if len(b) < headerSize || string(b[:8]) != magic || binary.LittleEndian.Uint32(b[8:]) != version {
		return nil, ErrDamaged
	}
	word := func(at int) int { return int(binary.LittleEndian.Uint32(b[at:])) }
	end, at := headerSize+word(12), word(20)
	if end > at || at > len(b) || word(24) != len(b)-at {
		return nil, ErrDamaged
	}
	body, early := b[headerSize:end], b[at:]
	if crc32.Checksum(body, castagnoli) != uint32(word(16)) || EarlySum(early) != uint32(word(28)) {
		return nil, ErrDamaged
	}
	d := &decoder{s: string(body)}
	p := &Plan{
		Build: d.str(), Kernel: d.str(), Name: d.str(), Words: d.strs(), Searched: d.strs(), Digests: d.strs(), Checks: items(d, d.check), Sudo: d.bool(), Lower: d.strs(),
		Writable: d.str(), Store: d.str(), Seed: items(d, d.node), HostLayer: d.hostLayer(), Links: items(d, d.link),
		Entrypoint: d.strs(), Cmd: d.strs(), Env: d.strs(), Pass: d.strs(), Deny: d.strs(), Set: d.strs(), Cwd: d.str(), CwdVars: d.bool(),
		UID: d.u32(), GID: d.u32(), Groups: items(d, d.u32),
		Binds: items(d, d.bind), ShareCwd: d.bool(), Foreign: d.bool(), Copies: items(d, d.copied), Followed: items(d, d.symlink), Protect: d.strs(),
		PreserveFDs: d.bool(), PilotArguments: d.bool(), Kept: d.str(), Size: d.u64(),
		Engine: d.str(), User: d.bool(), Caller: d.u32(), Range: d.idRange(), Ops: d.bytes(), Config: d.bytes(), Filters: items(d, d.bytes),
	}
	if d.bad || d.s != "" {
		return nil, ErrDamaged
	}
	if len(early) > 0 {
		p.Early = early
	}
	return p, nil
}

// Read reads a plan from an open file, whose offset does not matter.
func Read(f *os.File) (*Plan, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("read plan %q: %w", f.Name(), err)
	}
	if st.Size > maxSize {
		return nil, ErrDamaged
	}
	b := make([]byte, st.Size)
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, st.Size), b); err != nil {
		return nil, fmt.Errorf("read plan %q: %w", f.Name(), errors.Join(ErrDamaged, err))
	}
	return Decode(b)
}

// Load opens and reads the plan at path. The open file is returned too (the engine inherits it); the caller
// closes it. A file that is not owned by root or by the caller, or that others may write, gives ErrForeign.
func Load(path string) (*Plan, *os.File, error) {
	// Not by package os, which would set up a poller for it: every start does this.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	p, err := loadFrom(f)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return p, f, nil
}

func loadFrom(f *os.File) (*Plan, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat plan %q: %w", f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o022 != 0 || (st.Uid != 0 && int(st.Uid) != os.Geteuid()) {
		return nil, ErrForeign
	}
	return Read(f)
}
