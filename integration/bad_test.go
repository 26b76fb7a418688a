package integration

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
	"github.com/flake-launcher/flake-launcher/integration/image"
)

// nothingHalfDone checks what a refused pull or load leaves: no image, no name, no layer in the
// making.
func nothingHalfDone(t *testing.T, s *fixture.Sandbox) {
	t.Helper()
	for _, dir := range []string{"images/sha256", "refs", "tmp"} {
		entries, _ := os.ReadDir(filepath.Join(s.Root, dir))
		for _, entry := range entries {
			if dir == "tmp" && !entry.IsDir() {
				continue // lock files
			}
			t.Errorf("left in %s: %s", dir, entry.Name())
		}
	}
}

func TestBadSources(t *testing.T) { fixture.EachUnranged(t, testBadSources) }

func testBadSources(t *testing.T, by fixture.Caller) {
	reg := fixture.NewRegistry(t, nil)
	dir := by.Dir(t)
	text := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(text, []byte("no archive\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.tar")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	whole := filepath.Join(dir, "whole.tar")
	if err := fixture.ProbeBase(t).WriteFile(whole); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(dir, "cut.tar")
	if err := os.WriteFile(cut, content[:len(content)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	for behaviour, test := range map[string]struct {
		args []string
		want string
	}{
		"unknown reference":        {[]string{"pull", reg.Host + "/team/nothing:latest"}, "nothing"},
		"unknown tag":              {[]string{"pull", reg.Host + "/team/nothing:v9"}, "v9"},
		"registry down":            {[]string{"pull", "127.0.0.1:1/team/x:latest"}, "127.0.0.1:1"},
		"no reference at all":      {[]string{"pull", "Not A Reference"}, "Not A Reference"},
		"unknown transport":        {[]string{"pull", "gopher:x"}, "gopher"},
		"missing layout":           {[]string{"pull", "oci:" + dir + "/nowhere"}, "nowhere"},
		"missing file":             {[]string{"load", dir + "/nowhere.tar"}, "nowhere.tar"},
		"not an archive":           {[]string{"load", text}, "notes.txt"},
		"an empty file":            {[]string{"load", empty}, "empty.tar"},
		"an archive cut in two":    {[]string{"load", cut}, "cut.tar"},
		"a directory of something": {[]string{"load", "/etc"}, "/etc"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := fixture.NewSandbox(t, by)
			s.Trust(reg)
			s.NoLeaks()
			s.Refused(s.Ctl(test.args...), test.want)
			nothingHalfDone(t, s)
		})
	}
}

func TestUnreadableSources(t *testing.T) { fixture.Each(t, testUnreadableSources) }

// testUnreadableSources takes the right to read away from one part after the other: the message names the file, and speaks
// of no registry, of which there is none. Root reads them all the same.
func testUnreadableSources(t *testing.T, by fixture.Caller) {
	dir := filepath.Join(by.Dir(t), "layout")
	img := fixture.ProbeBase(t)
	if err := img.WriteLayout(dir); err != nil {
		t.Fatal(err)
	}
	archive := filepath.Join(filepath.Dir(dir), "probe.tar")
	if err := img.WriteFile(archive); err != nil {
		t.Fatal(err)
	}
	by.GiveTree(t, filepath.Dir(dir))
	parts, err := img.Registry()
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := parts.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	sum, err := parts.Digest()
	if err != nil {
		t.Fatal(err)
	}
	blob := func(hex string) string { return filepath.Join(dir, "blobs", "sha256", hex) }
	s := fixture.NewSandbox(t, by)
	for behaviour, file := range map[string]string{
		"a layer": blob(manifest.Layers[0].Digest.Hex), "the config": blob(manifest.Config.Digest.Hex), "the manifest": blob(sum.Hex),
		"all blobs": filepath.Join(dir, "blobs"), "the index": filepath.Join(dir, "index.json"), "the layout": dir, "an archive": archive,
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := s.In(t)
			st, err := os.Stat(file)
			if err == nil {
				err = os.Chmod(file, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(file, st.Mode())
			commands := [][]string{{"load", dir}, {"pull", "oci:" + dir}}
			if file == archive {
				commands = [][]string{{"load", archive}, {"pull", "docker-archive:" + archive}}
			}
			for _, args := range commands {
				res := s.Ctl(args...)
				if by.IsRoot() {
					if res.Code != 0 {
						t.Errorf("%v", res)
					}
					continue
				}
				s.Refused(res, strings.TrimPrefix(file, dir+"/"), filepath.Dir(dir), "permission denied", "check the file that is named")
				if strings.Contains(strings.ToLower(res.Stderr), "registry") {
					t.Errorf("a word about a registry in %v", res)
				}
				nothingHalfDone(t, s)
			}
		})
	}
}

func TestAmbiguousShortNames(t *testing.T) { fixture.Each(t, testAmbiguousShortNames) }

func testAmbiguousShortNames(t *testing.T, by fixture.Caller) {
	one, two := fixture.NewRegistry(t, nil), fixture.NewRegistry(t, nil)
	s := fixture.NewSandbox(t, by)
	s.Trust(one, two)
	for _, reg := range []*fixture.Registry{one, two} {
		img := fixture.ProbeBase(t)
		img.Layers = append(img.Layers, fixture.Layer(t, "dir .", "file "+strings.ReplaceAll(reg.Host, ":", "-")))
		s.MustCtl("pull", reg.Push(t, "team/probe:latest", img))
	}
	res := s.Run("probe", "/bin/probe")
	s.Refused(res, one.Host, two.Host)
}

func TestSpoiledPulls(t *testing.T) { fixture.EachUnranged(t, testSpoiledPulls) }

func testSpoiledPulls(t *testing.T, by fixture.Caller) {
	img := fixture.ProbeBase(t)
	img.LayerCompression = image.Gzip
	parts, err := img.Registry()
	if err != nil {
		t.Fatal(err)
	}
	layers, err := parts.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	blob, err := io.ReadAll(raw)
	if err != nil {
		t.Fatal(err)
	}
	isLayer := func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, digest.Hex)
	}
	for behaviour, test := range map[string]struct {
		spoil func(http.ResponseWriter, *http.Request) bool
		args  []string
		want  string
	}{
		"401": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				w.Header().Set("WWW-Authenticate", `Basic realm="closed"`)
				w.WriteHeader(http.StatusUnauthorized)
				return true
			}
			return false
		}, nil, "log"},
		"wrong digest": {func(w http.ResponseWriter, r *http.Request) bool {
			if isLayer(r) {
				spoiled := append([]byte(nil), blob...)
				spoiled[len(spoiled)/2] ^= 1
				w.Write(spoiled)
				return true
			}
			return false
		}, nil, "digest"},
		"truncated layer": {func(w http.ResponseWriter, r *http.Request) bool {
			if isLayer(r) {
				w.Write(blob[:len(blob)/2])
				return true
			}
			return false
		}, nil, ""},
		"a registry that stops talking": {func(w http.ResponseWriter, r *http.Request) bool {
			if isLayer(r) {
				w.WriteHeader(http.StatusOK)
				w.Write(blob[:100])
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return true
			}
			return false
		}, []string{"--stall", "2s"}, "2s"},
		"500": {func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") {
				w.WriteHeader(http.StatusInternalServerError)
				return true
			}
			return false
		}, nil, ""},
	} {
		t.Run(behaviour, func(t *testing.T) {
			var spoiling atomic.Bool // asked by the registry, also for requests that outlive a pull
			reg := fixture.NewRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
				return spoiling.Load() && test.spoil(w, r)
			})
			s := fixture.NewSandbox(t, by)
			s.Trust(reg)
			ref := reg.Push(t, "team/probe:latest", img)
			spoiling.Store(true)
			s.Refused(s.Ctl(append(append([]string{"pull"}, test.args...), ref)...), test.want)
			nothingHalfDone(t, s)
			spoiling.Store(false)
			s.MustCtl("pull", ref)
		})
	}
}

