package launcher

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/early"
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

// startKept runs the app in its instance, which it starts first if it does not run. It returns only when that failed.
func startKept(speaker string, p *plan.Plan, v plan.Invocation, k Keeping) error {
	preserve := preserved(p) // before anything else is open
	now, err := caller.At(p, caller.Self())
	if err != nil {
		return err
	}
	in, running, err := enterKept(speaker, p, v, k)
	if err != nil {
		return err
	}
	defer in.Close()
	j := newJoin(speaker, p, v, in, running, now)
	j.Preserve = preserve
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

// newJoin describes a start inside of a running instance: it is shown what it does not show yet of what this caller
// shares, and the host's present basics.
func newJoin(speaker string, p *plan.Plan, v plan.Invocation, in *instance.Instance, running *instance.Running, now *caller.Moment) *nsexec.Join {
	j := &nsexec.Join{
		Speaker: speaker, PID: running.PID, PIDFD: running.PIDFD, Lock: in.Lock(), Rights: running.Rights,
		Cwd: nsexec.Cwd(now.Cwd), Args: p.Argv(v), Env: p.Environ(v, os.Environ(), now.PWD()),
	}
	for _, b := range now.Binds {
		if b.Tmpfs == "" { // that is made with the instance
			j.Grafts = append(j.Grafts, nsexec.Graft{Source: b.Source, Target: b.Target, Attrs: nsexec.Bind(b).Attrs()})
		}
	}
	for _, c := range p.Copies {
		if content, err := caller.ReadHostFile(c.Source); err == nil {
			j.Fresh = append(j.Fresh, nsexec.File{Target: c.Target, Content: content, Mode: c.Mode})
		}
	}
	for _, l := range p.Followed {
		j.Fresh = append(j.Fresh, nsexec.File{Target: l.Path, Content: []byte(l.Text), Mode: unix.S_IFLNK | 0o777})
	}
	return j
}

// AdHocFlake stands for the flake in the names of instances that nothing registers: flake-run's.
const AdHocFlake = early.AdHoc

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
	in, err := enterInstance(p.Store, name, instance.Shared)
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
	if in, err = enterInstance(p.Store, name, instance.Exclusive); err != nil {
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

func enterInstance(root string, name instance.Name, how int) (in *instance.Instance, err error) {
	err = ForOwner(func() (err error) { in, err = instance.Enter(root, name, how, true); return err })
	return in, err
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
	// Where this caller is, is this call's affair: see newJoin.
	plain := *p
	plain.ShareCwd = false
	now, err := caller.At(&plain, caller.Self())
	if err != nil {
		return err
	}
	d, err := newDirect(speaker, p, v, now)
	if err != nil {
		return err
	}
	defer d.CloseLayers()
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
	var state, writable *os.File
	if err := ForOwner(func() (err error) { state, writable, err = in.Prepare(c, onDisk); return err }); err != nil {
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
