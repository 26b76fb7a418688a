package rootfs

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// What an unpacker without privileges could not give a layer's entries lies in
// one file a layer, beside the layers; FORMAT.md describes it.
const (
	ownersMagic   = "flake-owners 1"
	modeKept      = "-"
	maxOwnersFile = 256 << 20
)

// Owner is what the image says about one entry of a layer and what the tree on
// disk cannot say, because whoever unpacked it was an ordinary user.
type Owner struct {
	// Path is relative to the layer's root and clean; "." is the root.
	Path string
	// UID and GID are the image's; on disk everything is the unpacker's.
	UID, GID int
	// Mode is the st_mode that the entry has in the image, type included,
	// where the one on disk is another; else 0.
	Mode uint32
	// Xattrs are those that the kernel refuses to a user.
	Xattrs map[string]string
}

// OwnersFile is where the side file of a layer is, or would be.
func (s *Store) OwnersFile(id string) string { return s.path(ownersDir, escape(id)) }

// Owners reads what of a layer could not be kept, sorted by path. Entries that
// are not listed belong to 0:0 in the image and are otherwise as on disk. A
// layer that was unpacked by root has no such file, since it has its owners on
// disk: the error then matches [fs.ErrNotExist]. A file that is not as it was
// written gives an error that wraps [ErrDamaged].
func (s *Store) Owners(id string) ([]Owner, error) {
	if err := checkID(id); err != nil {
		return nil, fmt.Errorf("read owners: %w", err)
	}
	data, err := readFile(s.OwnersFile(id), maxOwnersFile)
	if err != nil {
		return nil, fmt.Errorf("read owners: %w", err)
	}
	owners, err := parseOwners(data)
	if err != nil {
		return nil, fmt.Errorf("read owners of layer %s: %w: %w", id, ErrDamaged, err)
	}
	return owners, nil
}

// formatOwners writes the file: fields that each end in a NUL, which neither a
// path nor the name of an xattr can hold.
func formatOwners(owners []Owner) ([]byte, error) {
	owners = slices.Clone(owners)
	slices.SortFunc(owners, func(a, b Owner) int { return strings.Compare(a.Path, b.Path) })
	var b bytes.Buffer
	field := func(s string) { b.WriteString(s); b.WriteByte(0) }
	field(ownersMagic)
	field(strconv.Itoa(len(owners)))
	for i, o := range owners {
		if err := o.check(); err != nil {
			return nil, err
		}
		if i > 0 && owners[i-1].Path == o.Path {
			return nil, fmt.Errorf("path %q twice", o.Path)
		}
		field(o.Path)
		field(strconv.Itoa(o.UID))
		field(strconv.Itoa(o.GID))
		if o.Mode == 0 {
			field(modeKept)
		} else {
			field(strconv.FormatUint(uint64(o.Mode), 8))
		}
		field(strconv.Itoa(len(o.Xattrs)))
		for _, name := range slices.Sorted(maps.Keys(o.Xattrs)) {
			field(name)
			field(base64.StdEncoding.EncodeToString([]byte(o.Xattrs[name])))
		}
	}
	return b.Bytes(), nil
}

func (o *Owner) check() error {
	if o.Path == "" || o.Path != path.Clean(o.Path) || o.Path[0] == '/' || o.Path == ".." ||
		strings.HasPrefix(o.Path, "../") || strings.ContainsRune(o.Path, 0) {
		return fmt.Errorf("path %q is not one of a layer", o.Path)
	}
	if o.UID < 0 || o.GID < 0 || o.Mode > 0o177777 {
		return fmt.Errorf("path %q: owner %d:%d or mode %o out of range", o.Path, o.UID, o.GID, o.Mode)
	}
	for name := range o.Xattrs {
		if name == "" || strings.ContainsRune(name, 0) {
			return fmt.Errorf("path %q: bad xattr %q", o.Path, name)
		}
	}
	return nil
}

