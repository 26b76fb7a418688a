package pull

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/types"

	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/internal/ordinary"
)

// TestAsOrdinaryUser runs all of this as somebody who can make no owners.
func TestAsOrdinaryUser(t *testing.T) { ordinary.Run(t) }

// tree makes a layer from lines: "dir PATH MODE", "file PATH", "link PATH TARGET".
func tree(t testing.TB, lines ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, line := range lines {
		f := strings.Fields(line)
		hdr := tar.Header{Name: f[1], Mode: 0o644, ModTime: time.Unix(1500000000, 0)}
		switch f[0] {
		case "dir":
			hdr.Typeflag = tar.TypeDir
			if _, err := fmt.Sscanf(f[2], "%o", &hdr.Mode); err != nil {
				t.Fatal(err)
			}
		case "file":
			hdr.Typeflag, hdr.Size = tar.TypeReg, int64(len(f[1]))
		case "link":
			hdr.Typeflag, hdr.Linkname = tar.TypeSymlink, f[2]
		case "hard":
			hdr.Typeflag, hdr.Linkname = tar.TypeLink, f[2]
		}
		if err := tw.WriteHeader(&hdr); err != nil {
			t.Fatal(err)
		}
		if f[0] == "file" {
			if _, err := tw.Write([]byte(f[1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func gz(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zst(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(data, nil)
}

// madeImage is an image in memory: blobs by digest, and its manifest.
type madeImage struct {
	blobs    map[digest.Digest][]byte
	mime     string
	manifest []byte
	layers   []digest.Digest
	diffIDs  []digest.Digest
	config   []byte
}

type madeLayer struct {
	plain, blob []byte
	mime        string
}

func gzLayer(t testing.TB, lines ...string) madeLayer {
	plain := tree(t, lines...)
	return madeLayer{plain, gz(t, plain), ispec.MediaTypeImageLayerGzip}
}

// makeOCI makes an image of one manifest format, as its media type says.
func makeImage(t testing.TB, mime, arch string, layers ...madeLayer) *madeImage {
	t.Helper()
	m := &madeImage{blobs: map[digest.Digest][]byte{}, mime: mime}
	for _, l := range layers {
		d := digest.FromBytes(l.blob)
		m.blobs[d] = l.blob
		m.layers = append(m.layers, d)
		m.diffIDs = append(m.diffIDs, digest.FromBytes(l.plain))
	}
	if mime == manifest.DockerV2Schema1MediaType {
		m.schema1(t, arch)
		return m
	}
	config := ispec.Image{Platform: ispec.Platform{Architecture: arch, OS: "linux"}, RootFS: ispec.RootFS{Type: "layers", DiffIDs: m.diffIDs}}
	config.Config.Cmd = []string{"/bin/true"}
	m.config = mustJSON(t, config)
	m.blobs[digest.FromBytes(m.config)] = m.config
	doc := ispec.Manifest{MediaType: mime, Config: ispec.Descriptor{MediaType: ispec.MediaTypeImageConfig, Digest: digest.FromBytes(m.config), Size: int64(len(m.config))}}
	doc.SchemaVersion = 2
	for i, l := range layers {
		doc.Layers = append(doc.Layers, ispec.Descriptor{MediaType: l.mime, Digest: m.layers[i], Size: int64(len(l.blob))})
	}
	if mime == manifest.DockerV2Schema2MediaType {
		doc.Config.MediaType = manifest.DockerV2Schema2ConfigMediaType
		for i := range doc.Layers {
			doc.Layers[i].MediaType = manifest.DockerV2Schema2LayerMediaType
		}
	}
	m.manifest = mustJSON(t, doc)
	return m
}

func (m *madeImage) schema1(t testing.TB, arch string) {
	doc := map[string]any{"schemaVersion": 1, "name": "x", "tag": "latest", "architecture": arch}
	var layers, history []map[string]string
	for i := len(m.layers) - 1; i >= 0; i-- {
		layers = append(layers, map[string]string{"blobSum": m.layers[i].String()})
		v1 := map[string]any{"id": fmt.Sprintf("%064x", i+1), "architecture": arch, "os": "linux", "config": map[string]any{"Cmd": []string{"/bin/true"}}}
		if i > 0 {
			v1["parent"] = fmt.Sprintf("%064x", i)
		}
		history = append(history, map[string]string{"v1Compatibility": string(mustJSON(t, v1))})
	}
	doc["fsLayers"], doc["history"] = layers, history
	m.manifest = mustJSON(t, doc)
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// testRegistry is an in-process registry that counts and can misbehave.
type testRegistry struct {
	*httptest.Server
	host string
	mu   sync.Mutex
	gets map[string]int
	// hook may answer instead of the registry.
	hook func(w http.ResponseWriter, r *http.Request) bool
}

func newRegistry(t testing.TB) *testRegistry {
	t.Helper()
	r := &testRegistry{gets: map[string]int{}}
	inner := registry.New(registry.Logger(discardLog()))
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		if req.Method == http.MethodGet {
			r.gets[filepath.Base(req.URL.Path)]++
		}
		hook := r.hook
		r.mu.Unlock()
		if req.Method == http.MethodGet && hook != nil && hook(w, req) {
			return
		}
		inner.ServeHTTP(w, req)
	}))
	t.Cleanup(r.CloseClientConnections)
	t.Cleanup(func() { go r.Close() })
	r.host = strings.TrimPrefix(r.URL, "http://")
	return r
}

func (r *testRegistry) setHook(hook func(w http.ResponseWriter, r *http.Request) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hook = hook
}

func (r *testRegistry) fetched(d digest.Digest) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gets[d.String()]
}

func (r *testRegistry) push(t testing.TB, name, tag string, m *madeImage) string {
	t.Helper()
	for d, blob := range m.blobs {
		r.send(t, http.MethodPost, fmt.Sprintf("%s/v2/%s/blobs/uploads/?digest=%s", r.URL, name, d), "application/octet-stream", blob)
	}
	r.send(t, http.MethodPut, fmt.Sprintf("%s/v2/%s/manifests/%s", r.URL, name, tag), m.mime, m.manifest)
	return fmt.Sprintf("%s/%s:%s", r.host, name, tag)
}

func (r *testRegistry) send(t testing.TB, method, url, mime string, body []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", mime)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s", method, url, res.Status)
	}
}

// testOptions keep a test away from the machine's own configuration.
func testOptions(t testing.TB, hosts ...string) Options {
	t.Helper()
	dir := t.TempDir()
	conf := ""
	for _, h := range hosts {
		conf += fmt.Sprintf("[[registry]]\nlocation=%q\ninsecure=true\n", h)
	}
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	return Options{
		Arch: "amd64", Stall: 20 * time.Second,
		System: &types.SystemContext{
			SystemRegistriesConfPath:    write("registries.conf", conf),
			SystemRegistriesConfDirPath: filepath.Join(dir, "none"),
			UserShortNameAliasConfPath:  filepath.Join(dir, "aliases.conf"),
			SignaturePolicyPath:         write("policy.json", `{"default":[{"type":"insecureAcceptAnything"}]}`),
			RegistriesDirPath:           filepath.Join(dir, "none"),
			AuthFilePath:                write("auth.json", "{}"),
		},
	}
}

func newStore(t testing.TB) *rootfs.Store {
	t.Helper()
	s, err := rootfs.Create(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// leftovers lists all that is in the store's layers, images, refs and tmp.
func leftovers(t testing.TB, s *rootfs.Store) []string {
	t.Helper()
	var found []string
	for _, dir := range []string{"layers/sha256", "images/sha256", "refs", "sources", "tmp"} {
		entries, err := os.ReadDir(filepath.Join(s.Root(), dir))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, e := range entries {
			found = append(found, dir+"/"+e.Name())
		}
	}
	return found
}

// listing describes what an image's layers merge to.
func listing(t testing.TB, s *rootfs.Store, img *rootfs.Image) []string {
	t.Helper()
	v, err := rootfs.NewView(img.LayerDirs(s))
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var lines []string
	var walk func(string)
	walk = func(dir string) {
		entries, err := v.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			p := filepath.Join(dir, e.Name())
			fi, err := v.Lstat(p)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case fi.IsDir():
				lines = append(lines, fmt.Sprintf("dir %s %o", p, fi.Sys().(*syscall.Stat_t).Mode&0o7777))
				walk(p)
			case fi.Mode()&fs.ModeSymlink != 0:
				target, _ := v.Readlink(p)
				lines = append(lines, fmt.Sprintf("link %s %s", p, target))
			default:
				lines = append(lines, "file "+p)
			}
		}
	}
	walk("/")
	return lines
}
