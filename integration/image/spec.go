package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Epoch is the time of every composed entry that names none: images made twice are the same.
var Epoch = time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)

const xattrPrefix = "SCHILY.xattr." // PAX records of extended attributes

// kinds of the spec language, with the default mode of each.
var kinds = map[string]struct {
	typeflag byte
	mode     int64
}{
	"dir":   {tar.TypeDir, 0o755},
	"file":  {tar.TypeReg, 0o644},
	"link":  {tar.TypeSymlink, 0o777},
	"hard":  {tar.TypeLink, 0o644},
	"fifo":  {tar.TypeFifo, 0o644},
	"char":  {tar.TypeChar, 0o600},
	"block": {tar.TypeBlock, 0o600},
}

// Parse makes a layer of lines in the order given, exactly as they stand: missing parents stay
// missing, hostile names stay hostile. Empty lines and lines that begin with # are skipped.
//
//	KIND NAME [KEY=VALUE]...
//
//	dir etc mode=0700 own=1:2         file etc/motd data="hello\n"     file big size=1000000
//	link lib to=usr/lib               hard b to=a                      fifo run/f
//	char dev/null dev=1:3             whiteout etc/gone                opaque etc
//	file bin/ping xattr:user.a=b      file "odd \n name" time=1700000000
//
// A NAME or VALUE that begins with a double quote is a Go string literal. size=N fills with bytes
// that do not compress and are the same every time.
func Parse(lines ...string) (*Layer, error) {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, line := range strings.Split(strings.Join(lines, "\n"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		hdr, body, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("parse layer line %q: %w", line, err)
		}
		if err := tw.WriteHeader(hdr); err != nil {
			return nil, fmt.Errorf("write header of %q: %w", hdr.Name, err)
		}
		if _, err := io.Copy(tw, body); err != nil {
			return nil, fmt.Errorf("write content of %q: %w", hdr.Name, err)
		}
	}
	if err := tw.Close(); err != nil {
		return nil, fmt.Errorf("end layer: %w", err)
	}
	return FromBytes(buf.Bytes()), nil
}

func parseLine(line string) (*tar.Header, io.Reader, error) {
	words, err := split(line)
	if err != nil {
		return nil, nil, err
	}
	if len(words) < 2 {
		return nil, nil, fmt.Errorf("want KIND NAME")
	}
	kind, name := words[0], words[1]
	switch kind {
	case "whiteout":
		dir, base := name[:strings.LastIndexByte(name, '/')+1], name[strings.LastIndexByte(name, '/')+1:]
		kind, name = "file", dir+".wh."+base
	case "opaque":
		kind, name = "file", strings.TrimSuffix(name, "/")+"/.wh..wh..opq"
	}
	def, ok := kinds[kind]
	if !ok {
		return nil, nil, fmt.Errorf("unknown kind %q", kind)
	}
	if kind == "dir" && !strings.HasSuffix(name, "/") {
		name += "/"
	}
	hdr := &tar.Header{
		Typeflag: def.typeflag, Name: name, Mode: def.mode,
		ModTime: Epoch, Format: tar.FormatPAX, PAXRecords: map[string]string{},
	}
	var body io.Reader = strings.NewReader("")
	for _, word := range words[2:] {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return nil, nil, fmt.Errorf("want KEY=VALUE, got %q", word)
		}
		if body, err = setKey(hdr, body, key, value); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return hdr, body, nil
}

func setKey(hdr *tar.Header, body io.Reader, key, value string) (io.Reader, error) {
	var err error
	switch {
	case key == "mode":
		hdr.Mode, err = strconv.ParseInt(value, 8, 64)
	case key == "own":
		_, err = fmt.Sscanf(value, "%d:%d", &hdr.Uid, &hdr.Gid)
	case key == "dev":
		_, err = fmt.Sscanf(value, "%d:%d", &hdr.Devmajor, &hdr.Devminor)
	case key == "to":
		hdr.Linkname = value
	case key == "time":
		var sec int64
		sec, err = strconv.ParseInt(value, 10, 64)
		hdr.ModTime = time.Unix(sec, 0)
	case key == "data":
		hdr.Size = int64(len(value))
		body = strings.NewReader(value)
	case key == "size":
		hdr.Size, err = strconv.ParseInt(value, 10, 64)
		body = io.LimitReader(&noise{state: 0x9e3779b97f4a7c15}, hdr.Size)
	case strings.HasPrefix(key, "xattr:"):
		hdr.PAXRecords[xattrPrefix+strings.TrimPrefix(key, "xattr:")] = value
	default:
		err = fmt.Errorf("unknown key")
	}
	return body, err
}

// split cuts a line at blanks; a part that begins with a quote, also after `=`, is a Go literal.
func split(line string) ([]string, error) {
	var words []string
	for line = strings.TrimLeft(line, " \t"); line != ""; line = strings.TrimLeft(line, " \t") {
		word := ""
		for line != "" && line[0] != ' ' && line[0] != '\t' {
			if line[0] != '"' {
				word += line[:1]
				line = line[1:]
				continue
			}
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("open quote: %w", err)
			}
			text, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, fmt.Errorf("unquote %s: %w", quoted, err)
			}
			word += text
			line = line[len(quoted):]
		}
		words = append(words, word)
	}
	return words, nil
}

// noise is an endless xorshift stream: content that no compressor makes smaller.
type noise struct{ state uint64 }

func (n *noise) Read(p []byte) (int, error) {
	for i := range p {
		n.state ^= n.state << 13
		n.state ^= n.state >> 7
		n.state ^= n.state << 17
		p[i] = byte(n.state >> 32)
	}
	return len(p), nil
}
