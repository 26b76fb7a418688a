package pull

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/types"
)

// TestPullWithoutSession: what a login session sets up is missing or another's,
// as after su, and the home cannot be written.
func TestPullWithoutSession(t *testing.T) {
	home := t.TempDir()
	if err := os.Chmod(home, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("XDG_CACHE_HOME", "")
	reg := newRegistry(t)
	source := reg.push(t, "some/image", "latest", makeImage(t, ispec.MediaTypeImageManifest, "amd64", gzLayer(t, baseLines...)))
	for name, dir := range map[string]string{"missing": filepath.Join(home, "no"), "closed": filepath.Join(t.TempDir(), "closed")} {
		t.Run(name, func(t *testing.T) {
			if name == "closed" {
				if err := os.Mkdir(dir, 0); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("XDG_RUNTIME_DIR", dir)
			opt := testOptions(t, reg.host)
			opt.System.AuthFilePath = ""
			opt.System.UserShortNameAliasConfPath = ""
			s := newStore(t)
			if _, err := Pull(t.Context(), s, source, opt); err != nil {
				t.Error(err)
			}
			// Nothing but /etc can know it; that the file of short names cannot be made is not the error.
			if _, err := Pull(t.Context(), s, "no-such-short-name", opt); err != nil {
				wantError(t, err, ErrShortName)
			}
		})
	}
}

func TestAdaptKeepsWhatIsGiven(t *testing.T) {
	sys := types.SystemContext{AuthFilePath: "/a", UserShortNameAliasConfPath: "/b"}
	t.Setenv("XDG_RUNTIME_DIR", "/nowhere")
	adapt(&sys, t.TempDir())
	if sys.AuthFilePath != "/a" || sys.UserShortNameAliasConfPath != "/b" || os.Getenv("XDG_RUNTIME_DIR") != "/nowhere" {
		t.Errorf("%+v", sys)
	}
}

// closedLayer has what an ordinary user cannot enter or give away.
func closedLayer(t *testing.T) madeLayer {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, hdr := range []tar.Header{
		{Name: "./", Typeflag: tar.TypeDir, Mode: 0o555},
		{Name: "none/", Typeflag: tar.TypeDir},
		{Name: "none/f", Typeflag: tar.TypeReg, Uid: 5},
		{Name: "ro/", Typeflag: tar.TypeDir, Mode: 0o555, Uid: 7, Gid: 8},
		{Name: "ro/f", Typeflag: tar.TypeReg, Mode: 0o4555},
		{Name: "ro/.wh.g", Typeflag: tar.TypeReg},
		{Name: "dev/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "dev/null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3},
	} {
		if err := tw.WriteHeader(&hdr); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return madeLayer{buf.Bytes(), gz(t, buf.Bytes()), ispec.MediaTypeImageLayerGzip}
}

// TestClosedEntries are pulled, inherited by a layer above without parents, and
// removed again.
func TestClosedEntries(t *testing.T) {
	reg, s := newRegistry(t), newStore(t)
	m := makeImage(t, ispec.MediaTypeImageManifest, "amd64", closedLayer(t), gzLayer(t, "file ro/late"))
	img, err := Pull(t.Context(), s, reg.push(t, "x", "1", m), testOptions(t, reg.host))
	if err != nil {
		t.Fatal(err)
	}
	if img.Layers[0].Devices != 1 {
		t.Errorf("%d devices", img.Layers[0].Devices)
	}
	for i, want := range []map[string][2]int{{"none/f": {5, 0}, "ro": {7, 8}}, {"ro": {7, 8}}} {
		got := map[string][2]int{}
		owners, err := s.Owners(img.Layers[i].ID)
		for _, o := range owners {
			got[o.Path] = [2]int{o.UID, o.GID}
		}
		switch {
		case os.Geteuid() == 0 && err == nil:
			t.Errorf("root's layer %d has owners recorded", i)
		case os.Geteuid() != 0 && (err != nil || len(got) != len(want)):
			t.Errorf("layer %d: %v, %v", i, got, err)
		}
		for p, o := range want {
			if os.Geteuid() != 0 && got[p] != o {
				t.Errorf("layer %d: %s belongs to %v", i, p, got[p])
			}
		}
		for _, dir := range s.LayerParts(img.Layers[i].ID) {
			if fi, err := os.Lstat(filepath.Join(dir, "ro")); err != nil || fi.Mode().Perm() != 0o555 {
				t.Errorf("layer %d: ro: %v, %v", i, fi, err)
			}
		}
	}
	clean(t, s)
}
