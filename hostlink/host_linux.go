package hostlink

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Host is the host, or a directory that stands for one, as everybody sees it who works on one plan: what a directory is
// stays as at the first look. It is for one goroutine at a time.
type Host struct {
	root string          // absolute, free of symlinks
	dirs map[string]look // manifests name many files of few directories
}

// look is what a directory was before anything in it was looked up.
type look struct {
	stat

	dev, ino uint64
	racy     bool
}

// Watched is the fingerprint of a directory of the host, taken before anything in it was looked up.
type Watched struct {
	Path     string
	Dev, Ino uint64
	Mtime    unix.Timespec
	// Racy says that the directory had changed so shortly before that another change may not show: see decisions/0007.
	Racy bool
}

// OpenHost begins to look at a host; an empty root is "/".
func OpenHost(root string) (*Host, error) {
	if root == "" {
		root = "/"
	}
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	abs, err = filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, err
	}
	h := &Host{root: abs, dirs: make(map[string]look)}
	_, err = h.Lstat("")
	return h, err
}

// host is the one that a request is about.
func (r *Request) host() (*Host, error) {
	if r.Host != nil {
		return r.Host, nil
	}
	return OpenHost(r.HostRoot)
}

// Root is an absolute path without symlinks.
func (h *Host) Root() string { return h.root }

// Lstat is that of a canonical path below the root, with or without a leading slash.
func (h *Host) Lstat(path string) (fs.FileInfo, error) {
	path = strings.TrimPrefix(path, "/")
	fi, err := os.Lstat(h.abs(path))
	if err == nil && fi.IsDir() {
		h.note(path, fi)
	}
	return fi, err
}

func (h *Host) note(path string, fi fs.FileInfo) {
	if _, ok := h.dirs[path]; ok {
		return
	}
	l := look{stat: statOf(fi)}
	if sys, ok := fi.Sys().(*syscall.Stat_t); ok {
		l.dev, l.ino = sys.Dev, sys.Ino
	}
	l.racy = racyNow(l.mtime)
	h.dirs[path] = l
}

// watched is the fingerprint of a directory that was looked at.
func (h *Host) watched(path string) Watched {
	l := h.dirs[path]
	return Watched{Path: h.abs(path), Dev: l.dev, Ino: l.ino, Mtime: l.mtime, Racy: l.racy}
}

func (h *Host) abs(path string) string {
	if h.root == "/" {
		return "/" + path
	}
	return strings.TrimSuffix(h.root+"/"+path, "/")
}

func (h *Host) lstat(path string) (stat, error) {
	if l, ok := h.dirs[path]; ok {
		return l.stat, nil
	}
	fi, err := h.Lstat(path)
	if err != nil {
		if missing(err) {
			return stat{}, nil
		}
		return stat{}, err
	}
	return statOf(fi), nil
}

// public says whether every user of the host can read what lies there; of symlinks and directories, whether he can
// reach it. Access control lists don't count.
func (h *Host) public(p place) bool {
	for _, dir := range parents(p.path) {
		if st, err := h.lstat(dir); err != nil || st.mode&0o001 == 0 {
			return false
		}
	}
	return p.st.kind == KindSymlink || p.st.kind == KindDir || p.st.mode&0o004 != 0
}

func (h *Host) readlink(path string) (string, error) { return os.Readlink(h.abs(path)) }

// racyNow is racy at this moment.
func racyNow(mtime unix.Timespec) bool {
	var tick unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &tick); err != nil {
		return true
	}
	return racy(mtime, tick, time.Now())
}

// racy says whether a change that comes now may leave the time of the one before: file systems take the time of the
// kernel's last tick, some only its second. A time yet to come is no change's of now: such clocks were wrong once.
func racy(mtime, tick unix.Timespec, now time.Time) bool {
	at := time.Unix(mtime.Unix())
	if at.After(now) {
		return false
	}
	if mtime.Nsec == 0 {
		return mtime.Sec >= tick.Sec
	}
	return !at.Before(time.Unix(tick.Unix()))
}