// parseOwners accepts exactly what formatOwners writes.
func parseOwners(data []byte) ([]Owner, error) {
	p := ownersParser{rest: data}
	if magic := p.field(); p.err == nil && magic != ownersMagic {
		return nil, fmt.Errorf("it begins with %q", magic[:min(len(magic), 32)])
	}
	var owners []Owner
	last := ""
	for n := p.number(10); n > 0 && p.err == nil; n-- {
		o := p.owner()
		if p.err == nil && o.Path <= last {
			p.err = fmt.Errorf("path %q out of order", o.Path)
		}
		last = o.Path
		owners = append(owners, o)
	}
	if p.err == nil && len(p.rest) > 0 {
		p.err = fmt.Errorf("%d bytes too many", len(p.rest))
	}
	if p.err != nil {
		return nil, p.err
	}
	return owners, nil
}

type ownersParser struct {
	rest []byte
	err  error
}

func (p *ownersParser) field() string {
	before, after, ok := bytes.Cut(p.rest, []byte{0})
	if !ok && p.err == nil {
		p.err = fmt.Errorf("it ends too early")
	}
	p.rest = after
	return string(before)
}

func (p *ownersParser) number(base int) int {
	text := p.field()
	n, err := strconv.ParseUint(text, base, 32)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("%q is no number", text)
	}
	return int(n)
}

func (p *ownersParser) owner() Owner {
	o := Owner{Path: p.field(), UID: p.number(10), GID: p.number(10)}
	if before, ok := bytes.CutPrefix(p.rest, []byte(modeKept+"\x00")); ok {
		p.rest = before
	} else {
		o.Mode = uint32(p.number(8))
	}
	for n := p.number(10); n > 0 && p.err == nil; n-- {
		name := p.field()
		value, err := base64.StdEncoding.DecodeString(p.field())
		if err != nil && p.err == nil {
			p.err = err
		}
		if o.Xattrs == nil {
			o.Xattrs = map[string]string{}
		}
		o.Xattrs[name] = string(value)
	}
	if p.err == nil {
		p.err = o.check()
	}
	return o
}

// writeOwners puts the side file of a layer that is about to be committed in
// its place. One that an earlier crash left there is replaced: no layer goes
// with it.
func (s *Store) writeOwners(tmp, id string, owners []Owner) error {
	data, err := formatOwners(owners)
	if err != nil {
		return err
	}
	if len(data) > maxOwnersFile {
		return fmt.Errorf("owners: %w: above %d bytes", ErrTooLarge, maxOwnersFile)
	}
	if err := writeSynced(tmp, data); err != nil {
		return err
	}
	if err := os.Rename(tmp, s.OwnersFile(id)); err != nil {
		return err
	}
	return syncDir(s.path(ownersDir))
}

// Leftovers lists what lies beside the layers for layers that are not there:
// a crash between two steps of a commit or a removal left it.
func (s *Store) Leftovers() ([]string, error) {
	var paths []string
	for _, dir := range []string{ownersDir, privateDir} {
		entries, err := os.ReadDir(s.path(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list what belongs to layers: %w", err)
		}
		for _, e := range entries {
			if checkID(e.Name()) == nil && !s.HasLayer(e.Name()) {
				paths = append(paths, s.path(dir, e.Name()))
			}
		}
	}
	return paths, nil
}

// SweepLeftovers removes what [Store.Leftovers] lists. The caller holds
// [Store.Collecting]: a commit under way looks like a crashed one.
func (s *Store) SweepLeftovers() (n int, err error) {
	paths, err := s.Leftovers()
	if err != nil {
		return 0, err
	}
	for _, p := range paths {
		if err := s.discard(p); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// discard removes something from its place at once, and what it held then. What
// is absent is success.
func (s *Store) discard(p string) (err error) {
	if !exists(p) {
		return nil
	}
	t, err := s.Temp("old")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	if fi, err := os.Lstat(p); err == nil && fi.IsDir() {
		f, err := openOwn(p)
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := makeMovable(f); err != nil {
			return err
		}
	}
	err = os.Rename(p, filepath.Join(t.Dir(), filepath.Base(p)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(p))
}
