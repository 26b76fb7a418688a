package hostlink

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// fill makes what the directories hold, several of them at a time: a layer of thousands of files is nothing but waiting
// for the kernel.
func (w *layerWriter) fill() error {
	todo := make(chan string)
	var workers sync.WaitGroup
	failed := make([]error, min(runtime.GOMAXPROCS(0), len(w.holds)))
	for i := range failed {
		workers.Go(func() {
			for dir := range todo {
				if failed[i] == nil {
					failed[i] = w.fillDir(dir)
				}
			}
		})
	}
	for dir := range w.holds {
		todo <- dir
	}
	close(todo)
	workers.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	for _, n := range w.again {
		if err := w.link(n); err != nil {
			return fmt.Errorf("write layer entry %q: %w", n.Path, err)
		}
	}
	return nil
}

func (w *layerWriter) fillDir(dir string) error {
	at, err := openBelow(w.root, dir)
	if err != nil {
		return fmt.Errorf("write layer directory %q: %w", "/"+dir, err)
	}
	defer func() { _ = at.Close() }() // O_PATH: nothing to lose
	for _, n := range w.holds[dir] {
		if err := makeNode(at, base(n.Path), n, w.chown); err != nil {
			return fmt.Errorf("write layer entry %q: %w", n.Path, err)
		}
	}
	return nil
}

// link gives a file a further name.
func (w *layerWriter) link(n Node) error {
	at, err := openBelow(w.root, parent(n.Path))
	if err != nil {
		return err
	}
	defer func() { _ = at.Close() }() // O_PATH: nothing to lose
	return linkat(w.root, w.first[n.HostID], at, base(n.Path))
}

// makeNode makes anything but a directory.
func makeNode(at *os.File, name string, n Node, chown bool) error {
	switch n.Kind {
	case KindWhiteout:
		// Since kernel 5.8 anybody may make this one device.
		return mknodat(at, name, unix.S_IFCHR, 0)
	case KindSymlink:
		if err := symlinkat(n.Target, at, name); err != nil {
			return err
		}
		if chown {
			if err := lchownat(at, name, n.UID, n.GID); err != nil {
				return err
			}
		}
		if n.Mtime == (unix.Timespec{}) {
			return nil
		}
		times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, n.Mtime}
		return pathError("utimes", name, unix.UtimesNanoAt(int(at.Fd()), name, times, unix.AT_SYMLINK_NOFOLLOW))
	case KindFile:
		return makeFile(at, name, n, chown)
	case KindMeta:
		return makeMeta(at, name, n, chown)
	}
	return fmt.Errorf("a %s can't be part of a layer", n.Kind)
}

func makeFile(at *os.File, name string, n Node, chown bool) (err error) {
	fd, err := createat(at, name, n.Mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fd.finish(name)) }()
	if chown {
		if err := fd.chown(name, n.UID, n.GID); err != nil {
			return err
		}
	}
	return fd.chmod(name, n.Mode)
}
