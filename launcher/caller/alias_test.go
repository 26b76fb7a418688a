package caller

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Directories of the host with more names than one: /mnt/u is the home, /mnt/c its .config, /sysroot the root.
func TestAliases(t *testing.T) {
	ours := []string{"/home/u/.config/flakes", "/home/u/.local/share/flakes"}
	same := map[string]string{
		"/mnt/u": "/home/u", "/mnt/u/.config": "/home/u/.config", "/mnt/u/.config/flakes": ours[0], "/mnt/u/work": "/home/u/work",
		"/mnt/c": "/home/u/.config", "/mnt/c/flakes": ours[0], "/sysroot": "/", "/sysroot/home": "/home", "/sysroot/home/u": "/home/u",
	}
	names := []string{}
	identity := func(path string) (fileID, bool) {
		if path == "/gone" {
			return fileID{}, false
		}
		if name, ok := same[path]; ok {
			path = name
		}
		if !slices.Contains(names, path) {
			names = append(names, path)
		}
		return fileID{1, uint64(1 + slices.Index(names, path))}, true
	}
	in := func(root string) []string { return []string{root + "/.config/flakes", root + "/.local/share/flakes"} }
	for source, want := range map[string][]string{
		"/home/u":               nil,
		"/srv":                  nil,
		"/gone":                 nil,
		"/mnt/u":                in("/mnt/u"),
		"/mnt/u/work":           in("/mnt/u"),
		"/mnt/u/.config/flakes": in("/mnt/u"),
		"/mnt/c":                {"/mnt/c/flakes"},
		"/mnt/c/flakes":         {"/mnt/c/flakes"},
		"/sysroot/home/u":       in("/sysroot/home/u"),
		"/sysroot":              in("/sysroot/home/u"),
	} {
		got := aliases(ours, []Bind{{Source: source, Target: source}}, "/", identity)
		if d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.SortSlices(func(a, b string) bool { return a < b })); d != "" {
			t.Errorf("%s: %s", source, d)
		}
		if got := aliases(ours, []Bind{{Source: source, Target: source, ReadOnly: true}, {Target: source, Tmpfs: "mode=0700"}}, "/", identity); len(got) != 0 {
			t.Errorf("%s, not writable: %q", source, got)
		}
		if got := aliases(ours, []Bind{{Source: "/srv", Target: "/srv"}}, source, identity); len(got) != len(want) {
			t.Errorf("in %s: %q", source, got)
		}
	}
}
