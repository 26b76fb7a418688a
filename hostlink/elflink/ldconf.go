package elflink

import (
	"bytes"
	"encoding/binary"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

const (
	maxConf  = 1 << 20  // bytes of one configuration file
	maxConfs = 256      // files with all includes
	maxCache = 16 << 20 // bytes of ld.so.cache
)

// readFile reads a file of a tree that a path leads to; nil if there is none, or it is larger.
func readFile(t tree, name string, limit int64) []byte {
	s := follow(t, name)
	if s.kind != hostlink.KindFile {
		return nil
	}
	f, err := t.open(s.path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil || int64(len(b)) > limit {
		return nil
	}
	return b
}

// confReader reads ld.so.conf.
type confReader struct {
	t     tree
	list  func(dir string) []string
	files int
	dirs  []string
}

func (c *confReader) read(name string, depth int) {
	if c.files++; c.files > maxConfs || depth > 8 {
		return
	}
	for line := range strings.Lines(string(readFile(c.t, name, maxConf))) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\r\n:,", r) })
		switch {
		case len(fields) == 0, fields[0] == "hwcap":
		case fields[0] == "include":
			for _, pattern := range fields[1:] {
				c.include(name, pattern, depth)
			}
		default:
			for _, dir := range fields {
				dir, _, _ = strings.Cut(dir, "=") // DIR=TYPE of old
				if path.IsAbs(dir) && !slices.Contains(c.dirs, path.Clean(dir)) {
					c.dirs = append(c.dirs, path.Clean(dir))
				}
			}
		}
	}
}

// include takes patterns in the last name only, which is all that anybody writes.
func (c *confReader) include(from, pattern string, depth int) {
	if !path.IsAbs(pattern) {
		pattern = path.Join(path.Dir(from), pattern)
	}
	dir, last := path.Split(pattern)
	if !strings.ContainsAny(last, "*?[") {
		c.read(pattern, depth+1)
		return
	}
	for _, name := range c.list(dir) {
		if ok, err := path.Match(last, name); err == nil && ok && name[0] != '.' {
			c.read(join(dir, name), depth+1)
		}
	}
}

// confDirs are the directories of ld.so.conf, in order.
func confDirs(t tree, list func(dir string) []string) []string {
	c := &confReader{t: t, list: list}
	c.read("/etc/ld.so.conf", 0)
	return c.dirs
}

// Flags of a cache's entry: the type in the low byte.
const cacheLibc6 = 3

// parseCache reads ld.so.cache: by name the paths in their order. That, not ld.so.conf, is what glibc's loader reads; nil
// for what is no cache.
func parseCache(b []byte) map[string][]string {
	const (
		magic    = "glibc-ld.so.cache1.1"
		oldMagic = "ld.so-1.7.0"
		head     = 48
		size     = 24
	)
	if bytes.HasPrefix(b, []byte(oldMagic)) { // both forms in one file, the new one behind
		i := bytes.Index(b, []byte(magic))
		if i < 0 {
			return nil
		}
		b = b[i:]
	}
	if !bytes.HasPrefix(b, []byte(magic)) || len(b) < head {
		return nil
	}
	order := binary.ByteOrder(binary.LittleEndian)
	count := order.Uint32(b[20:])
	if b[28] == 3 || uint64(count)*size > uint64(len(b)-head) { // marked big-endian, or not marked at all
		order = binary.BigEndian
		count = order.Uint32(b[20:])
	}
	if uint64(count)*size > uint64(len(b)-head) {
		return nil
	}
	out, text := make(map[string][]string), maxCache
	for i := range int(count) {
		e := b[head+i*size:]
		if order.Uint32(e)&0xff != cacheLibc6 || order.Uint64(e[16:]) != 0 { // entries with hwcaps are variants of others
			continue
		}
		name, value := cString(b, order.Uint32(e[4:])), cString(b, order.Uint32(e[8:]))
		if text -= len(name) + len(value); text < 0 { // hostile: overlapping strings
			return nil
		}
		if name != "" && path.IsAbs(value) {
			out[name] = append(out[name], value)
		}
	}
	return out
}

func cString(b []byte, at uint32) string {
	if uint64(at) >= uint64(len(b)) {
		return ""
	}
	b = b[at:min(len(b), int(at)+maxString)]
	end := bytes.IndexByte(b, 0)
	return string(b[:max(end, 0)])
}
