package compile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/hostlink/elflink"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Own layers keep what the image's directories have of attributes.
var _ hostlink.XattrImage = (*rootfs.View)(nil)

// mountPoints are directories that every container has; missing ones come with the flake's own layer, since
// the root may be mounted read-only.
var mountPoints = []hostlink.Node{
	{Path: "/proc", Kind: hostlink.KindDir, Mode: 0o555},
	{Path: "/sys", Kind: hostlink.KindDir, Mode: 0o555},
	{Path: "/dev", Kind: hostlink.KindDir, Mode: 0o755},
	{Path: "/run", Kind: hostlink.KindDir, Mode: 0o755},
	{Path: "/tmp", Kind: hostlink.KindDir, Mode: 0o1777},
	{Path: "/var/tmp", Kind: hostlink.KindDir, Mode: 0o1777},
}

// HostReport is what came of the removed manifests, for explain and for the registration's words.
type HostReport struct {
	Linked   []hostlink.Linked
	Skipped  []hostlink.Skip
	Dangling []hostlink.Dangling
	Replaced []hostlink.Replaced
	// Unreadable are linked files of the host that the caller may not read: the app could not either.
	Unreadable []string
	// Bound says why a file has a mount of its own, by its place; NoLayer why there is no host layer though there were
	// files for it.
	Bound   map[string]string
	NoLayer string
	// Libraries is what came of the needs of host packages.
	Libraries elflink.Report
}

// hostFiles is what the host supplies to one plan.
type hostFiles struct {
	nodes  []hostlink.Node
	checks []plan.Check
	report HostReport
	// resolved is what came of the manifests; place divides it.
	resolved *hostlink.Plan
	packages *packages
}

// source returns the host file that a link puts at target, or "".
func (h *hostFiles) source(view *rootfs.View, target string) string {
	canonical, err := view.Resolve(target)
	if err != nil {
		return ""
	}
	if h.resolved == nil {
		return ""
	}
	for _, l := range h.resolved.Links {
		if l.Target == canonical {
			return l.Source
		}
	}
	for _, n := range h.resolved.Nodes {
		if n.Path == canonical && n.Kind == hostlink.KindSymlink {
			return canonical
		}
	}
	return ""
}

// notReplaced leaves out directories in whose place, or in that of one of their parents, the host has something else.
func (h *hostFiles) notReplaced(dirs []hostlink.Node) []hostlink.Node {
	if h.resolved == nil {
		return dirs
	}
	other := map[string]bool{}
	for _, n := range h.resolved.Nodes {
		other[n.Path] = n.Kind != hostlink.KindDir
	}
	return slices.DeleteFunc(dirs, func(n hostlink.Node) bool {
		for path := n.Path; path != "/"; path = filepath.Dir(path) {
			if other[path] {
				return true
			}
		}
		return false
	})
}

// host finds out what the images and the flake want of the host, and resolves it.
func (c *Compiler) host(ctx context.Context, req Request, images []rootfs.Stored, view *rootfs.View) (*hostFiles, error) {
	out := &hostFiles{nodes: hostlink.HideManifests(view), packages: &packages{root: c.HostRoot}}
	sources, skipped, err := c.sources(ctx, out, req, images)
	if err != nil {
		return nil, err
	}
	if len(sources)+len(skipped) > 0 {
		if err := c.resolve(out, req, images, sources, view); err != nil {
			return nil, err
		}
		out.report.Skipped = append(out.report.Skipped, skipped...)
	}
	for _, n := range mountPoints {
		_, err := view.Lstat(n.Path)
		if !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if n.Path, err = view.Resolve(n.Path); err != nil {
			return nil, fmt.Errorf("find mount point in the image: %w", err)
		}
		out.nodes = append(out.nodes, n)
	}
	return out, nil
}

func unreadable(linked []hostlink.Linked) []string {
	var out []string
	for _, l := range linked {
		err := unix.Faccessat(unix.AT_FDCWD, l.Source, unix.R_OK, unix.AT_EACCESS)
		if l.Kind != hostlink.KindSymlink && errors.Is(err, fs.ErrPermission) {
			out = append(out, l.Source)
		}
	}
	return out
}

