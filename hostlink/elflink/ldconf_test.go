package elflink

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cacheOf writes an ld.so.cache of names and paths.
func cacheOf(entries ...[2]string) []byte {
	var head, list, text bytes.Buffer
	put := func(b *bytes.Buffer, v ...any) {
		for _, x := range v {
			_ = binary.Write(b, binary.LittleEndian, x) // to memory
		}
	}
	start := 48 + 24*len(entries)
	for _, e := range entries {
		key := uint32(start + text.Len())
		text.WriteString(e[0] + "\x00")
		value := uint32(start + text.Len())
		text.WriteString(e[1] + "\x00")
		put(&list, int32(0x303), key, value, uint32(0), uint64(0))
	}
	head.WriteString("glibc-ld.so.cache1.1")
	put(&head, uint32(len(entries)), uint32(text.Len()), uint32(2), uint32(0), [3]uint32{})
	return bytes.Join([][]byte{head.Bytes(), list.Bytes(), text.Bytes()}, nil)
}

func TestParseCache(t *testing.T) {
	want := map[string][]string{"libz.so.1": {"/opt/libz.so.1", "/lib/libz.so.1"}, "liba.so": {"/lib/liba.so"}}
	b := cacheOf([2]string{"libz.so.1", "/opt/libz.so.1"}, [2]string{"libz.so.1", "/lib/libz.so.1"}, [2]string{"liba.so", "/lib/liba.so"}, [2]string{"rel", "x"})
	if diff := cmp.Diff(want, parseCache(b)); diff != "" {
		t.Error(diff)
	}
	b[20] = 0xff
	b[21] = 0xff
	if got := parseCache(b); got != nil {
		t.Errorf("65535 entries in %d bytes: %v", len(b), got)
	}
	for _, bad := range [][]byte{nil, []byte("glibc-ld.so.cache1.1"), []byte("ld.so-1.7.0"), make([]byte, 100)} {
		if got := parseCache(bad); got != nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestConfDirs(t *testing.T) {
	img := dirImage(t.TempDir())
	img.write(t, "etc/ld.so.conf", []byte("# words\n/opt/a  /opt/b\ninclude ld.so.conf.d/*.conf\ninclude /etc/ld.so.conf\nhwcap 1 x\n/opt/c=libc6\nrelative\n"))
	img.write(t, "etc/ld.so.conf.d/2.conf", []byte("/opt/2\n"))
	img.write(t, "etc/ld.so.conf.d/1.conf", []byte("/opt/1 # more\n/opt/a\n"))
	img.write(t, "etc/ld.so.conf.d/no", []byte("/opt/no\n"))
	app := newAppTree(img)
	if diff := cmp.Diff([]string{"/opt/a", "/opt/b", "/opt/1", "/opt/2", "/opt/c"}, confDirs(app, app.names)); diff != "" {
		t.Error(diff)
	}
}

func TestTrustedDirs(t *testing.T) {
	for in, want := range map[string][]string{
		"/proc/self/exe\x00xx\x00/lib/x86_64-linux-gnu/\x00/usr/lib/x86_64-linux-gnu/\x00/lib/\x00/usr/lib/\x00\x00/etc": {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib", "/usr/lib"},
		"\x00/lib64/\x00/usr/lib64/\x00libc": {"/lib64", "/usr/lib64"},
		"\x00/usr/lib/\x00":                  {"/usr/lib"},
		"\x00/var/tmp\x00/var/profile\x00":   nil,
		"\x00/lib\xff/\x00":                  nil,
		"/lib/":                              nil,
	} {
		if diff := cmp.Diff(want, trustedDirs([]byte(in))); diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}
