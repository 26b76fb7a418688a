package overlay

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// linksName is where the host layer is mounted, below the writable part.
const linksName = "links"

// OpenHostLayer opens and locks the layer, and opens the host's directories of content behind it.
func OpenHostLayer(dir string, data []string) (_ []*os.File, err error) {
	files, err := OpenLayers([]string{dir})
	if err != nil {
		return nil, err
	}
	for _, d := range data {
		f, err := openDir(d, unix.O_PATH)
		if err != nil {
			closeAll(files)
			return nil, &LayerError{Dir: d, Err: errors.Unwrap(err)}
		}
		files = append(files, f)
	}
	return files, nil
}

// hostLayer mounts the host's files as an overlay of their own: redirects, which it follows, must not be followed in an
// overlay that holds layers of images. It needs Linux 6.7 (datadir+), and 6.16 where it is not Trusted.
func (s *scratch) hostLayer(h *HostLayer) (*os.File, error) {
	files, err := OpenHostLayer(h.Dir, h.Data)
	if err != nil {
		return nil, err
	}
	defer closeAll(files)
	ctx, err := fsopen("overlay")
	if err != nil {
		return nil, err
	}
	defer ctx.close()
	if err := ctx.set("source", "overlay"); err != nil {
		return nil, err
	}
	if h.Trusted {
		for _, key := range []string{"metacopy", "redirect_dir"} {
			if err := ctx.set(key, "on"); err != nil {
				return nil, err
			}
		}
	} else if err := ctx.flag("userxattr"); err != nil {
		return nil, err
	}
	key := "lowerdir+"
	for _, f := range files {
		if err := ctx.set(key, fdPath(f)); err != nil {
			return nil, err
		}
		key = "datadir+"
	}
	mnt, err := ctx.mount(unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID)
	if err != nil {
		return nil, err
	}
	point, _, err := makeDir(s.dir, linksName, 0o700)
	if err == nil {
		err = attach(mnt, point)
		point.Close()
	}
	if err != nil {
		mnt.Close()
		return nil, err
	}
	return mnt, nil
}
