package plan

import (
	"bufio"
	"fmt"
	"os"

	"github.com/flake-launcher/flake-launcher/nsexec"
)

// Range are maps of ids, and the helpers that may write them.
type Range struct {
	UIDs, GIDs           []IDMap
	NewUIDMap, NewGIDMap string
}

// IDMap maps Size ids from Inside on to those of the host from Outside on.
type IDMap struct{ Inside, Outside, Size uint32 }

// Engine is the range as the direct engine takes it.
func (r *Range) Engine() *nsexec.Range {
	out := &nsexec.Range{NewUIDMap: r.NewUIDMap, NewGIDMap: r.NewGIDMap}
	for _, m := range r.UIDs {
		out.UIDs = append(out.UIDs, nsexec.IDMap(m))
	}
	for _, m := range r.GIDs {
		out.GIDs = append(out.GIDs, nsexec.IDMap(m))
	}
	return out
}

// Mapped reports whether the ids exist in this user namespace. In one that was made within the host's they may not, and
// then nobody can map them any further.
func (r *Range) Mapped() bool {
	return mapped(r.UIDs, "/proc/self/uid_map") && mapped(r.GIDs, "/proc/self/gid_map")
}

func mapped(maps []IDMap, file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return true // no proc: the kernel will tell
	}
	defer f.Close()
	var known []IDMap
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var k IDMap
		if _, err := fmt.Sscan(lines.Text(), &k.Inside, &k.Outside, &k.Size); err == nil {
			known = append(known, k)
		}
	}
	return covered(maps, known)
}

// covered reports whether all ids that maps lead to are among those that known has inside.
func covered(maps, known []IDMap) bool {
	for _, m := range maps {
		for next, end := uint64(m.Outside), uint64(m.Outside)+uint64(m.Size); next < end; {
			begin := next
			for _, k := range known {
				if last := uint64(k.Inside) + uint64(k.Size); uint64(k.Inside) <= next && next < last {
					next = last
				}
			}
			if next == begin {
				return false
			}
		}
	}
	return true
}
