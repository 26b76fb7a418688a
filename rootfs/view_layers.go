package rootfs

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Entry is one entry of a merged directory with the layer that supplies it, an
// index into the list the view was made of.
type Entry struct {
	Info  fs.FileInfo
	Layer int
}

// Entries is [View.ReadDir] with the layers that the entries come from.
func (v *View) Entries(unsafePath string) (entries []Entry, err error) {
	err = v.at("readdir", unsafePath, true, func(at location) error {
		if at.name != "" {
			var st unix.Stat_t
			if _, err := v.statEntry(at, &st); err != nil {
				return err
			}
			return unix.ENOTDIR
		}
		entries, err = v.readDir(at.dir)
		return err
	})
	return entries, err
}

// Why a layer hides what lies below it.
const (
	HidesWhiteout = "whiteout"
	HidesOpaque   = "opaque directory"
	HidesFile     = "no directory"
)

// Sight is what one layer says about a path.
type Sight struct {
	Layer int
	// Info describes the entry; nil: the layer has none there.
	Info fs.FileInfo
	// Hides is one of Hides*, or "": by that, at the path At, the layer keeps
	// lower ones from showing at the path. An entry that is no directory does so
	// without being told here.
	Hides, At string
	// Hidden says that an upper layer does that to this one.
	Hidden bool
}

// Sights tells what each layer says about a path, the topmost first; layers that
// say nothing are left out. The path has to be canonical, see [View.Resolve].
func (v *View) Sights(unsafePath string) ([]Sight, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.root == nil {
		return nil, closed("look at", unsafePath)
	}
	names := strings.FieldsFunc(unsafePath, func(r rune) bool { return r == '/' })
	if slices.ContainsFunc(names, func(n string) bool { return n == "." || n == ".." }) {
		return nil, &fs.PathError{Op: "look at", Path: unsafePath, Err: unix.EINVAL}
	}
	var out []Sight
	hidden := false
	for i, f := range slices.Backward(v.roots) {
		s, err := sight(int(f.Fd()), names)
		if err != nil {
			return nil, &fs.PathError{Op: "look at", Path: unsafePath, Err: bare(err)}
		}
		s.Layer, s.Hidden = i, hidden
		if s.Info != nil || s.Hides != "" {
			out = append(out, s)
		}
		hidden = hidden || s.Hides != "" || s.Info != nil && !s.Info.IsDir()
	}
	return out, nil
}

// sight looks at one layer alone.
func sight(root int, names []string) (s Sight, err error) {
	at, open := root, -1
	defer func() {
		if open >= 0 {
			unix.Close(open)
		}
	}()
	if len(names) == 0 {
		fi := &fileInfo{name: "/"}
		return Sight{Info: fi}, unix.Fstat(root, &fi.st)
	}
	for n, name := range names {
		fi := &fileInfo{name: name}
		err := statAt(at, name, &fi.st)
		if errors.Is(err, unix.ENOENT) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		path := "/" + strings.Join(names[:n+1], "/")
		if isWhiteout(at, name, &fi.st) {
			s.Hides, s.At = HidesWhiteout, path
			return s, nil
		}
		last := n == len(names)-1
		if last {
			s.Info = fi
		}
		if !fi.IsDir() {
			if !last {
				s.Hides, s.At = HidesFile, path
			}
			return s, nil
		}
		sub, err := openSub(at, name)
		if err != nil {
			return s, err
		}
		if open >= 0 {
			unix.Close(open)
		}
		at, open = sub, sub
		if isOpaque(sub) {
			s.Hides, s.At = HidesOpaque, path
		}
	}
	return s, nil
}
