package rootfs

import "strings"

// archNames are spellings found in images made without Go.
var archNames = map[string]string{"x86_64": "amd64", "aarch64": "arm64", "i386": "386", "i686": "386", "armv7l": "arm"}

// runsOn lists, by machine, what else it executes.
var runsOn = map[string]string{"amd64": "386"}

// Runs says whether an image for this platform runs on a Linux machine of the
// given architecture (Go's names). What an image does not say is no obstacle.
func Runs(os, arch, machine string) bool {
	return (os == "" || strings.EqualFold(os, "linux")) && (IsArch(arch, machine) || IsArch(arch, runsOn[machine]))
}

// IsArch says whether an image's architecture is the wanted one, whichever way
// it is spelled. One that is not stated fits all.
func IsArch(arch, want string) bool {
	if name, ok := archNames[arch]; ok {
		arch = name
	}
	return arch == "" || want != "" && arch == want
}
