package pull

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/manifest"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

var (
	baseLines  = []string{"dir usr 755", "dir usr/lib 751", "link lib usr/lib", "dir tmp 1777", "dir root 700", "file usr/lib/a"}
	deltaLines = []string{"dir usr 755", "dir usr/bin 755", "file usr/bin/app"}
	bothLines  = []string{
		"link /lib usr/lib", "dir /root 700", "dir /tmp 1777", "dir /usr 755",
		"dir /usr/bin 755", "file /usr/bin/app", "dir /usr/lib 751", "file /usr/lib/a",
	}
)

func TestPullFormats(t *testing.T) {
	zstdLayer := func(lines ...string) madeLayer {
		plain := tree(t, lines...)
		return madeLayer{plain, zst(t, plain), ispec.MediaTypeImageLayerZstd}
	}
	plainLayer := func(lines ...string) madeLayer {
		plain := tree(t, lines...)
		return madeLayer{plain, plain, ispec.MediaTypeImageLayer}
	}
	tests := map[string]*madeImage{
		"oci, gzip":            makeImage(t, ispec.MediaTypeImageManifest, "amd64", gzLayer(t, baseLines...), gzLayer(t, deltaLines...)),
		"oci, zstd and plain":  makeImage(t, ispec.MediaTypeImageManifest, "amd64", zstdLayer(baseLines...), plainLayer(deltaLines...)),
		"schema 2":             makeImage(t, manifest.DockerV2Schema2MediaType, "amd64", gzLayer(t, baseLines...), gzLayer(t, deltaLines...)),
		"schema 1":             makeImage(t, manifest.DockerV2Schema1MediaType, "amd64", gzLayer(t, baseLines...), gzLayer(t, deltaLines...)),
		"no architecture said": makeImage(t, ispec.MediaTypeImageManifest, "", gzLayer(t, baseLines...), gzLayer(t, deltaLines...)),
		"i386 on amd64":        makeImage(t, ispec.MediaTypeImageManifest, "386", gzLayer(t, baseLines...), gzLayer(t, deltaLines...)),
	}
	for name, made := range tests {
		t.Run(name, func(t *testing.T) {
			reg, s := newRegistry(t), newStore(t)
			opt := testOptions(t, reg.host)
			if name == "i386 on amd64" {
				if runtime.GOARCH != "amd64" {
					t.Skip("this machine is no amd64")
				}
				opt.Arch = ""
			}
			source := reg.push(t, "some/image", "latest", made)
			img, err := Pull(t.Context(), s, strings.TrimSuffix(source, ":latest"), opt)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(bothLines, listing(t, s, img)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			if img.Digest != digest.FromBytes(made.manifest) {
				t.Errorf("digest %s", img.Digest)
			}
			if diff := cmp.Diff([]string{source}, img.Names); diff != "" {
				t.Errorf("names: %s", diff)
			}
			for i, l := range img.Layers {
				if l.DiffID != made.diffIDs[i] || l.ID != made.diffIDs[i].Encoded() || l.Digest != made.layers[i] {
					t.Errorf("layer %d: %+v", i, l)
				}
			}
			if diff := cmp.Diff(made.diffIDs, img.Config.RootFS.DiffIDs); diff != "" {
				t.Errorf("diffIDs of the config: %s", diff)
			}
			if cmd := img.Config.Config.Cmd; len(cmd) != 1 || cmd[0] != "/bin/true" {
				t.Errorf("command %q", cmd)
			}
			// Once more: nothing but the manifest is asked for.
			again, err := Pull(t.Context(), s, "docker://"+source, opt)
			if err != nil || again.Digest != img.Digest {
				t.Errorf("second pull: %v, %v", again, err)
			}
			for _, l := range made.layers {
				if n := reg.fetched(l); n != 1 {
					t.Errorf("layer %s fetched %d times", l, n)
				}
			}
			for _, name := range []string{"some/image", "docker://" + source, img.Digest.String()} {
				if d, err := s.Resolve(name); err != nil || d != img.Digest {
					t.Errorf("resolve %q: %v, %v", name, d, err)
				}
			}
		})
	}
}

func TestPullIndexChoosesPlatform(t *testing.T) {
	reg, s := newRegistry(t), newStore(t)
	index := ispec.Index{MediaType: ispec.MediaTypeImageIndex}
	index.SchemaVersion = 2
	for _, arch := range []string{"arm64", "amd64"} {
		m := makeImage(t, ispec.MediaTypeImageManifest, arch, gzLayer(t, "file "+arch))
		d := digest.FromBytes(m.manifest)
		reg.push(t, "multi", d.String(), m)
		index.Manifests = append(index.Manifests, ispec.Descriptor{
			MediaType: m.mime, Digest: d, Size: int64(len(m.manifest)),
			Platform: &ispec.Platform{Architecture: arch, OS: "linux"},
		})
	}
	source := reg.push(t, "multi", "1", &madeImage{mime: index.MediaType, manifest: mustJSON(t, index)})
	for _, arch := range []string{"amd64", "arm64"} {
		opt := testOptions(t, reg.host)
		opt.Arch = arch
		img, err := Pull(t.Context(), s, source, opt)
		if err != nil {
			t.Fatal(err)
		}
		if got := listing(t, s, img); len(got) != 1 || got[0] != "file /"+arch {
			t.Errorf("%s: tree %q", arch, got)
		}
	}
	opt := testOptions(t, reg.host)
	opt.Arch = "s390x"
	_, err := Pull(t.Context(), s, source, opt)
	wantError(t, err, ErrArchitecture)
}

func TestPullSharesLayers(t *testing.T) {
	reg, s := newRegistry(t), newStore(t)
	opt := testOptions(t, reg.host)
	base := gzLayer(t, baseLines...)
	one := makeImage(t, ispec.MediaTypeImageManifest, "amd64", base)
	two := makeImage(t, manifest.DockerV2Schema2MediaType, "amd64", base, gzLayer(t, deltaLines...))
	old := makeImage(t, manifest.DockerV2Schema1MediaType, "amd64", base)
	for name, m := range map[string]*madeImage{"one": one, "two": two, "old": old} {
		reg.push(t, name, "latest", m)
	}
	for _, name := range []string{"one", "two", "old"} {
		if _, err := Pull(t.Context(), s, reg.host+"/"+name, opt); err != nil {
			t.Fatal(err)
		}
	}
	if n := reg.fetched(one.layers[0]); n != 1 {
		t.Errorf("shared layer fetched %d times", n)
	}
}

func TestPullTwiceAtOnceFetchesOnce(t *testing.T) {
	reg, s := newRegistry(t), newStore(t)
	opt := testOptions(t, reg.host)
	m := makeImage(t, ispec.MediaTypeImageManifest, "amd64", gzLayer(t, baseLines...), gzLayer(t, deltaLines...))
	source := reg.push(t, "x", "1", m)
	reg.setHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/blobs/") {
			time.Sleep(100 * time.Millisecond)
		}
		return false
	})
	errs := make(chan error)
	for range 4 {
		go func() {
			_, err := Pull(context.Background(), s, source, opt)
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	for _, l := range m.layers {
		if n := reg.fetched(l); n != 1 {
			t.Errorf("layer fetched %d times", n)
		}
	}
}

func TestPullImpliedParents(t *testing.T) {
	reg, s := newRegistry(t), newStore(t)
	opt := testOptions(t, reg.host)
	base, other := gzLayer(t, baseLines...), gzLayer(t, "dir lib 711", "dir tmp 1777", "dir root 750")
	app := gzLayer(t, "file lib/x", "file tmp/x", "file root/x", "file new/x")
	m := makeImage(t, ispec.MediaTypeImageManifest, "amd64", base, app)
	img, err := Pull(t.Context(), s, reg.push(t, "ko", "1", m), opt)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"link /lib usr/lib", "dir /new 755", "file /new/x", "dir /root 700", "file /root/x", "dir /tmp 1777", "file /tmp/x",
		"dir /usr 755", "dir /usr/lib 751", "file /usr/lib/a", "file /usr/lib/x",
	}
	if diff := cmp.Diff(want, listing(t, s, img)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	if id := identity.ChainID(m.diffIDs).Encoded(); img.Layers[1].ID != id || img.Layers[0].ID != m.diffIDs[0].Encoded() {
		t.Errorf("ids %s, %s; want %s second", img.Layers[0].ID, img.Layers[1].ID, id)
	}
	// The same layer over another base, and over none, is another one.
	m2 := makeImage(t, ispec.MediaTypeImageManifest, "amd64", other, app)
	img2, err := Pull(t.Context(), s, reg.push(t, "ko2", "1", m2), opt)
	if err != nil {
		t.Fatal(err)
	}
	want = []string{"dir /lib 711", "file /lib/x", "dir /new 755", "file /new/x", "dir /root 750", "file /root/x", "dir /tmp 1777", "file /tmp/x"}
	if diff := cmp.Diff(want, listing(t, s, img2)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	m3 := makeImage(t, ispec.MediaTypeImageManifest, "amd64", app)
	img3, err := Pull(t.Context(), s, reg.push(t, "ko3", "1", m3), opt)
	if err != nil {
		t.Fatal(err)
	}
	if s.HasLayer(m.diffIDs[1].Encoded()) || img3.Layers[0].ID == img2.Layers[1].ID {
		t.Error("a layer that depends on others is stored as if it did not")
	}
	// And it is found again.
	if _, err := Pull(t.Context(), s, reg.push(t, "again", "1", m), opt); err != nil {
		t.Fatal(err)
	}
	if n := reg.fetched(m.layers[1]); n != 3 {
		t.Errorf("layer fetched %d times, want once for each base", n)
	}
	// A pull that fails leaves the layer without a record of its parents, which a stack of images needs.
	s = newStore(t)
	bad, inOrder := makeImage(t, ispec.MediaTypeImageManifest, "amd64", base, app, gzLayer(t, "hard a none")), opt
	inOrder.Jobs = 1
	if _, err := Pull(t.Context(), s, reg.push(t, "bad", "1", bad), inOrder); err == nil {
		t.Fatal("a hard link to nothing was unpacked")
	}
	again, err := Pull(t.Context(), s, reg.push(t, "ko", "2", m), opt)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(img.Layers[1], again.Layers[1]); diff != "" {
		t.Errorf("after a pull that failed (-want +got):\n%s", diff)
	}
}

// wantError checks that an error says what a user needs.
func wantError(t *testing.T, err, want error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, want) || e.Reason != want {
		t.Fatalf("error %v\nwant one for %v", err, want)
	}
	if e.Remedy() == "" || strings.ContainsRune(e.Error(), '\n') {
		t.Errorf("error %q, remedy %q", e.Error(), e.Remedy())
	}
	t.Logf("%v\n\t%s", e, e.Remedy())
}

func TestPullRefuses(t *testing.T) {
	good := func() *madeImage {
		return makeImage(t, ispec.MediaTypeImageManifest, "amd64", gzLayer(t, append(baseLines, "file "+strings.Repeat("x", 90))...))
	}
	withLayer := func(plain []byte) *madeImage {
		return makeImage(t, ispec.MediaTypeImageManifest, "amd64", madeLayer{plain, gz(t, plain), ispec.MediaTypeImageLayerGzip})
	}
	layerAnswer := func(answer func(m *madeImage, w http.ResponseWriter)) func(*madeImage) func(http.ResponseWriter, *http.Request) bool {
		return func(m *madeImage) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool {
				if filepath.Base(r.URL.Path) != m.layers[0].String() {
					return false
				}
				answer(m, w)
				return true
			}
		}
	}
	status := func(code int) func(*madeImage) func(http.ResponseWriter, *http.Request) bool {
		return func(*madeImage) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
		}
	}
	tests := map[string]struct {
		image *madeImage
		hook  func(*madeImage) func(http.ResponseWriter, *http.Request) bool
		name  string
		opt   func(*Options)
		want  error
	}{
		"unknown tag":        {name: "x:nope", want: ErrUnknown},
		"unknown repository": {name: "nope", want: ErrUnknown},
		"401":                {hook: status(401), want: ErrUnauthorized},
		"403":                {hook: status(403), want: ErrUnauthorized},
		"500":                {hook: status(500), want: ErrUnreachable},
		"401 for the layer": {
			hook: layerAnswer(func(_ *madeImage, w http.ResponseWriter) { w.WriteHeader(401) }), want: ErrUnauthorized,
		},
		"layer is missing": {
			hook: layerAnswer(func(_ *madeImage, w http.ResponseWriter) { w.WriteHeader(404) }), want: ErrUnknown,
		},
		"byte flipped in layer": {
			hook: layerAnswer(func(m *madeImage, w http.ResponseWriter) {
				b := append([]byte(nil), m.blobs[m.layers[0]]...)
				b[len(b)/2] ^= 1
				_, _ = w.Write(b)
			}), want: ErrDigest,
		},
		"other layer": {
			hook: layerAnswer(func(_ *madeImage, w http.ResponseWriter) { _, _ = w.Write(gz(t, tree(t, deltaLines...))) }), want: ErrDigest,
		},
		"html instead of layer": {
			hook: layerAnswer(func(_ *madeImage, w http.ResponseWriter) {
				_, _ = io.WriteString(w, strings.Repeat("<html>please log in</html>", 100))
			}), want: ErrDigest,
		},
		"truncated layer": {
			hook: layerAnswer(func(m *madeImage, w http.ResponseWriter) {
				b := m.blobs[m.layers[0]]
				_, _ = w.Write(b[:len(b)/2])
			}), want: ErrTruncated,
		},
		"connection lost in layer": {
			hook: layerAnswer(func(m *madeImage, w http.ResponseWriter) {
				b := m.blobs[m.layers[0]]
				w.Header().Set("Content-Length", "100000")
				_, _ = w.Write(b[:len(b)/2])
			}), want: ErrTruncated,
		},
		"diffID is wrong": {image: func() *madeImage {
			m := good()
			d := m.diffIDs[0].String()
			bad := []byte(strings.Replace(string(m.config), d, digest.FromString("another").String(), 1))
			m.blobs[digest.FromBytes(bad)] = bad
			m.manifest = []byte(strings.Replace(string(m.manifest), digest.FromBytes(m.config).String(), digest.FromBytes(bad).String(), 1))
			return m
		}(), want: ErrDigest},
		"config does not match": {
			hook: func(m *madeImage) func(http.ResponseWriter, *http.Request) bool {
				return func(w http.ResponseWriter, r *http.Request) bool {
					if filepath.Base(r.URL.Path) != digest.FromBytes(m.config).String() {
						return false
					}
					_, _ = w.Write(append(m.config, ' '))
					return true
				}
			}, want: ErrDigest,
		},
		"stalled manifest": {
			hook: func(*madeImage) func(http.ResponseWriter, *http.Request) bool {
				return func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
			},
			opt: func(o *Options) { o.Stall = 200 * time.Millisecond }, want: ErrStalled,
		},
		"stalled layer": {
			hook: layerAnswer(func(m *madeImage, w http.ResponseWriter) {
				w.Header().Set("Content-Length", "100000")
				_, _ = w.Write(m.blobs[m.layers[0]][:20])
				w.(http.Flusher).Flush()
				time.Sleep(3 * time.Second)
			}),
			opt: func(o *Options) { o.Stall = 300 * time.Millisecond }, want: ErrStalled,
		},
		"dot dot in layer":         {image: withLayer(tree(t, "file ../x")), want: ErrUnsafe},
		"absolute name in layer":   {image: withLayer(tree(t, "file /etc/x")), want: ErrUnsafe},
		"through a symlink":        {image: withLayer(tree(t, "link l ../../..", "file l/x")), want: ErrUnsafe},
		"below a file in layer":    {image: withLayer(tree(t, "file a", "file a/b")), want: ErrLayer},
		"name too long in layer":   {image: withLayer(tree(t, "file "+strings.Repeat("x", 300))), want: ErrLayer},
		"link to what is not":      {image: withLayer(tree(t, "hard b a")), want: ErrLayer},
		"layer is no tar":          {image: withLayer([]byte(strings.Repeat("no tar at all. ", 100))), want: ErrBadImage},
		"layer's tar is cut":       {image: withLayer(tree(t, baseLines...)[:1300]), want: ErrTruncated},
		"another architecture":     {image: makeImage(t, ispec.MediaTypeImageManifest, "s390x", gzLayer(t, baseLines...)), want: ErrArchitecture},
		"manifest is garbage":      {image: &madeImage{mime: ispec.MediaTypeImageManifest, manifest: []byte("{")}, want: ErrBadImage},
		"policy refuses":           {opt: func(o *Options) { o.System.SignaturePolicyPath = rejectAll(t) }, want: ErrPolicy},
		"registry wants tls":       {opt: func(o *Options) { o.System = testOptions(t).System }, want: ErrTLS},
		"digest of something else": {name: "x@" + digest.FromString("else").String(), want: ErrUnknown},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			reg, s := newRegistry(t), newStore(t)
			m := tt.image
			if m == nil {
				m = good()
			}
			reg.push(t, "x", "latest", m)
			if tt.hook != nil {
				reg.setHook(tt.hook(m))
			}
			opt := testOptions(t, reg.host)
			if tt.opt != nil {
				tt.opt(&opt)
			}
			if tt.name == "" {
				tt.name = "x"
			}
			start := time.Now()
			_, err := Pull(t.Context(), s, reg.host+"/"+tt.name, opt)
			wantError(t, err, tt.want)
			if d := time.Since(start); d > 15*time.Second {
				t.Errorf("took %v", d)
			}
			if left := leftovers(t, s); len(left) != 0 {
				t.Errorf("left in the store: %q", left)
			}
		})
	}
}

