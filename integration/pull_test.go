package integration

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
	"github.com/flake-launcher/flake-launcher/integration/image"
)

func TestPullEachKind(t *testing.T) { fixture.Each(t, testPullEachKind) }

func testPullEachKind(t *testing.T, by fixture.Caller) {
	reg := fixture.NewRegistry(t, nil)
	for behaviour, test := range map[string]struct {
		compression string
		docker      bool
	}{
		"OCI, gzip":         {image.Gzip, false},
		"OCI, zstd":         {image.Zstd, false},
		"OCI, uncompressed": {"", false},
		"Docker, gzip":      {image.Gzip, true},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := fixture.NewSandbox(t, by)
			s.Trust(reg)
			s.NoLeaks()
			img := fixture.ProbeBase(t)
			img.LayerCompression, img.Docker = test.compression, test.docker
			ref := reg.Push(t, "team/probe:1.0", img)
			s.MustCtl("pull", "docker://"+ref)
			s.MustCtl("pull", ref) // nothing to do
			for _, known := range []string{ref, "probe:1.0", reg.Digest(t, ref)} {
				if res := s.Run(known, "/bin/probe", "exit", "9"); res.Code != 9 {
					t.Errorf("by the name %s: %v", known, res)
				}
			}
		})
	}
}

func TestPullByPlatform(t *testing.T) { fixture.Each(t, testPullByPlatform) }

func testPullByPlatform(t *testing.T, by fixture.Caller) {
	reg := fixture.NewRegistry(t, nil)
	index := v1.ImageIndex(empty.Index)
	for _, arch := range []string{"s390x", runtime.GOARCH} {
		img := fixture.ProbeBase(t)
		img.Architecture, img.LayerCompression = arch, image.Gzip
		img.Layers = append(img.Layers, fixture.Layer(t, "dir .", `file arch data="`+arch+`\n"`))
		one, err := img.Registry()
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: one, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	ref, err := name.ParseReference(reg.Host+"/multi:latest", name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	s := fixture.NewSandbox(t, by)
	s.Trust(reg)
	s.MustCtl("pull", ref.String())
	if out := s.MustRun("multi", "/bin/probe", "cat", "/arch").Stdout; out != runtime.GOARCH+"\n" {
		t.Errorf("pulled the image of %q", out)
	}
}

func TestPullOnFirstStart(t *testing.T) { fixture.Each(t, testPullOnFirstStart) }

func testPullOnFirstStart(t *testing.T, by fixture.Caller) {
	reg := fixture.NewRegistry(t, nil)
	s := fixture.NewSandbox(t, by)
	s.Trust(reg)
	ref := reg.Push(t, "team/probe:latest", fixture.ProbeBase(t))
	s.MustCtl("pull", ref)
	s.Register("probe", ref, "--target", "/bin/probe")
	for _, dir := range []string{"layers", "images", "refs", "sources", "plans", "hostlayers"} {
		if err := os.RemoveAll(filepath.Join(s.Root, dir)); err != nil {
			t.Fatal(err)
		}
	}
	res := s.App("probe", "exit", "4")
	if res.Code != 4 || res.Stdout != "" {
		t.Errorf("%v", res)
	}
}

func TestOtherSources(t *testing.T) { fixture.EachUnranged(t, testOtherSources) }

func testOtherSources(t *testing.T, by fixture.Caller) {
	dir := by.Dir(t)
	img := fixture.ProbeBase(t)
	layoutDir := filepath.Join(dir, "layout")
	if err := img.WriteLayout(layoutDir); err != nil {
		t.Fatal(err)
	}
	by.GiveTree(t, layoutDir)
	for _, file := range []string{"plain.tar", "probe.tar.gz", "probe.tar.xz", "probe.tar.zst", "glob-1.9.tar", "glob-1.10.tar"} {
		if err := img.WriteFile(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	for behaviour, args := range map[string][]string{
		"pull oci:":            {"pull", "oci:" + layoutDir},
		"pull docker-archive:": {"pull", "docker-archive:" + filepath.Join(dir, "plain.tar")},
		"load a layout":        {"load", layoutDir},
		"load plain":           {"load", filepath.Join(dir, "plain.tar")},
		"load gzip":            {"load", filepath.Join(dir, "probe.tar.gz")},
		"load xz":              {"load", filepath.Join(dir, "probe.tar.xz")},
		"load zstd":            {"load", filepath.Join(dir, "probe.tar.zst")},
		"load the best match":  {"load", filepath.Join(dir, "glob-1")},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := fixture.NewSandbox(t, by)
			s.MustCtl(args...)
			if res := s.Run("probe", "/bin/probe", "exit", "9"); res.Code != 9 {
				t.Errorf("%v", res)
			}
		})
	}
}

// counter counts the blobs that a registry was asked for.
type counter struct {
	mu    sync.Mutex
	blobs map[string]int
}

func (c *counter) see(r *http.Request) {
	if _, digest, ok := strings.Cut(r.URL.Path, "/blobs/sha256:"); ok && r.Method == http.MethodGet {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.blobs[digest]++
	}
}

func (c *counter) asked() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.blobs)
}

