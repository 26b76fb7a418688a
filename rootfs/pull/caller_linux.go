package pull

import (
	"os"
	"path/filepath"

	"go.podman.io/image/v5/types"
	"golang.org/x/sys/unix"
)

// adapt keeps the library from failing where a login session would have made
// things ready. XDG_RUNTIME_DIR may be missing, or be another user's after su:
// then the library's own default without the variable counts. The file of short names,
// which it locks before it reads, may lie in a home that cannot be written.
func adapt(sys *types.SystemContext, tmp string) {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); sys.AuthFilePath == "" && dir != "" && unix.Access(dir, unix.X_OK) != nil {
		_ = os.Unsetenv("XDG_RUNTIME_DIR")
	}
	if sys.UserShortNameAliasConfPath != "" || os.Geteuid() == 0 {
		return
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	const aliases = "containers/short-name-aliases.conf"
	if filepath.IsAbs(cache) && writable(filepath.Join(cache, filepath.Dir(aliases))) {
		return
	}
	own := filepath.Join(tmp, "aliases.conf")
	if b, err := os.ReadFile(filepath.Join(cache, aliases)); err == nil {
		_ = os.WriteFile(own, b, 0o600)
	}
	sys.UserShortNameAliasConfPath = own
}

// writable says that files can be made in a directory, or that it can be made.
func writable(dir string) bool {
	for {
		err := unix.Access(dir, unix.W_OK|unix.X_OK)
		if err == nil {
			return true
		}
		if err != unix.ENOENT || dir == "/" {
			return false
		}
		dir = filepath.Dir(dir)
	}
}
