package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// userID is nobody's on this machine, and has no range of subordinate ids.
const userID = 54321

// asUser runs a command as that user, with a home and a copy of the programs that he can reach.
func (e *env) asUser(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=" + e.scratch("user"), "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: userID, Gid: userID}}
	return cmd
}

func (e *env) userBinary(name string) string { return filepath.Join(e.scratch("user"), "bin", name) }
func (e *env) userLink() string              { return filepath.Join(e.scratch("user"), "true") }

// prepareUser gives the user a store of his own with the base in it, and a registered flake.
func prepareUser(e *env) error {
	return e.once("user", func() error {
		base, err := e.real("bookworm")
		if err != nil {
			return err
		}
		home := e.scratch("user")
		if err := os.CopyFS(filepath.Join(home, "bin"), os.DirFS(e.bin)); err != nil {
			return err
		}
		archive := filepath.Join(home, "base"+filepath.Ext(base.Archive))
		text, err := os.ReadFile(base.Archive)
		if err == nil {
			err = os.WriteFile(archive, text, 0o644)
		}
		if err == nil {
			err = exec.Command("chown", "-R", fmt.Sprintf("%d:%d", userID, userID), home).Run()
		}
		if err != nil {
			return err
		}
		if err := e.quiet(e.asUser(e.userBinary("flake-ctl"), "load", archive)); err != nil {
			return err
		}
		return e.quiet(e.asUser(e.userBinary("flake-ctl"), "register", "--container", "bookworm",
			"--app", e.userLink(), "--target", "/bin/true"))
	})
}

// bwrapUser runs over the very layer that the flake uses: the plain tree lies where the user can't go.
func bwrapUser(e *env) *exec.Cmd {
	layers, _ := filepath.Glob(filepath.Join(e.scratch("user"), ".local/share/flakes/layers/sha256/*"))
	layer := "/nonexistent"
	if len(layers) == 1 {
		layer = layers[0]
	}
	return e.asUser("/usr/bin/bwrap", "--unshare-all", "--share-net", "--ro-bind", layer, "/",
		"--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "/bin/true")
}
