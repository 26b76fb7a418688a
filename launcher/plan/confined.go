package plan

import (
	"os"

	"golang.org/x/sys/unix"
)

// Confined says that the caller is root and may not mount all the same, as inside of a flake: he needs a user
// namespace like anybody else. Plans are for one of the two kinds of root.
func Confined() bool {
	if os.Geteuid() != 0 {
		return false
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0
}
