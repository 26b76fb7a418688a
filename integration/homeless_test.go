package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// A service user often has no home, or one that is not his to write to.
func TestCallerWithoutAPlaceForAStore(t *testing.T) {
	system, alice, _ := shared(t)
	more := filepath.Join(system.Tmp, "more")
	other := system.With("FLAKES_ROOT=" + more)
	other.Load(fixture.Delta(t, "further", `dir etc`, `file etc/origin data="further\n"`))
	system.WriteFile(filepath.Join(fixture.SystemSettings, "config.yaml"), "additional_stores: ["+more+"]\n")
	for name, options := range map[string][]string{
		"native": nil, "kept": {"--resume"}, "disk": {"--writable", "disk"},
	} {
		system.Register(name, "probe", append(options, "--target", "/bin/probe")...)
		replaceLink(t, system.Link(name), alice.Binary("flake-launcher"))
	}
	barred := filepath.Join(system.Tmp, "barred")
	system.Mkdir(filepath.Join(barred, ".config", "flake-launcher"))
	system.WriteFile(filepath.Join(barred, ".config", "flake-launcher", "config.yaml"), "{}\n")
	if err := os.Chmod(barred, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, home := range map[string]string{
		"missing": "/nonexistent", "a device": "/dev/null", "not his": "/etc", "barred": barred, "unset": "",
	} {
		t.Run(name, func(t *testing.T) {
			s := alice.In(t).With("HOME=" + home)
			own := filepath.Join(home, ".local/share/flakes")
			if home == "" {
				own = ""
			}
			s.ForgetMemory(own)
			for range 2 {
				for _, flake := range []string{"probe", "native"} {
					if res := s.Exec(system.Link(flake), "id"); res.Code != 0 || res.Stderr != "" || !strings.HasPrefix(res.Stdout, s.By.Owner()) {
						t.Errorf("%v", res)
					}
				}
				if res := s.Run("--base", "probe", "further", "/bin/probe", "cat", "/etc/origin"); res.Stdout != "further\n" || res.Stderr != "" {
					t.Errorf("%v", res)
				}
			}
			for _, flake := range []string{"kept", "disk"} {
				s.Refused(s.Exec(system.Link(flake), "id"), flake, "no store that can be written to", "HOME")
			}
			s.Refused(s.Ctl("load", "/etc/passwd"), "store")
			s.Refused(s.Run("absent", "/bin/probe"), "absent", "not in the store")
			if home == barred {
				return
			}
			if out := s.MustCtl("images", "--format", "json").Stdout; !strings.Contains(out, system.Root) {
				t.Errorf("root's image is not listed: %s", out)
			}
			s.MustCtl("explain", "probe")
		})
	}
}

func replaceLink(t *testing.T, link, target string) {
	t.Helper()
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
}

func TestStalePlanOverAReadOnlyStore(t *testing.T) { fixture.Each(t, testStalePlanOverAReadOnlyStore) }

func testStalePlanOverAReadOnlyStore(t *testing.T, by fixture.Caller) {
	fixture.RequireRoot(t, "to mount")
	s := started(t, by)
	if err := unix.Mount(s.Root, s.Root, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(s.Root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Mount("", s.Root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	s.MustApp("probe", "exit", "0")
	for _, stale := range []*fixture.Sandbox{s.With("HOME=" + s.Tmp + "/"), s} {
		if stale == s {
			s.SetSettings("additional_stores: []\n" + by.Settings()) // both plans are for others now
		} else if by.Range || !by.IsRoot() {
			continue // elsewhere is another store
		}
		for range 2 {
			if res := stale.App("probe", "exit", "0"); res.Code != 0 || res.Stderr != "" {
				t.Errorf("%v", res)
			}
		}
	}
	s.Refused(s.Ctl("load", "/etc/passwd"), s.Root, "file system")
}

// A home that no app is shown needs nothing of ours to protect.
func TestNothingIsMadeInAHomeThatIsTheSystems(t *testing.T) {
	system := fixture.NewSystem(t)
	system.Load(fixture.ProbeBase(t))
	for _, home := range []string{"/", "/etc", "/opt/flake-test-home"} {
		s := system.With("HOME=" + home)
		if strings.HasPrefix(home, "/opt") {
			if err := os.MkdirAll(home, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(home) })
		}
		s.Register("probe", "probe", "--target", "/bin/probe", "--force")
		s.MustApp("probe", "exit", "0")
		s.MustRun("probe", "/bin/probe", "exit", "0")
		made := filepath.Join(home, ".config")
		if _, err := os.Stat(made); err == nil {
			t.Errorf("%s was made", made)
			if err := os.RemoveAll(made); err != nil {
				t.Error(err)
			}
		}
		if !strings.HasPrefix(home, "/opt") {
			continue
		}
		if res := s.MustRun("--share", home, "probe", "/bin/probe", "touch", home+"/.config/flakes/x"); res.Stdout != "EROFS\n" {
			t.Errorf("where it is shared: %v", res)
		}
	}
}