func TestHostileLayers(t *testing.T) { fixture.EachUnranged(t, testHostileLayers) }

func testHostileLayers(t *testing.T, by fixture.Caller) {
	victim := filepath.Join(by.Dir(t), "victim")
	if err := os.WriteFile(victim, []byte("untouched\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	by.Give(t, victim)
	up := strings.Repeat("../", 20)
	for behaviour, lines := range map[string][]string{
		"dot-dot":                   {`file ` + up + victim[1:] + ` data="owned"`},
		"dot-dot inside":            {`dir a`, `file a/` + up + victim[1:] + ` data="owned"`},
		"absolute":                  {`file ` + victim + ` data="owned"`},
		"through a symlink":         {`link out to=` + filepath.Dir(victim), `file out/victim data="owned"`},
		"through a relative one":    {`link out to=` + up + filepath.Dir(victim)[1:], `file out/victim data="owned"`},
		"hard link to the outside":  {`hard mine to=` + victim, `file mine data="owned"`},
		"hard link up":              {`hard mine to=` + up + victim[1:]},
		"whiteout of the directory": {`file .wh.. data=""`},
		"whiteout upwards":          {`file a/.wh... data=""`},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := fixture.NewSandbox(t, by)
			path := filepath.Join(s.Tmp, "hostile.tar")
			if err := fixture.Delta(t, "hostile", lines...).WriteFile(path); err != nil {
				t.Fatal(err)
			}
			s.Refused(s.Ctl("load", path))
			nothingHalfDone(t, s)
			if content, err := os.ReadFile(victim); err != nil || string(content) != "untouched\n" {
				t.Errorf("the victim holds %q, %v", content, err)
			}
		})
	}
}

