package lower

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runc/libcontainer/configs"
	"golang.org/x/sys/unix"

	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// attributes are the flags of mount(2) in the words of mount_setattr(2).
var attributes = []struct{ flag, attr int }{
	{unix.MS_RDONLY, unix.MOUNT_ATTR_RDONLY}, {unix.MS_NOSUID, unix.MOUNT_ATTR_NOSUID},
	{unix.MS_NODEV, unix.MOUNT_ATTR_NODEV}, {unix.MS_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
	{unix.MS_NOATIME, unix.MOUNT_ATTR_NOATIME}, {unix.MS_STRICTATIME, unix.MOUNT_ATTR_STRICTATIME},
	{unix.MS_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME}, {unix.MS_NOSYMFOLLOW, unix.MOUNT_ATTR_NOSYMFOLLOW},
	{unix.MS_RELATIME, 0}, {unix.MS_BIND, 0}, {unix.MS_REC, 0},
}

// system are the file systems that can be made. The targets of the first two must not lie behind a symlink: what
// looks for /proc must find the kernel's.
var system = map[string]bool{"proc": true, "sysfs": true, "tmpfs": false, "devpts": false, "mqueue": false}

func (l *lowering) mounts() error {
	for _, m := range l.in.Mounts {
		attrs, err := attrsOf(m)
		if err != nil {
			return err
		}
		if m.IsBind() {
			if err := l.bind(m, attrs); err != nil {
				return err
			}
			continue
		}
		strict, ok := system[m.Device]
		if !ok || m.RecAttr != nil || m.Extensions != 0 || len(m.PropagationFlags) > 0 {
			return &UnsupportedError{fmt.Sprintf("mount of %s on %s", m.Device, m.Destination)}
		}
		var flags uint32
		if !strict && !strings.HasPrefix(m.Destination, "/dev") {
			flags |= initproc.Follow
		}
		if l.opt.User && l.hosts(m.Device) {
			flags |= initproc.Host
		}
		l.Mount(m.Device, m.Source, m.Destination, l.options(m), attrs, flags)
	}
	l.left.Mounts = nil
	return nil
}

// hosts tells which file systems belong to a namespace that stays the host's: a user can't make them.
func (l *lowering) hosts(fs string) bool {
	return fs == "sysfs" && !l.separates(configs.NEWNET) || fs == "mqueue" && !l.separates(configs.NEWIPC)
}

func attrsOf(m *configs.Mount) (attrs uint32, err error) {
	rest := m.Flags
	for _, a := range attributes {
		if m.Flags&a.flag != 0 {
			attrs |= uint32(a.attr)
		}
		rest &^= a.flag
	}
	if rest != 0 || m.ClearedFlags != 0 || m.IDMapping != nil {
		return 0, &UnsupportedError{fmt.Sprintf("options of the mount on %s", m.Destination)}
	}
	if !path.IsAbs(m.Destination) {
		return 0, &UnsupportedError{fmt.Sprintf("mount point %q", m.Destination)}
	}
	return attrs, nil
}

func (l *lowering) bind(m *configs.Mount, attrs uint32) error {
	flags := uint32(initproc.Follow)
	if m.Flags&unix.MS_REC != 0 {
		flags |= initproc.Recursive
	}
	if r := m.RecAttr; r != nil {
		if r.Attr_clr != 0 || r.Propagation != 0 || r.Userns_fd != 0 || uint64(attrs)|r.Attr_set != r.Attr_set {
			return &UnsupportedError{fmt.Sprintf("options of the mount on %s", m.Destination)}
		}
		attrs |= uint32(r.Attr_set)
	} else if attrs != 0 && flags&initproc.Recursive != 0 {
		// libcontainer would set them on the topmost only.
		return &UnsupportedError{fmt.Sprintf("options of the topmost of several mounts on %s", m.Destination)}
	}
	if slices.ContainsFunc(m.PropagationFlags, func(f int) bool { return f&^unix.MS_REC != unix.MS_SLAVE }) || m.Extensions != 0 || m.Data != "" {
		return &UnsupportedError{fmt.Sprintf("options of the mount on %s", m.Destination)}
	}
	l.Bind(m.Source, m.Destination, attrs, flags)
	return nil
}

func (l *lowering) options(m *configs.Mount) string {
	if !l.opt.User {
		return m.Data
	}
	// With a single id the group of terminals has no number.
	list := slices.DeleteFunc(strings.Split(m.Data, ","), func(s string) bool { return strings.HasPrefix(s, "gid=") })
	return strings.Join(list, ",")
}
