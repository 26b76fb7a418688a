package launcher

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/flake-launcher/flake-launcher/launcher/instance"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Keeping says which kept instance a start means, and what becomes of it.
type Keeping struct {
	// Flake is the name of the flake; "" is that of the plan.
	Flake string
	// Instance is its name; "" is the one of a plain call.
	Instance string
	// Remove removes the instance and all that was written in it when the app has ended.
	Remove bool
}

// keepingFromEnv reads FLAKE_INSTANCE and the word remove of FLAKE_OPTIONS.
func keepingFromEnv() Keeping {
	return Keeping{
		Instance: os.Getenv("FLAKE_INSTANCE"),
		Remove:   slices.Contains(strings.Fields(os.Getenv("FLAKE_OPTIONS")), "remove"),
	}
}

// moment is what a start in a kept instance adds to it, beside its command.
type moment struct {
	grafts []nsexec.Graft
	fresh  []nsexec.File
	cwd    string
}

func momentOf(p *plan.Plan) moment { return moment{cwd: p.Cwd} }

// startKept runs the app in its instance, which it starts first if it does not run. It returns only when that failed.
func startKept(speaker string, p *plan.Plan, v plan.Invocation, k Keeping) error {
	in, running, err := enterKept(speaker, p, v, k)
	if err != nil {
		return err
	}
	defer in.Close()
	j := newJoin(speaker, p, v, in, running)
	j.Again, j.AgainArgs = executedFile(), os.Args
	if k.Remove {
		ctl, err := Sibling("flake-ctl")
		if err != nil {
			return err
		}
		j.After, j.AfterEnv = []string{ctl, "reset", "--quiet", "--", in.Name.String()}, os.Environ()
	}
	if p.Kept == plan.KeptAttach {
		return attach(j, in, len(v.Args) > 0)
	}
	return j.Exec()
}

// newJoin describes a start inside of a running instance.
func newJoin(speaker string, p *plan.Plan, v plan.Invocation, in *instance.Instance, running *instance.Running) *nsexec.Join {
	m := momentOf(p)
	return &nsexec.Join{
		Speaker: speaker, PID: running.PID, PIDFD: running.PIDFD, Lock: in.Lock(), Rights: running.Rights,
		Grafts: m.grafts, Fresh: m.fresh, Cwd: m.cwd, Args: p.Argv(v), Env: p.Environ(v, os.Environ()),
	}
}

// AdHocFlake stands for the flake in the names of instances that nothing registers: flake-run's.
const AdHocFlake = "flake-run"

// instanceName is the one that a start means.
func instanceName(p *plan.Plan, k Keeping) (instance.Name, error) {
	n := instance.Name{Flake: p.Name, Instance: k.Instance}
	if k.Flake != "" {
		n.Flake = k.Flake
	}
	if k.Instance == "" {
		return n, nil
	}
	return n, instance.CheckName(k.Instance)
}

// enterKept gives the running instance, with its shared lock.
func enterKept(speaker string, p *plan.Plan, v plan.Invocation, k Keeping) (_ *instance.Instance, _ *instance.Running, err error) {
	name, err := instanceName(p, k)
	if err != nil {
		return nil, nil, err
	}
	in, err := instance.Enter(p.Store, name, instance.Shared, true)
	if err != nil {
		return nil, nil, err
	}
	running, err := in.Running()
	if running != nil && err == nil {
		return in, running, nil
	}
	in.Close()
	if err != nil {
		return nil, nil, err
	}
	// Alone, and again from the beginning: somebody may have been faster.
	fresh := in.Fresh
	if in, err = instance.Enter(p.Store, name, instance.Exclusive, true); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			in.Close()
		}
	}()
	if running, err = in.Running(); err != nil {
		return nil, nil, err
	}
	if running == nil {
		if err := hold(speaker, p, v, in); err != nil {
			if fresh || in.Fresh {
				err = errors.Join(err, discard(p.Store, in))
			}
			return nil, nil, err
		}
		if running, err = in.Running(); err == nil && running == nil {
			err = &instance.BusyError{Name: name, Reason: "it ended as soon as it was started"}
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return in, running, in.Relock(instance.Shared)
}

// discard removes an instance that this process has made and could not start.
func discard(root string, in *instance.Instance) error {
	store, err := rootfs.Open(root)
	if err != nil {
		return err
	}
	return in.Remove(store)
}

// hold starts the instance's container.
func hold(speaker string, p *plan.Plan, v plan.Invocation, in *instance.Instance) error {
	d, err := newDirect(speaker, p, v)
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range d.Layers {
			f.Close()
		}
	}()
	rights, err := d.Rights()
	if err != nil {
		return fmt.Errorf("keep an instance: %w", err)
	}
	c := &instance.Config{
		Name: in.Name, Kept: p.Kept, Created: time.Now().Unix(), Stack: instance.StackOf(p), Digests: p.Digests, Rights: rights,
	}
	if in.Flake == p.Name {
		c.Searched = p.Searched
	}
	onDisk := p.Writable == plan.WritableDisk
	state, writable, err := in.Prepare(c, onDisk)
	if err != nil {
		return err
	}
	defer state.Close()
	if onDisk {
		defer writable.Close()
		d.Scratch = writable
	}
	d.Kept = &nsexec.Kept{Lock: in.Lock(), State: state, Title: []string{"flake-launcher", "keeps", in.Path()}}
	return said(d.Hold())
}

// said makes of a failure that our program has reported one that is not reported again.
func said(err error) error {
	var reported *nsexec.ReportedError
	if errors.As(err, &reported) {
		return &ChildError{Program: "flake-launcher", Status: ExitFailure}
	}
	return err
}
