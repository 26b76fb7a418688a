package pkgdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
)

// Tags of an rpm header that are of interest, and their types.
const (
	tagName        = 1000
	tagArch        = 1022
	tagOldFiles    = 1027
	tagFileFlags   = 1037
	tagProvideName = 1047
	tagRequireName = 1049
	tagDirIndexes  = 1116
	tagBaseNames   = 1117
	tagDirNames    = 1118

	typeInt32  = 4
	typeText   = 6
	typeTexts  = 8
	flagConfig = 1 << 0
	flagGhost  = 1 << 6
)

// header is one of rpm's, as a database holds it: two counts, an index of entries of four words (tag, type, offset,
// count), and the data.
type header struct {
	entries map[uint32]headerEntry
	data    []byte
}

type headerEntry struct{ kind, offset, count uint32 }

var errHeader = errors.New("damaged header")

func parseHeader(b []byte) (*header, error) {
	const entrySize = 16
	if len(b) < 8 {
		return nil, errHeader
	}
	n, size := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	b = b[8:]
	if uint64(n)*entrySize+uint64(size) > uint64(len(b)) {
		return nil, errHeader
	}
	h := &header{entries: make(map[uint32]headerEntry, 16), data: b[n*entrySize:][:size]}
	for i := range n {
		e := b[i*entrySize:]
		tag := binary.BigEndian.Uint32(e)
		switch tag {
		case tagName, tagArch, tagOldFiles, tagFileFlags, tagProvideName, tagRequireName, tagDirIndexes, tagBaseNames, tagDirNames:
			// A tag may come again behind the signed part; the later one is a change of the database's own.
			h.entries[tag] = headerEntry{binary.BigEndian.Uint32(e[4:]), binary.BigEndian.Uint32(e[8:]), binary.BigEndian.Uint32(e[12:])}
		}
	}
	return h, nil
}

// texts is an array of strings, or one alone. Strings are copies.
func (h *header) texts(tag uint32) []string {
	e, ok := h.entries[tag]
	if !ok || e.kind != typeText && e.kind != typeTexts || uint64(e.offset) > uint64(len(h.data)) {
		return nil
	}
	var out []string
	for at := h.data[e.offset:]; uint32(len(out)) < e.count; {
		end := bytes.IndexByte(at, 0)
		if end < 0 {
			break
		}
		out = append(out, string(at[:end]))
		at = at[end+1:]
	}
	return out
}

func (h *header) text(tag uint32) string {
	if all := h.texts(tag); len(all) > 0 {
		return all[0]
	}
	return ""
}

func (h *header) numbers(tag uint32) []uint32 {
	e, ok := h.entries[tag]
	if !ok || e.kind != typeInt32 || uint64(e.offset)+4*uint64(e.count) > uint64(len(h.data)) {
		return nil
	}
	out := make([]uint32, e.count)
	for i := range out {
		out[i] = binary.BigEndian.Uint32(h.data[e.offset+4*uint32(i):])
	}
	return out
}

type headerFile struct {
	path  string
	flags uint32
}

// files are the paths of a package: since rpm 4 names, and directories that they refer to by numbers.
func (h *header) files() ([]headerFile, error) {
	flags := h.numbers(tagFileFlags)
	paths := h.texts(tagOldFiles)
	names, indexes, dirs := h.texts(tagBaseNames), h.numbers(tagDirIndexes), h.texts(tagDirNames)
	if len(names) != len(indexes) {
		return nil, errHeader
	}
	for i, name := range names {
		if indexes[i] >= uint32(len(dirs)) {
			return nil, errHeader
		}
		paths = append(paths, dirs[indexes[i]]+name)
	}
	out := make([]headerFile, 0, len(paths))
	for i, p := range paths {
		if !strings.HasPrefix(p, "/") { // of a source package
			continue
		}
		f := headerFile{path: strings.TrimRight(p, "/")}
		if i < len(flags) {
			f.flags = flags[i]
		}
		if f.path != "" {
			out = append(out, f)
		}
	}
	return out, nil
}
