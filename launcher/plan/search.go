package plan

import "path/filepath"

// Where registrations are read from besides the caller's own directory. VendorDir is flake-pilot's too.
const (
	SystemDir = "/etc/flakes"
	VendorDir = "/usr/share/flakes"
)

// SearchDirs are the registration directories in the order they are searched. FLAKES_ROOT, which puts
// everything below one directory, has its own and no other.
func SearchDirs(getenv func(string) string) []string {
	if root := getenv("FLAKES_ROOT"); root != "" {
		return []string{filepath.Join(root, "registrations")}
	}
	var dirs []string
	if d := UserDir(getenv); d != "" {
		dirs = append(dirs, d)
	}
	return append(dirs, SystemDir, VendorDir)
}

// UserDir is the caller's own directory of registrations, "" without a usable HOME.
func UserDir(getenv func(string) string) string {
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return ""
	}
	return filepath.Join(home, ".config", "flakes")
}

// Suffix ends the names of the plan files of registered flakes.
const Suffix = ".plan"

// FileName is the name of the plan file, below the store's plans directory, of a registered flake.
func FileName(flake string) string { return flake + Suffix }
