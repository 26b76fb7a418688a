package launcher

import "golang.org/x/sys/unix"

// ForOwner runs make, whose files keep their owner's rights whatever the caller's umask is: what is made in a store we have
// to use ourselves. The app gets the umask as it was.
func ForOwner(make func() error) error {
	callers := unix.Umask(0)
	unix.Umask(callers &^ 0o700)
	defer unix.Umask(callers)
	return make()
}
