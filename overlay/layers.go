package overlay

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// OpenLayers opens and locks every layer, in the order given; errors are *LayerError. The caller closes the files when
// the app has ended: a collector takes the exclusive lock before it removes a layer.
func OpenLayers(dirs []string) (_ []*os.File, err error) {
	var files []*os.File
	defer func() {
		if err != nil {
			closeAll(files)
		}
	}()
	for _, dir := range dirs {
		f, err := openLayer(dir)
		if err != nil {
			return nil, &LayerError{Dir: dir, Err: err}
		}
		files = append(files, f)
	}
	return files, nil
}

func openLayer(dir string) (_ *os.File, err error) {
	f, err := openDir(dir, unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return nil, ErrLayerGone
	} else if err != nil {
		return nil, errors.Unwrap(err)
	}
	err = retry(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) })
	// Somebody who holds the exclusive lock is about to remove the layer, or wants to keep others from starting: root's
	// layers can be opened by everybody. Still in its place it can be used, as what is open outlives a removal.
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = nil
	}
	// A collector may have taken the layer away between our open and our lock.
	if err == nil && !stillNamed(f, dir) {
		err = ErrLayerGone
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func stillNamed(f *os.File, path string) bool {
	var held, named unix.Stat_t
	return unix.Fstat(int(f.Fd()), &held) == nil && unix.Stat(path, &named) == nil &&
		held.Dev == named.Dev && held.Ino == named.Ino
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
