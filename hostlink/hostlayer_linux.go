package hostlink

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// HostLayer is the strategy for many host files: a layer with names and metadata alone, in which each file leads to its
// content in a data directory of the host. See decisions/0004-host-layer.md.
type HostLayer struct {
	Nodes []Node   // for [WriteLayer]: KindMeta and the directories above
	Data  []string // directories of the host, in the order of overlayfs' data layers
	// Files are the entries of the layer as links, Target by Target.
	Files []Link
}

// LayerOptions say what may go into a host layer. The zero value puts nothing into it.
type LayerOptions struct {
	// Data are directories of the host that can be data layers: "/usr".
	Data []string
	// Min is how many files make the layer worth its mount.
	Min int
	// Edited says whether a host file is usually changed in place, so that a snapshot of its size would be wrong: it is
	// bound. It may be asked by several goroutines at a time. nil: none is.
	Edited func(path string) bool
	// Trusted writes overlayfs' attributes in root's name space.
	Trusted bool
}

// Reasons why a file is bound although there is a host layer, for reports.
const (
	BoundElsewhere = "not below a directory that can be a data layer"
	BoundEdited    = "usually edited in place"
	BoundMount     = "on another mount"
	BoundRights    = "setuid, setgid or has attributes of its own"
	BoundAmbiguous = "another data directory has a file of that name"
	BoundFew       = "too few files for a host layer"
	BoundKind      = "no regular file"
)

// Split divides the links of a plan into a host layer and such as have to be bound, and tells for these why. Without a
// layer all are bound. The plan is not changed.
func Split(p *Plan, opt LayerOptions) (layer *HostLayer, binds []Link, why map[string]string) {
	why = make(map[string]string)
	s := newSplitter(opt)
	var files []Link
	var nodes []Node
	for i, m := range s.all(p.Links) {
		l := p.Links[i]
		if m.reason != "" {
			binds = append(binds, l)
			why[l.Target] = m.reason
			continue
		}
		m.dir.used = true
		files, nodes = append(files, l), append(nodes, m.node)
	}
	if len(files) < max(opt.Min, 1) {
		for _, l := range files {
			why[l.Target] = BoundFew
		}
		return nil, slices.Clone(p.Links), why
	}
	h := &HostLayer{Files: files}
	for _, n := range p.Nodes {
		if n.Kind == KindDir {
			h.Nodes = append(h.Nodes, n) // on top, it has to say the same of them
		}
	}
	h.Nodes = append(h.Nodes, nodes...)
	for _, d := range s.data {
		if d.used {
			h.Data = append(h.Data, d.path)
		}
	}
	return h, binds, why
}

type dataDir struct {
	path string
	dev  uint64
	used bool
}

type splitter struct {
	opt  LayerOptions
	data []*dataDir
}

func newSplitter(opt LayerOptions) *splitter {
	s := &splitter{opt: opt}
	for _, d := range opt.Data {
		var st unix.Stat_t
		real, err := filepath.EvalSymlinks(d)
		if err == nil && unix.Lstat(real, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
			s.data = append(s.data, &dataDir{path: real, dev: st.Dev})
		}
	}
	return s
}

// meta is a link as an entry of the layer, with the data directory that has its content, or why it has to be bound.
type meta struct {
	node   Node
	dir    *dataDir
	reason string
}

// all describes the links, several of them at a time.
func (s *splitter) all(links []Link) []meta {
	out := make([]meta, len(links))
	const portion = 256
	todo := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), 1+len(links)/portion) {
		workers.Go(func() {
			for from := range todo {
				for i := from; i < min(from+portion, len(links)); i++ {
					out[i] = s.meta(links[i])
				}
			}
		})
	}
	for from := 0; from < len(links); from += portion {
		todo <- from
	}
	close(todo)
	workers.Wait()
	return out
}

func (s *splitter) meta(l Link) meta {
	if l.Kind != KindFile {
		return meta{reason: BoundKind}
	}
	var dir *dataDir
	for _, d := range s.data {
		if strings.HasPrefix(l.Source, d.path+"/") {
			dir = d
		}
	}
	if dir == nil {
		return meta{reason: BoundElsewhere}
	}
	if s.opt.Edited != nil && s.opt.Edited(l.Source) {
		return meta{reason: BoundEdited}
	}
	var st unix.Stat_t
	if err := unix.Lstat(l.Source, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return meta{reason: BoundKind}
	}
	if st.Dev != dir.dev {
		return meta{reason: BoundMount}
	}
	if st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 || hasAttributes(l.Source) {
		return meta{reason: BoundRights}
	}
	redirect := strings.TrimPrefix(l.Source, dir.path)
	for _, d := range s.data {
		if d != dir && unix.Access(d.path+redirect, unix.F_OK) == nil {
			return meta{reason: BoundAmbiguous}
		}
	}
	return meta{dir: dir, node: Node{
		Path: l.Target, Kind: KindMeta, Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid), Target: redirect,
		Size: st.Size, Mtime: st.Mtim, Trusted: s.opt.Trusted, HostID: [2]uint64{st.Dev, st.Ino}, Names: uint64(st.Nlink), // uint32 on arm64
	}}
}

// hasAttributes says whether a file has extended attributes that matter to a program: capabilities, ACLs, users' own.
func hasAttributes(path string) bool {
	buf := make([]byte, 1024)
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, unix.ERANGE) {
		return true
	}
	if err != nil || n == 0 {
		return false
	}
	for _, name := range strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if name != "security.selinux" && name != "security.ima" && name != "security.evm" {
			return true
		}
	}
	return false
}

// Attributes of overlayfs on a file that has its content in a data layer, behind "user." or "trusted.".
const (
	xattrMetacopy = "overlay.metacopy"
	xattrRedirect = "overlay.redirect"
)

// makeMeta makes a file that has its content elsewhere: its size is that of the content, and none of it is there.
func makeMeta(at *os.File, name string, n Node, chown bool) (err error) {
	f, err := createat(at, name, n.Mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.finish(name)) }()
	fd := int(f)
	if err := unix.Ftruncate(fd, n.Size); err != nil {
		return pathError("truncate", name, err)
	}
	space := "user."
	if n.Trusted {
		space = "trusted."
	}
	for _, x := range []struct{ name, value string }{{xattrMetacopy, ""}, {xattrRedirect, n.Target}} {
		if err := unix.Fsetxattr(fd, space+x.name, []byte(x.value), 0); err != nil {
			return pathError("setxattr "+space+x.name, name, err)
		}
	}
	if chown && (n.UID != 0 || n.GID != 0) {
		if err := f.chown(name, n.UID, n.GID); err != nil {
			return err
		}
	}
	if err := f.chmod(name, n.Mode); err != nil {
		return err
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, n.Mtime}
	return pathError("utimes", name, unix.UtimesNanoAt(int(at.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW))
}
