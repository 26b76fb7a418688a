package nsexec

import (
	"os"

	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// IDMap maps Size ids from Inside on to those of the host from Outside on.
type IDMap struct{ Inside, Outside, Size uint32 }

// Range is what a user namespace of an ordinary user with more ids than his own is made of. Inside's 0 is the user.
type Range struct {
	UIDs, GIDs []IDMap
	// NewUIDMap and NewGIDMap are the paths of the helpers that may write such maps.
	NewUIDMap, NewGIDMap string
}

func (r *Range) op(o *initproc.Ops) {
	var maps [2][]initproc.IDMap
	for i, list := range [][]IDMap{r.UIDs, r.GIDs} {
		for _, m := range list {
			maps[i] = append(maps[i], initproc.IDMap(m))
		}
	}
	o.Range(maps[0], maps[1], r.NewUIDMap, r.NewGIDMap)
}

// Exec replaces this process by a program that is root of such a user namespace. It returns only when that failed; what
// fails later is reported on stderr by speaker, and the exit code is CodeLauncher.
func (r *Range) Exec(speaker, file string, args, env []string) error {
	o := &initproc.Ops{}
	o.Name(speaker, "")
	r.op(o)
	o.Exec(file, args, env)
	ops, err := o.Bytes()
	if err != nil {
		return &DirectError{"write its program", err}
	}
	return execStage(speaker, ops, []*os.File(nil))
}
