package compile

import (
	"io/fs"
	"syscall"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// restored is the view of the images with the directories of the flake's own layer over it, as a start sees them.
type restored struct {
	*rootfs.View
	nodes []hostlink.Node
}

// Lstat is View.Lstat, but for mode and owner of a directory that the own layer has, too.
func (r *restored) Lstat(path string) (fs.FileInfo, error) {
	fi, err := r.View.Lstat(path)
	if err != nil || !fi.IsDir() {
		return fi, err
	}
	for _, n := range r.nodes {
		if n.Kind == hostlink.KindDir && n.Path == path {
			return dirInfo{fi, syscall.Stat_t{Mode: syscall.S_IFDIR | n.Mode, Uid: uint32(n.UID), Gid: uint32(n.GID)}}, nil
		}
	}
	return fi, nil
}

type dirInfo struct {
	fs.FileInfo
	st syscall.Stat_t
}

func (d dirInfo) Sys() any { return &d.st }
