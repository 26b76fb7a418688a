package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"
)

func describe(hdr *tar.Header) string {
	return fmt.Sprintf("%c %q %o %d:%d %d %q", hdr.Typeflag, hdr.Name, hdr.Mode, hdr.Uid, hdr.Gid, hdr.Size, hdr.Linkname)
}

func TestParse(t *testing.T) {
	for behaviour, test := range map[string]struct {
		line string
		want string // "" for a refusal
	}{
		"directory with mode and owner": {`dir etc mode=0700 own=1:2`, `5 "etc/" 700 1:2 0 ""`},
		"quoted content with blanks":    {`file a data="x y\n"`, `0 "a" 644 0:0 4 ""`},
		"name that needs quoting":       {`file "odd \n name" size=10`, `0 "odd \n name" 644 0:0 10 ""`},
		"missing parents stay missing":  {`file lib/x`, `0 "lib/x" 644 0:0 0 ""`},
		"hostile names stay hostile":    {`file ../../etc/passwd`, `0 "../../etc/passwd" 644 0:0 0 ""`},
		"whiteout":                      {`whiteout etc/gone`, `0 "etc/.wh.gone" 644 0:0 0 ""`},
		"whiteout at the top":           {`whiteout gone`, `0 ".wh.gone" 644 0:0 0 ""`},
		"opaque":                        {`opaque etc`, `0 "etc/.wh..wh..opq" 644 0:0 0 ""`},
		"symlink":                       {`link lib to=usr/lib`, `2 "lib" 777 0:0 0 "usr/lib"`},
		"unknown kind":                  {`socket x`, ""},
		"unknown key":                   {`file x colour=red`, ""},
		"open quote":                    {`file "x`, ""},
	} {
		t.Run(behaviour, func(t *testing.T) {
			layer, err := Parse(test.line)
			if (err != nil) != (test.want == "") {
				t.Fatalf("Parse: %v", err)
			}
			if err != nil {
				return
			}
			headers, err := layer.Headers()
			if err != nil || len(headers) != 1 {
				t.Fatalf("headers %v, %v", headers, err)
			}
			if got := describe(headers[0]); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func sample(t *testing.T) Image {
	t.Helper()
	one, err := Parse(`dir etc`, `file etc/a data="one"`)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Parse(`dir etc`, `whiteout etc/a`, `file etc/b size=100000`)
	if err != nil {
		t.Fatal(err)
	}
	return Image{Name: "sample:latest", Layers: []*Layer{one, two}, Config: v1.Config{Cmd: []string{"/bin/sh"}}}
}

func TestWriteFileCompressesAsNamed(t *testing.T) {
	openers := map[string]func(io.Reader) (io.Reader, error){
		".tar":     func(r io.Reader) (io.Reader, error) { return r, nil },
		".tar.gz":  func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		".tar.xz":  func(r io.Reader) (io.Reader, error) { return xz.NewReader(r) },
		".tar.zst": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	}
	for ending, open := range openers {
		t.Run(ending, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image"+ending)
			if err := sample(t).WriteFile(path); err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			r, err := open(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			tr := tar.NewReader(r)
			for hdr, err := tr.Next(); err != io.EOF; hdr, err = tr.Next() {
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, filepath.Ext(hdr.Name))
			}
			if diff := cmp.Diff([]string{".tar", ".tar", ".json", ".json"}, names); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLayoutAndRegistryHoldValidImages(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	for _, compression := range []string{"", Gzip, Zstd} {
		for _, docker := range []bool{false, true} {
			if docker && compression == Zstd {
				continue // no such media type
			}
			t.Run(fmt.Sprintf("%q docker=%v", compression, docker), func(t *testing.T) {
				var options []validate.Option
				if compression != Gzip {
					options = append(options, validate.Fast) // its reader knows gzip alone
				}
				img := sample(t)
				img.LayerCompression, img.Docker = compression, docker
				dir := filepath.Join(t.TempDir(), "layout")
				if err := img.WriteLayout(dir); err != nil {
					t.Fatal(err)
				}
				index, err := layout.ImageIndexFromPath(dir)
				if err != nil {
					t.Fatal(err)
				}
				if err := validate.Index(index, options...); err != nil {
					t.Error(err)
				}
				ref := strings.TrimPrefix(server.URL, "http://") + "/sample:latest"
				if err := img.Push(ref); err != nil {
					t.Fatal(err)
				}
				parsed, err := name.ParseReference(ref, name.Insecure)
				if err != nil {
					t.Fatal(err)
				}
				back, err := remote.Image(parsed)
				if err != nil {
					t.Fatal(err)
				}
				if err := validate.Image(back, options...); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestTreeKeepsLinksAndTurnsWhiteouts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: mknod of a whiteout")
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "d"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "d", "a"), []byte("x"), 0o4755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "d", "a"), 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "d", "a"), filepath.Join(dir, "d", "b")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mknod(filepath.Join(dir, "d", "gone"), unix.S_IFCHR, 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Lsetxattr(filepath.Join(dir, "d"), opaqueXattr, []byte("y"), 0); err != nil {
		t.Fatal(err)
	}
	for whiteouts, want := range map[Whiteouts][]string{
		DropThem:     {`5 "./" 755`, `5 "d/" 755`, `0 "d/a" 4755`, `1 "d/b" 4755`},
		OCIWhiteouts: {`5 "./" 755`, `5 "d/" 755`, `0 "d/.wh..wh..opq" 644`, `0 "d/a" 4755`, `1 "d/b" 4755`, `0 "d/.wh.gone" 644`},
		KeepDevices:  {`5 "./" 755`, `5 "d/" 755`, `0 "d/a" 4755`, `1 "d/b" 4755`, `3 "d/gone" 0`},
	} {
		t.Run(string(whiteouts), func(t *testing.T) {
			var buf bytes.Buffer
			if err := Tree(&buf, dir, whiteouts); err != nil {
				t.Fatal(err)
			}
			headers, err := FromBytes(buf.Bytes()).Headers()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, hdr := range headers {
				got = append(got, fmt.Sprintf("%c %q %o", hdr.Typeflag, hdr.Name, hdr.Mode))
				if _, ok := hdr.PAXRecords[xattrPrefix+opaqueXattr]; ok {
					t.Errorf("%s carries overlayfs's own attribute", hdr.Name)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}