func TestInterruptedPullKeepsWhatWasComplete(t *testing.T) {
	fixture.Each(t, testInterruptedPullKeepsWhatWasComplete)
}

func testInterruptedPullKeepsWhatWasComplete(t *testing.T, by fixture.Caller) {
	img := fixture.ProbeBase(t)
	img.LayerCompression = image.Gzip
	img.Layers = append(img.Layers, fixture.Layer(t, "dir .", "file late size=8000000"))
	parts, err := img.Registry()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := parts.Layers()
	if err != nil {
		t.Fatal(err)
	}
	first, _ := layers[0].Digest()
	last, _ := layers[1].Digest()

	for behaviour, how := range map[string]os.Signal{"^C": os.Interrupt, "kill -9": os.Kill} {
		t.Run(behaviour, func(t *testing.T) {
			seen := &counter{blobs: map[string]int{}}
			var hang atomic.Bool
			hang.Store(true)
			reg := fixture.NewRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
				seen.see(r)
				if !hang.Load() || r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, last.Hex) {
					return false
				}
				w.Header().Set("Content-Length", "8000000")
				w.WriteHeader(http.StatusOK)
				w.Write(bytes.Repeat([]byte{0x1f}, 10))
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return true
			})
			s := fixture.NewSandbox(t, by)
			s.Trust(reg)
			ref := reg.Push(t, "team/probe:latest", img)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := s.Command(ctx, s.Binary("flake-ctl"), "pull", ref)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			sum, _, _ := img.Layers[0].DiffID()
			for done := filepath.Join(s.Root, "layers", "sha256", sum); ; time.Sleep(10 * time.Millisecond) {
				if _, err := os.Stat(done); err == nil {
					break
				}
				if ctx.Err() != nil {
					t.Fatal("the first layer did not become complete")
				}
			}
			if err := cmd.Process.Signal(how); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("an interrupted pull ended with 0")
			}
			if res := s.Run("probe", "/bin/probe", "exit", "0"); res.Code == 0 {
				t.Error("half an image starts")
			}
			hang.Store(false)
			s.MustCtl("pull", ref)
			if n := seen.asked()[first.Hex]; n != 1 {
				t.Errorf("the complete layer was fetched %d times", n)
			}
			if res := s.Run("probe", "/bin/probe", "exit", "9"); res.Code != 9 {
				t.Errorf("after the second pull: %v", res)
			}
			if left, _ := os.ReadDir(filepath.Join(s.Root, "tmp")); len(left) > 0 {
				for _, entry := range left {
					if entry.IsDir() {
						t.Errorf("unfinished work is left: %s", entry.Name())
					}
				}
			}
		})
	}
}

func TestTwoPullsDoTheWorkOnce(t *testing.T) { fixture.Each(t, testTwoPullsDoTheWorkOnce) }

func testTwoPullsDoTheWorkOnce(t *testing.T, by fixture.Caller) {
	seen := &counter{blobs: map[string]int{}}
	reg := fixture.NewRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
		seen.see(r)
		return false
	})
	s := fixture.NewSandbox(t, by)
	s.Trust(reg)
	img := fixture.ProbeBase(t)
	img.Layers = append(img.Layers, fixture.Layer(t, "dir .", "file big size=60000000"))
	ref := reg.Push(t, "team/probe:latest", img)
	ctl := s.Binary("flake-ctl")
	res := s.Exec("/bin/sh", "-c", ctl+" pull "+ref+" & "+ctl+" pull "+ref+" || echo bad; wait $! || echo bad")
	if strings.Contains(res.Stdout, "bad") {
		t.Errorf("%v", res)
	}
	// The small config may be read by both; a layer is fetched once.
	var twice []string
	asked := seen.asked()
	for digest, n := range asked {
		if n > 1 {
			twice = append(twice, fmt.Sprintf("%s %d times", digest, n))
		}
	}
	if len(twice) > 1 || len(asked) < len(img.Layers)+1 {
		t.Errorf("fetched more than once: %q, of %d blobs", twice, len(asked))
	}
	s.MustRun("probe", "/bin/probe", "exit", "0")
}
