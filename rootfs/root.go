package rootfs

import (
	"errors"
	"fmt"
	"path/filepath"
)

const (
	envRoot     = "FLAKES_ROOT"
	envXDGData  = "XDG_DATA_HOME" // XDG Base Directory: relative values are ignored
	systemRoot  = "/var/lib/flakes"
	userDirName = "flakes"
)

// DefaultRoot says where the caller's store is: $FLAKES_ROOT whoever calls,
// else /var/lib/flakes for root, else $XDG_DATA_HOME/flakes, else
// ~/.local/share/flakes. It touches no file. FLAKES_ROOT must be absolute: a
// registration made below one working directory would otherwise look for its
// image below another.
func DefaultRoot(getenv func(string) string, euid int) (string, error) {
	if r := getenv(envRoot); r != "" {
		if !filepath.IsAbs(r) {
			return "", fmt.Errorf("find store: %s=%q is not an absolute path", envRoot, r)
		}
		return filepath.Clean(r), nil
	}
	if euid == 0 {
		return systemRoot, nil
	}
	if d := getenv(envXDGData); filepath.IsAbs(d) {
		return filepath.Join(d, userDirName), nil
	}
	if h := getenv("HOME"); filepath.IsAbs(h) {
		return filepath.Join(h, ".local", "share", userDirName), nil
	}
	return "", errors.New("find store: none of FLAKES_ROOT, XDG_DATA_HOME and HOME is set to an absolute path")
}
