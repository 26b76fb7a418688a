package hostlink

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Drift is a file of a host layer that no longer looks as the host's file does.
type Drift struct {
	Path   string // in the app's root
	Source string // on the host; "" if it is gone
	What   string
}

// CheckLayer compares a host layer with the host: each file's size, mode and time of change with those of the file that
// it leads to in the data directories. Content needs no comparing, being the host's own.
func CheckLayer(dir string, data []string, trusted bool) ([]Drift, error) {
	attr := "user." + xattrRedirect
	if trusted {
		attr = "trusted." + xattrRedirect
	}
	var out []Drift
	buf := make([]byte, maxPath+1)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		n, err := unix.Lgetxattr(path, attr, buf)
		if errors.Is(err, unix.ENODATA) {
			return nil
		}
		if err != nil {
			return pathError("getxattr "+attr, path, err)
		}
		drift, err := compare(path, string(buf[:n]), data)
		if err == nil && drift.What != "" {
			drift.Path = path[len(dir):]
			out = append(out, drift)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("check host layer: %w", err)
	}
	return out, nil
}

func compare(path, redirect string, data []string) (Drift, error) {
	var shown, host unix.Stat_t
	if err := unix.Lstat(path, &shown); err != nil {
		return Drift{}, pathError("stat", path, err)
	}
	for _, dir := range data {
		source := dir + redirect
		if unix.Lstat(source, &host) != nil {
			continue
		}
		d := Drift{Source: source}
		switch {
		case host.Mode&unix.S_IFMT != unix.S_IFREG:
			d.What = "is no regular file any more"
		case host.Size != shown.Size:
			d.What = fmt.Sprintf("has %d bytes, the app is told %d", host.Size, shown.Size)
		case host.Mode&0o7777 != shown.Mode&0o7777:
			d.What = fmt.Sprintf("has mode %04o, the app is told %04o", host.Mode&0o7777, shown.Mode&0o7777)
		case host.Mtim != shown.Mtim:
			d.What = "was changed at another time than the app is told"
		}
		return d, nil
	}
	return Drift{What: "is gone"}, nil
}
