package compile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/moby/sys/user"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Caller is the user whose starts a plan serves.
type Caller struct {
	UID, GID int
	// Privileged says that the caller is root, can be anybody and may mount: not root of a one-id namespace, nor the
	// one inside of a flake (plan.Confined).
	Privileged bool
	// Name and Home may be empty: not every id has an entry in a database.
	Name, Home string
}

// Root says that the plan is for root, who needs no user namespace.
func (c Caller) Root() bool { return c.Privileged }

// checkStores refuses to be root inside over the store of somebody else: its files would belong to nobody there, and
// what root may do everywhere would fail in most places.
func (c *Compiler) checkStores(p *plan.Plan, req Request, images []rootfs.Stored) error {
	if c.Caller.Root() || p.Range != nil || p.UID != 0 {
		return nil
	}
	for n, img := range images {
		var st syscall.Stat_t
		if err := syscall.Stat(img.Store.Root(), &st); err != nil {
			return fmt.Errorf("look at store: %w", err)
		}
		if int(st.Uid) != c.Caller.UID {
			return &StackError{
				Flake: req.Name, Reason: fmt.Sprintf("user root: image %q lies in %s, which is not yours", req.Images[n], img.Store.Root()),
				Fix: "get the image into a store of your own: flake-ctl pull or flake-ctl load",
			}
		}
	}
	return nil
}

// ownFile is a file with content in the flake's own layer.
type ownFile struct {
	path string // canonical in the image
	data []byte
}

// accounts makes the caller's ids resolve inside: the image's passwd and group files with one line more, where they
// lack the id. They go to the flake's own layer.
func (c *Compiler) accounts(p *plan.Plan, view *rootfs.View) ([]ownFile, error) {
	if c.Caller.Root() || p.Range != nil || p.UID == 0 {
		return nil, nil
	}
	name := c.Caller.Name
	if name == "" || strings.ContainsAny(name, ":\n") {
		name = "user" + strconv.Itoa(c.Caller.UID)
	}
	home := c.Caller.Home
	if home == "" || strings.ContainsAny(home, ":\n") {
		home = "/"
	}
	ids := fmt.Sprintf("%d:%d", p.UID, p.GID)
	var out []ownFile
	for _, db := range []struct {
		path, line string
		known      func(b []byte) bool
	}{
		{"/etc/passwd", name + ":x:" + ids + "::" + home + ":/bin/sh\n", func(b []byte) bool {
			found, err := user.ParsePasswdFilter(bytes.NewReader(b), func(u user.User) bool { return u.Uid == int(p.UID) })
			return err == nil && len(found) > 0
		}},
		{"/etc/group", name + ":x:" + strconv.Itoa(int(p.GID)) + ":\n", func(b []byte) bool {
			found, err := user.ParseGroupFilter(bytes.NewReader(b), func(g user.Group) bool { return g.Gid == int(p.GID) })
			return err == nil && len(found) > 0
		}},
	} {
		b, err := view.ReadFile(db.path, maxPasswd)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, &AccountsError{db.path, err}
		}
		if db.known(b) {
			continue
		}
		target, err := view.Resolve(db.path)
		if err != nil {
			return nil, fmt.Errorf("find %s in the image: %w", db.path, err)
		}
		if len(b) > 0 && b[len(b)-1] != '\n' {
			b = append(b, '\n')
		}
		out = append(out, ownFile{target, append(b, db.line...)})
	}
	return out, nil
}

// writable are the directories that an app may write to whoever owns the image's files.
var writable = []string{"/tmp", "/var/tmp", "/run"}

// seeds begins the list of what the writable part gets before the overlay is mounted, with the directories that an
// ordinary user could not write to otherwise.
func (c *Compiler) seeds(p *plan.Plan, view caller.Image) (*caller.Seeds, error) {
	s := &caller.Seeds{Image: view, Single: p.User, Fixed: p.Range != nil}
	if !p.User {
		return s, nil
	}
	s.UID, s.GID = p.UID, p.GID
	dirs := writable
	if !p.ShareCwd && p.Cwd != "/" && !p.CwdVars {
		dirs = append(slices.Clone(writable), p.Cwd)
	}
	for _, dir := range dirs {
		if err := s.Dir(dir, plan.Node{Mode: 0o755, UID: p.UID, GID: p.GID}); err != nil {
			return nil, err
		}
	}
	for i, n := range s.Nodes { // root's store keeps what everybody may write to out of everybody's reach
		if n.Path == "tmp" || n.Path == "var/tmp" {
			s.Nodes[i].Mode = 0o1777
		}
	}
	return s, nil
}

// ownerOf is the owner of a file.
func ownerOf(st fs.FileInfo) (uid int, ok bool) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(sys.Uid), true
}

// writeOwnFiles fills placeholders that WriteLayer made below dir.
func writeOwnFiles(dir string, files []ownFile) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open own layer: %w", err)
	}
	defer root.Close()
	for _, f := range files {
		if err := root.WriteFile(strings.TrimPrefix(f.path, "/"), f.data, 0o644); err != nil {
			return fmt.Errorf("write own layer: %w", err)
		}
	}
	return nil
}

func ownPaths(files []ownFile) []string {
	var out []string
	for _, f := range files {
		out = append(out, f.path)
	}
	return out
}

// ownNodes are the placeholders for ownFiles.
func ownNodes(files []ownFile) []hostlink.Node {
	var out []hostlink.Node
	for _, f := range files {
		out = append(out, hostlink.Node{Path: f.path, Kind: hostlink.KindFile, Mode: 0o644})
	}
	return out
}