func rejectAll(t *testing.T) string {
	p := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(p, []byte(`{"default":[{"type":"reject"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPullRegistryDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := l.Addr().String()
	l.Close()
	_, err = Pull(t.Context(), newStore(t), host+"/x", testOptions(t, host))
	wantError(t, err, ErrUnreachable)
	_, err = Pull(t.Context(), newStore(t), "registry.invalid/x", testOptions(t, host))
	wantError(t, err, ErrUnreachable)
}

func TestPullMirror(t *testing.T) {
	reg, s := newRegistry(t), newStore(t)
	opt := testOptions(t)
	conf := "[[registry]]\nlocation=\"registry.invalid\"\n[[registry.mirror]]\nlocation=\"" + reg.host + "\"\ninsecure=true\n"
	if err := os.WriteFile(opt.System.SystemRegistriesConfPath, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	reg.push(t, "some/x", "1", makeImage(t, ispec.MediaTypeImageManifest, "amd64", gzLayer(t, baseLines...)))
	img, err := Pull(t.Context(), s, "registry.invalid/some/x:1", opt)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"registry.invalid/some/x:1"}, img.Names); diff != "" {
		t.Error(diff)
	}
}

func TestPullWithCredentials(t *testing.T) {
	reg, s := newRegistry(t), newStore(t)
	source := reg.push(t, "x", "1", makeImage(t, ispec.MediaTypeImageManifest, "amd64", gzLayer(t, baseLines...)))
	reg.setHook(func(w http.ResponseWriter, r *http.Request) bool {
		if user, pass, ok := r.BasicAuth(); ok && user == "me" && pass == "secret" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	opt := testOptions(t, reg.host)
	_, err := Pull(t.Context(), s, source, opt)
	wantError(t, err, ErrUnauthorized)
	auth := `{"auths":{"` + reg.host + `":{"auth":"bWU6c2VjcmV0"}}}`
	if err := os.WriteFile(opt.System.AuthFilePath, []byte(auth), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Pull(t.Context(), s, source, opt); err != nil {
		t.Fatal(err)
	}
}

// An interrupt loses nothing that was complete.
func TestPullInterrupted(t *testing.T) {
	reg, s := newRegistry(t), newStore(t)
	opt := testOptions(t, reg.host)
	m := makeImage(t, ispec.MediaTypeImageManifest, "amd64", gzLayer(t, baseLines...), gzLayer(t, deltaLines...))
	source := reg.push(t, "x", "1", m)
	ctx, cancel := context.WithCancel(t.Context())
	reg.setHook(func(_ http.ResponseWriter, r *http.Request) bool {
		if filepath.Base(r.URL.Path) != m.layers[1].String() {
			return false
		}
		for !s.HasLayer(m.diffIDs[0].Encoded()) {
			time.Sleep(time.Millisecond)
		}
		cancel()
		<-r.Context().Done()
		return true
	})
	_, err := Pull(ctx, s, source, opt)
	wantError(t, err, ErrInterrupted)
	if left := leftovers(t, s); len(left) != 1 || left[0] != "layers/sha256/"+m.diffIDs[0].Encoded() {
		t.Errorf("in the store: %q", left)
	}
	reg.setHook(nil)
	if _, err := Pull(t.Context(), s, source, opt); err != nil {
		t.Fatal(err)
	}
	if n := reg.fetched(m.layers[0]); n != 1 {
		t.Errorf("the complete layer was fetched %d times", n)
	}
}

func TestPullBadSources(t *testing.T) {
	tests := map[string]error{
		"Upper/Case":                 ErrReference,
		"docker://":                  ErrReference,
		"x y":                        ErrReference,
		"":                           ErrReference,
		"nosuchimage":                ErrShortName,
		"oci:nowhere":                ErrNoFile,
		"dir:nowhere":                ErrNoFile,
		"docker-archive:nowhere.tar": ErrNoFile,
		"oci-archive:nowhere.tar":    ErrNoFile,
		"./nowhere.tar":              ErrNoFile,
	}
	s := newStore(t)
	for source, want := range tests {
		t.Run(source, func(t *testing.T) {
			_, err := Pull(t.Context(), s, source, testOptions(t))
			wantError(t, err, want)
		})
	}
	if left := leftovers(t, s); len(left) != 0 {
		t.Errorf("left in the store: %q", left)
	}
}

func TestCandidates(t *testing.T) {
	tests := map[string]struct {
		conf, source string
		want         []string
		err          error
	}{
		"full name":          {"", "quay.io/a/b", []string{"quay.io/a/b:latest"}, nil},
		"docker transport":   {"", "docker://a", []string{"docker.io/library/a:latest"}, nil},
		"with port":          {"", "localhost:5000/a:1", []string{"localhost:5000/a:1"}, nil},
		"searched":           {`unqualified-search-registries=["one.example","two.example"]`, "a/b:1", []string{"one.example/a/b:1", "two.example/a/b:1"}, nil},
		"enforcing, several": {"short-name-mode=\"enforcing\"\nunqualified-search-registries=[\"one.example\",\"two.example\"]", "a", nil, ErrShortName},
		"enforcing, one":     {"short-name-mode=\"enforcing\"\nunqualified-search-registries=[\"one.example\"]", "a", []string{"one.example/a:latest"}, nil},
		"alias":              {"unqualified-search-registries=[\"one.example\"]\n[aliases]\n\"a\"=\"two.example/x/a\"", "a:3", []string{"two.example/x/a:3"}, nil},
		"docker hub":         {`unqualified-search-registries=["docker.io"]`, "debian", []string{"docker.io/library/debian:latest"}, nil},
		"nothing configured": {"", "a", nil, ErrShortName},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			opt := testOptions(t)
			if err := os.WriteFile(opt.System.SystemRegistriesConfPath, []byte(tt.conf), 0o600); err != nil {
				t.Fatal(err)
			}
			named, err := candidates(opt.System, tt.source)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v", err)
			}
			var got []string
			for _, n := range named {
				got = append(got, n.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
