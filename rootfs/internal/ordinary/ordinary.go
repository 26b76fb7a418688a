// Package ordinary runs a test binary once more as an ordinary user, for the
// tests below rootfs. It owns the change of identity and nothing else; product
// code does not import it.
//
// The entry point is [Run].
package ordinary

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// UID is a user that no database knows, without subordinate ids and without
// further groups; its group has the same number.
const UID = 54321

// kiwiEnv names the directory of the images that KIWI built, as in the
// end-to-end tests.
const (
	kiwiEnv = "FLAKE_KIWI_IMAGES"
	realEnv = "FLAKE_TEST_REAL"
)

// KiwiImages is that directory, by default ../shared/images of the module; ""
// where there is none. The images are no part of the repository.
func KiwiImages() string {
	dir := os.Getenv(kiwiEnv)
	if dir == "" {
		at, err := os.Getwd()
		for err == nil && at != "/" {
			if _, err := os.Lstat(filepath.Join(at, "go.mod")); err == nil {
				dir = filepath.Join(at, "..", "shared", "images")
				break
			}
			at = filepath.Dir(at)
		}
	}
	if fi, err := os.Stat(dir); dir == "" || err != nil || !fi.IsDir() {
		return ""
	}
	return dir
}

// Run runs all tests of the calling test binary as an ordinary user, the caller
// itself excepted, with a HOME of his own and without XDG_RUNTIME_DIR. It skips
// where the caller is no root: then the tests run as a user anyway.
func Run(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: to become another user")
	}
	cmd := Command(t, "-test.count=1", "-test.skip=^"+t.Name()+"$")
	if testing.Verbose() {
		cmd.Args = append(cmd.Args, "-test.v")
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as user %d: %v\n%s", UID, err, out)
	} else if testing.Verbose() {
		t.Logf("as user %d:\n%s", UID, out)
	}
}

// Command is the test binary as that user, in a directory that he can write to.
func Command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	home := t.TempDir()
	own(t, home)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The directory that go test builds in is closed to others.
	bin := filepath.Join(home, filepath.Base(self))
	copyFile(t, self, bin)
	tmp := filepath.Join(home, "tmp")
	if err := os.Mkdir(tmp, 0o755); err != nil {
		t.Fatal(err)
	}
	own(t, tmp)
	cmd := exec.Command(bin, args...)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "TMPDIR=" + tmp, "PATH=" + os.Getenv("PATH")}
	if dir := KiwiImages(); dir != "" {
		cmd.Env = append(cmd.Env, kiwiEnv+"="+dir)
	}
	cmd.Env = append(cmd.Env, realEnv+"="+os.Getenv(realEnv))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: UID, Gid: UID}}
	return cmd
}

// own gives a directory, and the one above it that testing made, to the user.
func own(t *testing.T, dir string) {
	t.Helper()
	if err := os.Chown(dir, UID, UID); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
}
