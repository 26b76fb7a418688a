package launcher

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ownNames are what the binary is called when it is no flake.
var ownNames = map[string]bool{"": true, ".": true, "/": true, "flake-launcher": true}

// names are the flake names a start may mean, the likeliest first: the base name of argv[0], without the dash
// that login(1) and sh put before it, then the name of the file that was executed. The second one saves
// `exec -a other aws` and an empty argv.
func names(argv0 string, executed func() string) []string {
	var out []string
	add := func(path string) {
		name := filepath.Base(path)
		if !ownNames[name] && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	base := filepath.Base(argv0)
	add(base)
	if login, ok := strings.CutPrefix(base, "-"); ok {
		add(login)
	}
	add(executed())
	return out
}

const atExecFn = 31 // AT_EXECFN of <linux/auxvec.h>

// executedFile is the path this process was executed by, a symlink not resolved, from the kernel's auxiliary
// vector; "" when it can't be had.
func executedFile() string {
	auxv, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return ""
	}
	for ; len(auxv) >= 16; auxv = auxv[16:] {
		if binary.NativeEndian.Uint64(auxv) != atExecFn {
			continue
		}
		mem, err := os.Open("/proc/self/mem")
		if err != nil {
			return ""
		}
		defer mem.Close()
		buf := make([]byte, 4096)
		n, _ := mem.ReadAt(buf, int64(binary.NativeEndian.Uint64(auxv[8:])))
		if end := bytes.IndexByte(buf[:n], 0); end >= 0 {
			return string(buf[:end])
		}
	}
	return ""
}