// An image whose users can't be read starts nothing, and says what would help.
func TestImagesWithoutReadableAccounts(t *testing.T) {
	fixture.Each(t, testImagesWithoutReadableAccounts)
}

func testImagesWithoutReadableAccounts(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	for _, path := range []string{"etc/passwd", "etc/group"} {
		for name, line := range map[string]string{"fifo": "fifo " + path, "directory": "dir " + path, "circle": "link " + path + " to=/" + path} {
			s.Load(fixture.Delta(t, name, "dir etc", line))
			s.Refused(s.Run("--base", "probe", name, "/bin/probe", "exit", "0"), "/"+path, "plain file")
		}
	}
	s.Load(fixture.Delta(t, "cure", "dir etc", `file etc/group data="root:x:0:\n"`))
	s.MustRun("--base", "probe", "--layer", "circle", "cure", "/bin/probe", "exit", "0")
}

func TestWrongArchitecture(t *testing.T) { fixture.Each(t, testWrongArchitecture) }

func testWrongArchitecture(t *testing.T, by fixture.Caller) {
	s := fixture.NewSandbox(t, by)
	img := fixture.ProbeBase(t)
	img.Architecture = "s390x"
	path := filepath.Join(s.Tmp, "other.tar")
	if err := img.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	s.Refused(s.Ctl("load", path), "s390x")
	nothingHalfDone(t, s)
}

func TestFullDisk(t *testing.T) { fixture.Each(t, testFullDisk) }

func testFullDisk(t *testing.T, by fixture.Caller) {
	s := fixture.NewSandbox(t, by)
	s.Mkdir(s.Root)
	smallDisk(t, s, s.Root, "size=3m")
	path := filepath.Join(s.Tmp, "big.tar")
	if err := fixture.Delta(t, "big", "file big size=9000000").WriteFile(path); err != nil {
		t.Fatal(err)
	}
	s.Refused(s.Ctl("load", path), "space")
	nothingHalfDone(t, s)
	small := fixture.Delta(t, "small", "file small size=1000")
	s.Load(small)
}

// smallDisk mounts a file system of its own at a directory of the caller's.
func smallDisk(t *testing.T, s *fixture.Sandbox, dir, options string) {
	t.Helper()
	fixture.RequireRoot(t, "to mount a small tmpfs")
	options += fmt.Sprintf(",mode=0755,uid=%d,gid=%d", s.By.UID, s.By.GID)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

func TestBadRegistrations(t *testing.T) { fixture.Each(t, testBadRegistrations) }

func testBadRegistrations(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	dir := s.Registrations
	good, err := os.ReadFile(filepath.Join(dir, "probe.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for behaviour, test := range map[string]struct{ text, want string }{
		"no YAML":        {"container: [\n", "bad.yaml:"},
		"an unknown key": {string(good) + "\nunheard_of: 1\n", "unheard_of"},
		"a wrong type":   {"container:\n  name: probe\n  layers: 7\n", "bad.yaml:3"},
		"no image named": {"container: {}\n", "name"},
		"an empty file":  {"", "bad.yaml"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := s.In(t)
			s.WriteFile(filepath.Join(dir, "bad.yaml"), test.text)
			link := s.Link("bad")
			_ = os.Remove(link)
			if err := os.Symlink(s.Binary("flake-launcher"), link); err != nil {
				t.Fatal(err)
			}
			s.Refused(s.App("bad"), test.want)
		})
	}
	s.MustApp("probe", "exit", "0")
}
