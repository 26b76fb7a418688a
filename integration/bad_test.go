package integration

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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

func TestBadSources(t *testing.T) {
	fixture.RequireRoot(t, "ownership of unpacked files")
	reg := fixture.NewRegistry(t, nil)
	dir := t.TempDir()
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
			s := fixture.NewSandbox(t)
			s.Trust(reg)
			s.NoLeaks()
			s.Refused(s.Ctl(test.args...), test.want)
			nothingHalfDone(t, s)
		})
	}
}

func TestAmbiguousShortNames(t *testing.T) {
	fixture.RequireRoot(t, "ownership of unpacked files")
	one, two := fixture.NewRegistry(t, nil), fixture.NewRegistry(t, nil)
	s := fixture.NewSandbox(t)
	s.Trust(one, two)
	for _, reg := range []*fixture.Registry{one, two} {
		img := fixture.ProbeBase(t)
		img.Layers = append(img.Layers, fixture.Layer(t, "dir .", "file "+strings.ReplaceAll(reg.Host, ":", "-")))
		s.MustCtl("pull", reg.Push(t, "team/probe:latest", img))
	}
	res := s.Run("probe", "/bin/probe")
	s.Refused(res, one.Host, two.Host)
}

func TestSpoiledPulls(t *testing.T) {
	fixture.RequireRoot(t, "ownership of unpacked files")
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
			spoiling := false
			reg := fixture.NewRegistry(t, func(w http.ResponseWriter, r *http.Request) bool {
				return spoiling && test.spoil(w, r)
			})
			s := fixture.NewSandbox(t)
			s.Trust(reg)
			ref := reg.Push(t, "team/probe:latest", img)
			spoiling = true
			s.Refused(s.Ctl(append(append([]string{"pull"}, test.args...), ref)...), test.want)
			nothingHalfDone(t, s)
			spoiling = false
			s.MustCtl("pull", ref)
		})
	}
}

func TestHostileLayers(t *testing.T) {
	fixture.RequireRoot(t, "ownership of unpacked files")
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("untouched\n"), 0o644); err != nil {
		t.Fatal(err)
	}
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
			s := fixture.NewSandbox(t)
			path := filepath.Join(t.TempDir(), "hostile.tar")
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

func TestWrongArchitecture(t *testing.T) {
	fixture.RequireRoot(t, "ownership of unpacked files")
	s := fixture.NewSandbox(t)
	img := fixture.ProbeBase(t)
	img.Architecture = "s390x"
	path := filepath.Join(t.TempDir(), "other.tar")
	if err := img.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	s.Refused(s.Ctl("load", path), "s390x")
	nothingHalfDone(t, s)
}

func TestFullDisk(t *testing.T) {
	fixture.RequireRoot(t, "a small tmpfs as the store")
	s := fixture.NewSandbox(t)
	if err := os.Mkdir(s.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", s.Root, "tmpfs", 0, "size=3m,mode=0755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(s.Root, unix.MNT_DETACH) })
	path := filepath.Join(t.TempDir(), "big.tar")
	if err := fixture.Delta(t, "big", "file big size=9000000").WriteFile(path); err != nil {
		t.Fatal(err)
	}
	s.Refused(s.Ctl("load", path), "space")
	nothingHalfDone(t, s)
	small := fixture.Delta(t, "small", "file small size=1000")
	s.Load(small)
}

func TestBadRegistrations(t *testing.T) {
	s := started(t)
	dir := filepath.Join(s.Root, "registrations")
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
			if err := os.WriteFile(filepath.Join(dir, "bad.yaml"), []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
			link := s.Link("bad")
			_ = os.Remove(link)
			if err := os.Symlink(fixture.Binary(t, "flake-launcher"), link); err != nil {
				t.Fatal(err)
			}
			s.Refused(s.App("bad"), test.want)
		})
	}
	s.MustApp("probe", "exit", "0")
}

func TestLaterFeaturesAreRefused(t *testing.T) {
	s := started(t)
	for _, args := range [][]string{
		{"--profile", "isolated", "probe"},
		{"--share", "/tmp", "probe"},
		{"--instance", "x", "probe"},
		{"--opt", "--memory 1g", "probe"},
	} {
		s.Refused(s.Run(args...))
	}
}

func TestNotRoot(t *testing.T) {
	fixture.RequireRoot(t, "to become somebody else")
	bin := filepath.Join(t.TempDir(), "bin") // the clone may lie where nobody can look
	if err := os.CopyFS(bin, os.DirFS(filepath.Dir(fixture.Binary(t, "flake-run")))); err != nil {
		t.Fatal(err)
	}
	for dir := bin; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := fixture.NewSandbox(t)
	s.Load(fixture.ProbeBase(t))
	res := s.ExecWith(func(cmd *exec.Cmd) {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}, filepath.Join(bin, "flake-run"), "probe", "/bin/probe", "exit", "0")
	s.Refused(res, "root")
}
