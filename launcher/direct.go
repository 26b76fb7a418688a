package launcher

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/early"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/overlay"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// execDirect replaces the process by the direct engine. What is opened here stays open, and so locked, in the process
// that waits for the app.
func execDirect(speaker string, p *plan.Plan, v plan.Invocation, t *nsexec.Trace) error {
	mark(t, "caller's directory")
	preserve := preserved(p) // before anything else is open
	now, err := caller.At(p, caller.Self())
	if err != nil {
		return err
	}
	mark(t, "layers")
	d, err := newDirect(speaker, p, v, now)
	if err != nil {
		return err
	}
	mark(t, "operations, change of program")
	d.Preserve, d.Trace = preserve, t
	if p.Writable == plan.WritableDisk {
		var tmp *rootfs.Temp
		if err := ForOwner(func() (err error) { tmp, err = scratch(p); return err }); err != nil {
			return err
		}
		defer tmp.Close() // reached only when nothing was started
		// In the place for data: what else lies in a temporary directory no sweep takes for ours.
		if d.Scratch, err = os.Open(tmp.Dir()); err != nil {
			return err
		}
		d.Temp = tmp.Lock()
	}
	return d.Exec()
}

// newDirect opens the layers of a plan and describes a start, its writable part on disk excepted.
func newDirect(speaker string, p *plan.Plan, v plan.Invocation, now *caller.Moment) (*nsexec.Direct, error) {
	files, err := overlay.OpenLayers(p.Lower)
	if err != nil {
		return nil, err
	}
	if h := p.HostLayer; h != nil {
		more, err := overlay.OpenHostLayer(h.Dir, h.Data)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	d := early.Describe(p, now, nsexec.Opened(files...))
	d.Speaker, d.Args, d.Env = speaker, p.Argv(v), p.Environ(v, os.Environ(), now.PWD())
	return d, nil
}

// scratch makes the writable part in the store's own temporary directory, so that a crash leaves only what the store
// sweeps. Nobody waits for that sweep: it is done here.
func scratch(p *plan.Plan) (*rootfs.Temp, error) {
	store, err := rootfs.Open(p.Store)
	if err != nil {
		return nil, err
	}
	if p.Range == nil {
		_, _ = store.SweepTemp() // as below: flake-ctl gc tells of what can't be removed
		return store.Temp("writable")
	}
	// With other users' files in it, it is removed only by root of a namespace with their ids. What can't be removed,
	// as the caller's range is another one now, is no reason not to start; flake-ctl gc tells it.
	if stale, err := store.StaleRangeTemp(); err == nil && len(stale) > 0 {
		_ = silentCtl("ranges", "--store", p.Store, "temp")
	}
	return store.RangeTemp("writable")
}

// preserved are the descriptors beyond 2 that the caller left open for whom he starts; all of ours are close-on-exec.
func preserved(p *plan.Plan) []int {
	if !p.PreserveFDs {
		return nil
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return nil
	}
	var out []int
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd < 3 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			out = append(out, fd)
		}
	}
	return out
}
