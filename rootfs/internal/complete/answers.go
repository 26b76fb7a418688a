package complete

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/rootfs/unpack"
)

// The questions that settling a layer asks about those below.
const (
	askStat    = "stat"
	askResolve = "resolve"
	askOwner   = "owner"
)

// Answer is one thing that the layers below a layer say of a path. Times are
// not part of it: they alone make no other layer.
type Answer struct {
	Ask  string `json:"ask"`
	Path string `json:"path"`
	Told string `json:"told"`
}

func (v *view) note(ask, path, told string) {
	a := Answer{ask, path, told}
	if !v.asked[a] {
		v.asked[a] = true
		v.known = append(v.known, a)
	}
}

// Holds says whether a stack, bottom first, gives all these answers. Since each
// question follows from the layer and from the answers before it, the layer
// would be settled in the same way.
//
// Whoever was told them may have been another user (others): then modes and
// owners do not count, for what root sees of his layers nobody else does.
func Holds(known []Answer, parts []Part, others bool) (holds bool, err error) {
	if len(parts) == 0 {
		return len(known) == 0, nil
	}
	v, err := open(parts)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	for _, k := range known {
		told := v.ask(k)
		if others && k.Ask == askOwner {
			continue
		}
		if others && k.Ask == askStat {
			told, _, _ = strings.Cut(told, " ")
			k.Told, _, _ = strings.Cut(k.Told, " ")
		}
		if told != k.Told {
			return false, nil
		}
	}
	return len(known) > 0, nil
}

func (v *view) ask(a Answer) string {
	switch a.Ask {
	case askStat:
		return statAnswer(v.View.Lstat(a.Path))
	case askResolve:
		return resolveAnswer(v.View.Resolve(a.Path))
	case askOwner:
		return ownerAnswer(v.owner(a.Path))
	}
	return "not known"
}

func statAnswer(fi fs.FileInfo, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return "absent"
	case err != nil:
		return err.Error()
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return "no owner"
	}
	return fmt.Sprintf("%o %o %d:%d", st.Mode&unix.S_IFMT, st.Mode&0o7777, st.Uid, st.Gid)
}

func resolveAnswer(name string, err error) string {
	if err != nil {
		return "error " + err.Error()
	}
	return name
}

func ownerAnswer(o unpack.Owner, ok bool, err error) string {
	switch {
	case err != nil:
		return "error " + err.Error()
	case !ok:
		return "none"
	}
	return fmt.Sprintf("%o %d:%d", o.Mode, o.UID, o.GID)
}
