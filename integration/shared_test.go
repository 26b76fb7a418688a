package integration

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// shared is root's store and registrations, with `probe` in them, and two users.
func shared(t *testing.T) (system, alice, bob *fixture.Sandbox) {
	t.Helper()
	alice, bob = fixture.NewSandbox(t, fixture.User), fixture.NewSandbox(t, fixture.Other)
	system = fixture.NewSystem(t)
	system.Load(fixture.ProbeBase(t))
	system.Register("probe", "probe", "--target", "/bin/probe", "--profile", "isolated")
	// The link and what it points to are everybody's way in.
	link := system.Link("probe")
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(alice.Binary("flake-launcher"), link); err != nil {
		t.Fatal(err)
	}
	return system, alice, bob
}

// census is all that is below a directory, by what would tell that it was touched.
func census(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		all[path] = fmt.Sprintf("%o %d:%d %d bytes, inode %d, changed %d.%d", st.Mode, st.Uid, st.Gid, st.Size, st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRootsStoreIsEverybodys(t *testing.T) {
	system, alice, bob := shared(t)
	before := census(t, system.Root)
	var at sync.WaitGroup
	for _, s := range []*fixture.Sandbox{alice, bob} {
		s.NoLeaks(system.Root, system.Registrations)
		at.Go(func() {
			script := "for i in 1 2 3 4 5 6 7 8; do " + system.Link("probe") + " id || echo bad & done; wait"
			res := s.Exec("/bin/sh", "-c", script)
			want := strings.Repeat(fmt.Sprintf("%s user%d\n", s.By.Owner(), s.By.UID), 8)
			if res.Stdout != want || res.Stderr != "" {
				t.Errorf("%v", res)
			}
			if res := s.Exec(system.Link("probe"), "touch", "/tmp/x", "/etc/x", "/home/x"); res.Stdout != "ok\nEACCES\nENOENT\n" {
				t.Errorf("%v", res)
			}
			if res := s.Exec(system.Link("probe"), "stat", "/tmp/x"); res.Stdout != "none\n" {
				t.Errorf("another start's file: %v", res)
			}
		})
	}
	at.Wait()
	if diff := cmp.Diff(before, census(t, system.Root)); diff != "" {
		t.Errorf("starts of users changed root's store (-before +after):\n%s", diff)
	}
	for _, s := range []*fixture.Sandbox{alice, bob} {
		if out := s.MustCtl("list", "--format", "csv").Stdout; !strings.Contains(out, system.Registrations+"/probe.yaml") {
			t.Errorf("root's flake is not listed: %s", out)
		}
		if out := s.MustCtl("images", "--format", "json").Stdout; !strings.Contains(out, `"store": "`+system.Root+`"`) {
			t.Errorf("root's image is not listed: %s", out)
		}
		for path := range census(t, s.Root) {
			if strings.Contains(path, "/layers/sha256/") {
				t.Errorf("copied from root's store: %s", path)
			}
		}
	}
	system.MustApp("probe", "exit", "0")
}

// Whoever can open root's layers can reach them without us.
func TestRootsLayersGiveNothingAway(t *testing.T) {
	s := fixture.NewSandbox(t, fixture.User)
	system := fixture.NewSystem(t)
	base := fixture.ProbeBase(t)
	base.Layers = append(base.Layers, fixture.Layer(t, "dir .", "file su mode=4755", "file sg mode=2755", "file open mode=0666",
		"file his own=54321:54321", "dir shared mode=0777", "dir home own=54321:54321"))
	system.Load(base)
	layers := filepath.Join(system.Root, "layers", "sha256")
	if res := s.Exec("/usr/bin/find", layers, "!", "-type", "l", "(", "-perm", "/6022", "-o", "-user", "54321", ")"); res.Stdout != "" {
		t.Errorf("to be used by others: %v", res)
	}
	if res := s.Exec("/usr/bin/find", layers, "-writable", "!", "-type", "l"); res.Stdout != "" {
		t.Errorf("to be written by others: %v", res)
	}
	for _, dir := range []string{"private", "tmp", "hostlayers"} {
		if res := s.Exec("/bin/ls", filepath.Join(system.Root, dir)); res.Code == 0 {
			t.Errorf("%s is open: %v", dir, res)
		}
	}
	// Root's own apps have the image as it is.
	says(t, probing(system), "100000 4755 0:0 0  100000 2755 0:0 0  100000 666 0:0 0  100000 644 54321:54321 0  40000 777 0:0 4096 ",
		"stat", "/su", "/sg", "/open", "/his", "/shared")
	says(t, probing(s), "EACCES EACCES EACCES EACCES", "touch", "/open", "/his", "/shared/x", "/home/x")
}

func TestUsersCannotChangeWhatIsRoots(t *testing.T) {
	system, alice, _ := shared(t)
	before := census(t, system.Root)
	// Before she has a store of her own, which is not made for that; and then.
	home := census(t, alice.Home)
	alice.Refused(alice.Ctl("remove", "probe"), "not yours", filepath.Join(system.Registrations, "probe.yaml"))
	alice.Refused(alice.Ctl("remove", system.Link("probe")), "not yours")
	alice.Refused(alice.Ctl("remove", "nothing"), "no flake named")
	alice.Refused(alice.Ctl("remove", "--container", "probe"), "not yours", system.Root)
	if diff := cmp.Diff(home, census(t, alice.Home)); diff != "" {
		t.Errorf("a refusal made something (-before +after):\n%s", diff)
	}
	alice.MustExec(system.Link("probe"), "exit", "0")
	alice.Refused(alice.Ctl("remove", "probe"), "not yours")
	alice.Refused(alice.Ctl("remove", "--container", "probe", "--force"), "not yours", system.Root)
	alice.MustCtl("gc")
	alice.Refused(alice.With("FLAKES_ROOT="+system.Root).Ctl("load", "/etc/passwd"), system.Root)
	if diff := cmp.Diff(before, census(t, system.Root)); diff != "" {
		t.Errorf("root's store changed (-before +after):\n%s", diff)
	}
}

func TestOwnDeltaOnRootsBase(t *testing.T) {
	system, alice, bob := shared(t)
	alice.Load(fixture.Delta(t, "mine", `dir etc`, `file etc/origin data="alice\n"`))
	bob.Load(fixture.Delta(t, "mine", `dir etc`, `file etc/origin data="bob\n"`))
	for _, s := range []*fixture.Sandbox{alice, bob} {
		want := map[int]string{alice.By.UID: "alice\n", bob.By.UID: "bob\n"}[s.By.UID]
		// Both name it as root has named another.
		s.Register("tool", "mine", "--base", "probe", "--target", "/bin/probe")
		s.Register("probe", "mine", "--base", "probe", "--target", "/bin/probe")
		for _, name := range []string{"tool", "probe"} {
			if out := s.MustApp(name, "cat", "/etc/origin").Stdout; out != want {
				t.Errorf("%s of %d: %q", name, s.By.UID, out)
			}
		}
		if layers, _ := os.ReadDir(filepath.Join(s.Root, "layers", "sha256")); len(layers) != 1 {
			t.Errorf("want the own layer alone, got %d", len(layers))
		}
	}
	if out := system.MustApp("probe", "cat", "/etc/origin").Stdout; out != "base\n" {
		t.Errorf("root's: %q", out)
	}
	alice.MustCtl("remove", "probe")
	if out := alice.MustExec(system.Link("probe"), "cat", "/etc/origin").Stdout; out != "base\n" {
		t.Errorf("after the removal of the own one: %q", out)
	}
}

func TestRootRemovesWhatAUserRuns(t *testing.T) {
	system, alice, bob := shared(t)
	running := *alice
	running.Links = system.Links
	cmd, _ := waiting(t, &running, "15")
	if res := system.Ctl("remove", "--container", "probe", "--force"); res.Code != 0 && !strings.Contains(res.Stderr, "use") {
		t.Errorf("%v", res)
	}
	if layers, _ := os.ReadDir(filepath.Join(system.Root, "layers", "sha256")); len(layers) != 1 {
		t.Errorf("the running flake's layer is gone: %d", len(layers))
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("the running app: %v", err)
	}
	bob.Refused(bob.Run("probe", "/bin/probe", "id"), "probe")
	system.MustCtl("gc")
	if layers, _ := os.ReadDir(filepath.Join(system.Root, "layers", "sha256")); len(layers) != 0 {
		t.Errorf("%d layers are left", len(layers))
	}
}

func TestAdditionalStores(t *testing.T) {
	fixture.RequireRoot(t, "a store of root's for a user")
	alice := fixture.NewSandbox(t, fixture.User)
	system := fixture.NewSystem(t)
	more := fixture.NewSandbox(t, fixture.Root) // below a FLAKES_ROOT of root's
	more.Load(fixture.ProbeBase(t))
	settings := "additional_stores:\n- " + more.Root + "\n- /nowhere/at/all\n"
	for behaviour, file := range map[string]string{
		"the user's":          filepath.Join(alice.Home, ".config", "flake-launcher", "config.yaml"),
		"XDG_CONFIG_HOME":     filepath.Join(alice.Home, "xdg", "flake-launcher", "config.yaml"),
		"the administrator's": filepath.Join(fixture.SystemSettings, "config.yaml"),
	} {
		t.Run(behaviour, func(t *testing.T) {
			s, root := alice.In(t), system.In(t)
			s.Refused(s.Run("probe", "/bin/probe", "id"), "probe")
			who := s
			if strings.HasPrefix(file, fixture.SystemSettings) {
				who = root
			} else {
				s.Mkdir(filepath.Dir(file))
			}
			if strings.Contains(file, "xdg") {
				s = s.With("XDG_CONFIG_HOME=" + filepath.Join(alice.Home, "xdg"))
			}
			who.WriteFile(file, settings)
			if out := s.MustRun("probe", "/bin/probe", "id").Stdout; !strings.HasPrefix(out, s.By.Owner()) {
				t.Errorf("%s", out)
			}
			if layers, _ := os.ReadDir(filepath.Join(s.Root, "layers", "sha256")); len(layers) != 0 {
				t.Errorf("%d layers were copied", len(layers))
			}
			for text, want := range map[string]string{
				"additional_stores: [relative]\n": "relative", "additional_shops: []\n": "additional_shops", "additional_stores: 7\n": "config.yaml:1",
			} {
				who.WriteFile(file, text)
				s.Refused(s.Run("probe", "/bin/probe", "id"), want)
			}
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		})
	}
}
