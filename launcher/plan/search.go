package plan

import (
	"fmt"
	"hash/fnv"
	"path/filepath"
	"slices"
	"strings"
)

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

// systemSettings is the administrator's file of settings.
const systemSettings = "/etc/flake-launcher/config.yaml"

// SettingsFiles are the files that settings are read from: the caller's own, which counts first, and the administrator's.
func SettingsFiles(getenv func(string) string) []string {
	config := getenv("XDG_CONFIG_HOME")
	if home := getenv("HOME"); config == "" && filepath.IsAbs(home) {
		config = filepath.Join(home, ".config")
	}
	if !filepath.IsAbs(config) {
		return []string{systemSettings}
	}
	return []string{filepath.Join(config, "flake-launcher", "config.yaml"), systemSettings}
}

// suffix ends the names of the plan files of registered flakes.
const suffix = ".plan"

// FileName is the name of the plan file, below the store's plans directory, of a registered flake for callers with that
// HOME: what a plan shares depends on it, and callers of one store may have several (root by sudo and by a service).
func FileName(flake, home string) string { return flake + "." + HomeKey(home) + suffix }

// AdHocName is the name of the plan file of a start that nothing registers, by the words that its plan is compiled by. What
// else a plan is for it says itself (Plan.Words).
func AdHocName(words []string, home string) string {
	h := fnv.New128a()
	for _, w := range append(slices.Clip(words), HomeKey(home)) {
		_, _ = h.Write(append([]byte(w), 0))
	}
	return fmt.Sprintf("run-%x.adhoc", h.Sum(nil))
}

// FlakeOf is the flake whose plan a file of that name is, if it is one of a registered flake.
func FlakeOf(fileName string) (flake string, ok bool) {
	rest, ok := strings.CutSuffix(fileName, suffix)
	n := len(rest) - len(HomeKey("")) - 1
	if !ok || n <= 0 || rest[n] != '.' {
		return "", false
	}
	return rest[:n], true
}

// HomeKey is a short name for a home directory.
func HomeKey(home string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(home))
	return fmt.Sprintf("%08x", h.Sum32())
}