// dropOwnLinks takes away symlinks of the host that start flakes: inside they would lead nowhere, and hide the
// image's own program of that name.
func (c *Compiler) dropOwnLinks(res *hostlink.Plan) {
	if c.Launcher == "" {
		return
	}
	ours := map[string]bool{}
	res.Nodes = slices.DeleteFunc(res.Nodes, func(n hostlink.Node) bool {
		ours[n.Path] = n.Kind == hostlink.KindSymlink && n.Target == c.Launcher
		return ours[n.Path]
	})
	res.Linked = slices.DeleteFunc(res.Linked, func(l hostlink.Linked) bool {
		if ours[l.Target] {
			res.Skipped = append(res.Skipped, hostlink.Skip{
				Path: l.Path, Origin: l.Origin, Line: l.Line, Cause: hostlink.CauseProvided, Reason: "a link of a flake on this host",
			})
		}
		return ours[l.Target]
	})
}

func planLink(l hostlink.Link) plan.Link {
	return plan.Link{Source: l.Source, Target: l.Target, Kind: string(l.Kind)}
}

// ownLayer writes the flake's own layer, with what the launcher itself adds to the images. It returns "" when nothing is
// needed.
func (c *Compiler) ownLayer(nodes []hostlink.Node, files []ownFile, layers []string, view *rootfs.View) (string, error) {
	nodes = append(nodes, ownNodes(files)...)
	if len(nodes) == 0 {
		return "", nil
	}
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%q\n", f.data)
	}
	return c.derivedLayer(h, nodes, layers, view, func(dir string) error { return writeOwnFiles(dir, files) })
}

// derivedLayer writes nodes over view as a layer below the store's host layers, named by its content so that plans with
// the same needs share it. h holds what there is beside the nodes.
func (c *Compiler) derivedLayer(h hash.Hash, nodes []hostlink.Node, layers []string, view *rootfs.View, more func(dir string) error) (string, error) {
	for _, d := range layers {
		fmt.Fprintf(h, "%q\n", d)
	}
	var key []byte
	for _, n := range nodes {
		key = nodeKey(key[:0], n)
		h.Write(key)
	}
	dir := filepath.Join(c.Store.HostLayersDir(), hex.EncodeToString(h.Sum(nil))[:32])
	if _, err := os.Lstat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("make directory of own layers: %w", err)
	}
	tmp, err := c.Store.Temp("own")
	if err != nil {
		return "", err
	}
	defer tmp.Close()
	built := filepath.Join(tmp.Dir(), "layer")
	if err := os.Mkdir(built, 0o755); err != nil {
		return "", fmt.Errorf("make own layer: %w", err)
	}
	if err := hostlink.WriteLayer(built, nodes, view); err != nil {
		return "", fmt.Errorf("write own layer: %w", err)
	}
	if err := more(built); err != nil {
		return "", err
	}
	if err := commitOwnLayer(built, dir); err != nil {
		return "", fmt.Errorf("commit own layer: %w", err)
	}
	return dir, nil
}

// nodeKey tells a node from every other: there are thousands, for which fmt takes as long as the host's files themselves.
func nodeKey(key []byte, n hostlink.Node) []byte {
	for _, text := range []string{n.Path, string(n.Kind), n.Target, strconv.FormatBool(n.Trusted)} {
		key = strconv.AppendQuote(key, text)
	}
	for _, number := range []int64{
		int64(n.Mode), int64(n.UID), int64(n.GID), n.Mtime.Sec, n.Mtime.Nsec, n.Size, int64(n.HostID[0]), int64(n.HostID[1]), int64(n.Names),
	} {
		key = append(strconv.AppendInt(key, number, 10), ' ')
	}
	return append(key, '\n')
}

// commitOwnLayer moves the layer to its place. Its root may be one that its owner can't write to, and such a directory
// only root can give another parent: its mode is put back there.
func commitOwnLayer(built, dir string) error {
	st, err := os.Stat(built)
	if err != nil {
		return err
	}
	if err := os.Chmod(built, st.Mode()|0o700); err != nil {
		return err
	}
	err = os.Rename(built, dir)
	if errors.Is(err, fs.ErrExist) {
		return nil // another compiler was faster: its layer is the same
	}
	if err != nil {
		return err
	}
	return os.Chmod(dir, st.Mode())
}
