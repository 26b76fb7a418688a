package pull

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/rootfs"
)

// filesTar packs name and content pairs.
func filesTar(t testing.TB, pairs ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for i := 0; i < len(pairs); i += 2 {
		if err := tw.WriteHeader(&tar.Header{Name: pairs[i], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(pairs[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(pairs[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// dockerArchive makes what docker save and KIWI write, an image a name; images
// named "" have none.
func dockerArchive(t testing.TB, plain []byte, names ...string) []byte {
	t.Helper()
	var pairs []string
	var list []map[string]any
	for i, name := range names {
		config := mustJSON(t, map[string]any{
			"architecture": "amd64", "os": "linux", "created": fmt.Sprintf("2020-01-0%dT00:00:00Z", i+1),
			"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digest.FromBytes(plain).String()}},
		})
		configName := digest.FromBytes(config).Encoded() + ".json"
		item := map[string]any{"Config": configName, "Layers": []string{"layer.tar"}}
		if name != "" {
			item["RepoTags"] = strings.Split(name, " ")
		}
		pairs = append(pairs, configName, string(config))
		list = append(list, item)
	}
	pairs = append(pairs, "layer.tar", string(plain), "manifest.json", string(mustJSON(t, list)))
	return filesTar(t, pairs...)
}

func ociFiles(t testing.TB, m *madeImage, annotations map[string]string) []string {
	t.Helper()
	index := ispec.Index{Manifests: []ispec.Descriptor{{
		MediaType: m.mime, Digest: digest.FromBytes(m.manifest), Size: int64(len(m.manifest)), Annotations: annotations,
	}}}
	index.SchemaVersion = 2
	pairs := []string{"oci-layout", `{"imageLayoutVersion":"1.0.0"}`, "index.json", string(mustJSON(t, index))}
	m.blobs[digest.FromBytes(m.manifest)] = m.manifest
	for d, b := range m.blobs {
		pairs = append(pairs, "blobs/sha256/"+d.Encoded(), string(b))
	}
	return pairs
}

func writeTree(t testing.TB, dir string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		p := filepath.Join(dir, pairs[i])
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(pairs[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLoad(t *testing.T) {
	plain := tree(t, append(baseLines, deltaLines[1:]...)...)
	made := func() *madeImage {
		return makeImage(t, ispec.MediaTypeImageManifest, "amd64", gzLayer(t, baseLines...), gzLayer(t, deltaLines...))
	}
	oneFile := func(name string, data []byte) func(*testing.T, string) string {
		return func(t *testing.T, dir string) string {
			writeTree(t, dir, name, string(data))
			return filepath.Join(dir, name)
		}
	}
	tests := map[string]struct {
		make  func(t *testing.T, dir string) string
		names []string
		tag   string // of the source: transport in front
	}{
		"docker-archive":           {oneFile("x.tar", dockerArchive(t, plain, "app:1")), []string{"docker.io/library/app:1"}, ""},
		"docker-archive, gzip":     {oneFile("x.tar.gz", gz(t, dockerArchive(t, plain, "app:1"))), []string{"docker.io/library/app:1"}, ""},
		"docker-archive, zstd":     {oneFile("x.tar.zst", zst(t, dockerArchive(t, plain, "app:1"))), []string{"docker.io/library/app:1"}, ""},
		"docker-archive, two tags": {oneFile("x.tar", dockerArchive(t, plain, "app:1 q.io/app:2")), []string{"docker.io/library/app:1", "q.io/app:2"}, ""},
		"docker-archive, no name":  {oneFile("My App.x86_64-1.0.docker.tar.zst", zst(t, dockerArchive(t, plain, ""))), []string{"localhost/my-app.x86_64-1.0:latest"}, ""},
		"docker-archive:":          {oneFile("x.tar.gz", gz(t, dockerArchive(t, plain, "app:1"))), []string{"docker.io/library/app:1"}, "docker-archive:"},
		"oci-archive":              {oneFile("thing.oci.tar", filesTar(t, ociFiles(t, made(), nil)...)), []string{"localhost/thing:latest"}, ""},
		"oci-archive, gzip, named": {
			oneFile("x.tgz", gz(t, filesTar(t, ociFiles(t, made(), map[string]string{ispec.AnnotationRefName: "quay.io/a/b:3"})...))),
			[]string{"quay.io/a/b:3"}, "",
		},
		"oci-archive:": {oneFile("x.tar", filesTar(t, ociFiles(t, made(), map[string]string{ispec.AnnotationRefName: "1.0"})...)), []string{"localhost/x:1.0"}, "oci-archive:"},
		"oci layout": {func(t *testing.T, dir string) string {
			writeTree(t, filepath.Join(dir, "lay"), ociFiles(t, made(), map[string]string{ispec.AnnotationRefName: "name"})...)
			return filepath.Join(dir, "lay")
		}, []string{"localhost/name:latest"}, ""},
		"oci:": {func(t *testing.T, dir string) string {
			writeTree(t, filepath.Join(dir, "lay"), ociFiles(t, made(), map[string]string{ispec.AnnotationRefName: "latest"})...)
			return filepath.Join(dir, "lay") + ":latest"
		}, []string{"localhost/lay:latest"}, "oci:"},
		"dir:": {func(t *testing.T, dir string) string {
			m := made()
			pairs := []string{"manifest.json", string(m.manifest), "version", "Directory Transport Version: 1.1\n"}
			for d, b := range m.blobs {
				pairs = append(pairs, d.Encoded(), string(b))
			}
			writeTree(t, filepath.Join(dir, "d"), pairs...)
			return filepath.Join(dir, "d")
		}, []string{"localhost/d:latest"}, "dir:"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			source := tt.tag + tt.make(t, t.TempDir())
			load := Load
			if tt.tag != "" {
				load = Pull
			}
			img, err := load(t.Context(), s, source, testOptions(t))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.names, img.Names); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(bothLines, listing(t, s, img)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			for _, n := range append(tt.names, source) {
				if d, err := s.Resolve(n); err != nil || d != img.Digest {
					t.Errorf("resolve %q: %v, %v", n, d, err)
				}
			}
			entries, _ := os.ReadDir(filepath.Join(s.Root(), "tmp"))
			if len(entries) != 0 {
				t.Errorf("left in tmp: %v", entries)
			}
		})
	}
}

// The name that it was loaded by comes first of an image that has others.
func TestLoadByAnotherName(t *testing.T) {
	s, file := newStore(t), filepath.Join(t.TempDir(), "x.tar")
	for _, tag := range []string{"a:1", "b:1"} {
		if err := os.WriteFile(file, dockerArchive(t, tree(t, baseLines...), tag), 0o600); err != nil {
			t.Fatal(err)
		}
		img, err := Load(t.Context(), s, file, testOptions(t))
		if err != nil {
			t.Fatal(err)
		}
		if img.Names[0] != "docker.io/library/"+tag {
			t.Errorf("loaded as %s, it is told to be %q", tag, img.Names)
		}
	}
}

func TestLoadSeveralImages(t *testing.T) {
	s, file := newStore(t), filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, dockerArchive(t, tree(t, baseLines...), "a:1", "b:2"), 0o600); err != nil {
		t.Fatal(err)
	}
	img, err := Load(t.Context(), s, file, testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"docker.io/library/a:1"}, img.Names); diff != "" {
		t.Error(diff)
	}
	if d, err := s.Resolve("b:2"); err != nil || d == img.Digest {
		t.Errorf("second image: %v, %v", d, err)
	}
	if d, err := s.Resolve(file); err != nil || d != img.Digest {
		t.Errorf("the source: %v, %v", d, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	good := dockerArchive(t, tree(t, baseLines...), "a:1")
	foreign := dockerArchive(t, tree(t, baseLines...), "a:1")
	foreign = bytes.ReplaceAll(foreign, []byte(`"architecture":"amd64"`), []byte(`"architecture":"s390x"`))
	tests := map[string]struct {
		data []byte
		want error
	}{
		"text":                       {[]byte("hello\n"), ErrNotArchive},
		"empty":                      {nil, ErrNotArchive},
		"some other tar":             {filesTar(t, "a", "b"), ErrNotArchive},
		"cut tar":                    {good[:700], ErrTruncated},
		"cut tar, compressed":        {gz(t, good)[:200], ErrTruncated},
		"cut zstd":                   {zst(t, good)[:200], ErrTruncated},
		"layer is not what is said":  {bytes.Replace(good, []byte("usr/lib/a"), []byte("usr/lib/b"), 1), ErrDigest},
		"another architecture":       {foreign, ErrArchitecture},
		"unsafe layer":               {dockerArchive(t, tree(t, "file ../x"), "a:1"), ErrUnsafe},
		"manifest without its layer": {filesTar(t, "c.json", `{"rootfs":{"diff_ids":["`+digest.FromString("x").String()+`"]}}`, "manifest.json", `[{"Config":"c.json","Layers":["gone.tar"]}]`), ErrTruncated},
		"manifest is garbage":        {filesTar(t, "manifest.json", `[{`), ErrNotArchive},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, file := newStore(t), filepath.Join(t.TempDir(), "x")
			if err := os.WriteFile(file, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(t.Context(), s, file, testOptions(t))
			wantError(t, err, tt.want)
			if left := leftovers(t, s); len(left) != 0 {
				t.Errorf("left in the store: %q", left)
			}
		})
	}
	t.Run("directory", func(t *testing.T) {
		_, err := Load(t.Context(), newStore(t), t.TempDir(), testOptions(t))
		wantError(t, err, ErrNotArchive)
	})
	t.Run("missing", func(t *testing.T) {
		_, err := Load(t.Context(), newStore(t), filepath.Join(t.TempDir(), "x"), testOptions(t))
		wantError(t, err, ErrNoFile)
	})
}

func TestPickTakesHighest(t *testing.T) {
	archive := string(gz(t, []byte("x")))
	tests := map[string]struct{ files, want string }{
		"by version":          {"app-1.9.tar.gz app-1.10.tar.gz app-1.2.tar.gz", "app-1.10.tar.gz"},
		"by build":            {"app-1.0-Build9.1.tar.xz app-1.0-Build10.1.tar.xz", "app-1.0-Build10.1.tar.xz"},
		"before release":      {"app-1.0~rc1.tar app-1.0.tar", "app-1.0.tar"},
		"exact":               {"app app-2", "app"},
		"archives go first":   {"app-1.tar.gz app-1.tar.gz.sha256 app-1.txt", "app-1.tar.gz"},
		"nothing but others":  {"app-1.txt app-2.txt", "app-2.txt"},
		"others do not match": {"ap.tar application.tar other.tar", "application.tar"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, f := range strings.Fields(tt.files) {
				content := archive
				if strings.HasSuffix(f, ".txt") || strings.HasSuffix(f, ".sha256") {
					content = "text"
				}
				writeTree(t, dir, f, content)
			}
			got, err := pick(filepath.Join(dir, "app"))
			if err != nil || got != filepath.Join(dir, tt.want) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestCompareVersions(t *testing.T) {
	ordered := []string{"a-1.0~rc1", "a-1.0", "a-1.0.1", "a-1.2", "a-1.10", "a-1.010a", "a-2", "a-10", "b"}
	for i := range ordered {
		for j := range ordered {
			got := compareVersions(ordered[i], ordered[j])
			if (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compare %q, %q: %d", ordered[i], ordered[j], got)
			}
		}
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[[3]string]string{
		{"", "", "/d/app.tar.xz"}:                 "localhost/app:latest",
		{"", "latest", "app.tar"}:                 "localhost/app:latest",
		{"", "v1.2", "app.tar"}:                   "localhost/app:v1.2",
		{"", "name", "app.tar"}:                   "localhost/name:latest",
		{"", "name:2", "app.tar"}:                 "localhost/name:2",
		{"", "team/name:2", "app.tar"}:            "localhost/team/name:2",
		{"", "localhost/name", "app.tar"}:         "localhost/name:latest",
		{"docker.io/library/x:1", "1", "app.tar"}: "docker.io/library/x:1",
		{"", "Tag_With-Case", "app.tar"}:          "localhost/app:Tag_With-Case",
		{"", "", "Ünï çödé.tar"}:                  "localhost/n----d:latest",
		{"", "", "---.tar"}:                       "localhost/image-" + digest.FromString("---").Encoded()[:12] + ":latest",
	} {
		if got := ociName(in[0], in[1], in[2]); got != want {
			t.Errorf("name of %q: %q, want %q", in, got, want)
		}
	}
}

// A full disk is met in a mount namespace of a child, on a small tmpfs.
func TestNoSpace(t *testing.T) {
	const env = "FLAKE_TEST_SMALL_FS"
	if dir := os.Getenv(env); dir != "" {
		noSpace(t, dir)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestNoSpace$", "-test.v")
	cmd.Env = append(os.Environ(), env+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if uid := os.Geteuid(); uid != 0 {
		// Root of a namespace with one id: it unpacks like a user.
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestNoSpace")) {
		t.Fatalf("%v\n%s", err, out)
	}
}

func noSpace(t *testing.T, dir string) {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	s, err := rootfs.Create(filepath.Join(dir, "store"))
	if err != nil {
		t.Fatal(err)
	}
	big := madeLayer{mime: ispec.MediaTypeImageLayerGzip, plain: filesTar(t, "big", strings.Repeat("x", 4<<20))}
	big.blob = gz(t, big.plain)
	reg := newRegistry(t)
	m := makeImage(t, ispec.MediaTypeImageManifest, "amd64", gzLayer(t, baseLines...), big)
	opt := testOptions(t, reg.host)
	opt.Jobs = 1
	_, err = Pull(t.Context(), s, reg.push(t, "x", "1", m), opt)
	wantError(t, err, ErrNoSpace)
	if left := leftovers(t, s); len(left) != 1 || left[0] != "layers/sha256/"+m.diffIDs[0].Encoded() {
		t.Errorf("in the store: %q", left)
	}
	file := filepath.Join(t.TempDir(), "x.tar.gz")
	if err := os.WriteFile(file, gz(t, dockerArchive(t, big.plain, "a")), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Load(t.Context(), s, file, opt)
	wantError(t, err, ErrNoSpace)
}

type recorder struct {
	lines
	buf bytes.Buffer
}

func TestProgressLines(t *testing.T) {
	r := &recorder{}
	r.w = &r.buf
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, dockerArchive(t, tree(t, baseLines...), "a:1"), 0o600); err != nil {
		t.Fatal(err)
	}
	opt := testOptions(t)
	opt.Progress = r
	s := newStore(t)
	for range 2 {
		if _, err := Load(context.Background(), s, file, opt); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"loading docker.io/library/a:1\n", ": fetching ", ": stored\n", "stored docker.io/library/a:1 as ", "is in the store already\n"} {
		if !strings.Contains(r.buf.String(), want) {
			t.Errorf("no %q in:\n%s", want, r.buf.String())
		}
	}
	if _, ok := NewProgress(&r.buf).(*lines); !ok {
		t.Error("bars, though it is no terminal")
	}
}

// The bars must end in every case: the library waits for those that do not.
func TestProgressBarsEnd(t *testing.T) {
	var buf bytes.Buffer
	b := newBars(&buf)
	done := b.Layer("a", 10)
	done.Add(10)
	done.Done(nil)
	b.Layer("b", -1).Done(nil)
	b.Layer("c", 10).Done(ErrDigest)
	b.Layer("d", 10).Add(3)
	b.Step("text")
	b.Close()
}
