package launcher

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Main starts the flake that argv names. It returns only when the start failed, with the exit code; what went
// wrong has been reported on stderr then.
func Main(argv []string) int {
	if len(argv) == 0 {
		argv = []string{""}
	}
	name, err := start(argv)
	if name == "" {
		name = "flake-launcher"
	}
	Report(os.Stderr, name, err)
	return Code(err)
}

func start(argv []string) (string, error) {
	l, err := newLauncher()
	if err != nil {
		return "", err
	}
	name := l.name(argv[0])
	if name == "" {
		return "", &NoNameError{}
	}
	ask, err := environmentPilot()
	if err != nil {
		return name, err
	}
	return name, l.launch(registered(name), plan.Invocation{Args: argv[1:]}, ask)
}

// NoNameError is the answer to a call by the launcher's own name.
type NoNameError struct{}

func (*NoNameError) Error() string {
	return "called by its own name: it starts the flake after which a link to it is named"
}

// Remedy implements the CLI's second line.
func (*NoNameError) Remedy() string {
	return "make such a link: flake-ctl register --container IMAGE --app PATH; or start an image with flake-run"
}

// launcher is what all starts of one process share.
type launcher struct {
	root     string
	plans    string
	searched []string
	settings []string
	trace    *nsexec.Trace
}

func newLauncher() (*launcher, error) {
	root, err := rootfs.CallersRoot()
	if err != nil {
		if root, _, err = rootfs.StartsRoot(); err != nil {
			return nil, err
		}
	}
	return &launcher{
		root: root, plans: filepath.Join(root, "plans"),
		searched: plan.SearchDirs(os.Getenv), settings: plan.SettingsFiles(os.Getenv), trace: newTrace(os.Getenv(envTrace)),
	}, nil
}

// name is the flake that is meant: the first candidate that has a plan or a registration. Where the likeliest one has a
// plan nothing else is looked at; without any the compiler will say what is wrong with the likeliest.
func (l *launcher) name(argv0 string) string {
	if likely := names(argv0, func() string { return "" }); len(likely) == 1 {
		if unix.Access(filepath.Join(l.plans, plan.FileName(likely[0], os.Getenv("HOME"))), unix.F_OK) == nil {
			return likely[0]
		}
	}
	candidates := names(argv0, executedFile)
	if len(candidates) == 0 {
		return ""
	}
	for _, c := range candidates {
		for _, dir := range l.searched {
			if _, err := os.Lstat(filepath.Join(dir, c+".yaml")); err == nil {
				return c
			}
		}
	}
	return candidates[0]
}

// subject is what a start is of.
type subject struct {
	// speaker begins messages.
	speaker string
	// plan is the name of the plan's file, compile the arguments that have flake-ctl make it.
	plan    string
	compile []string
	// words are what an ad-hoc plan was asked for with; nil of a flake, which its registration describes.
	words []string
}

// registered is the start of a flake.
func registered(name string) subject {
	return subject{speaker: name, plan: plan.FileName(name, os.Getenv("HOME")), compile: []string{"compile", "--", name}}
}

// adHoc is the start of images that nothing registers.
func adHoc(words []string) subject {
	return subject{speaker: AdHocFlake, plan: plan.AdHocName(words, os.Getenv("HOME")), compile: words, words: words}
}

// launch executes the plan, which it has compiled first if need be. ask is what the caller asked of the launcher by
// other ways than the arguments, to which those add.
func (l *launcher) launch(s subject, v plan.Invocation, ask Pilot) error {
	path := filepath.Join(l.plans, s.plan)
	mark(l.trace, "plan and checks")
	p, f, err := l.load(path, s.words)
	if err != nil && l.elsewhere() {
		path = filepath.Join(l.plans, s.plan)
		p, f, err = l.load(path, s.words)
	}
	if err != nil {
		mark(l.trace, "compiling the plan")
		compile := s.compile
		if word := progressWord(ask, v.Args); word != "" {
			compile = slices.Insert(slices.Clone(compile), 1, word)
		}
		if err := runCtl(compile); err != nil {
			return err
		}
		// As it is: what changed since is the next start's business, or a host that changes all the time could
		// not start anything.
		if p, f, err = plan.Load(path); err != nil {
			return fmt.Errorf("load compiled plan: %w", err)
		}
	}
	defer f.Close()
	if p.Sudo {
		return execSudo(p, v, ask.environ())
	}
	return l.execute(s, p, f, v, ask)
}

// execute replaces the process by the engine that the plan asks for.
func (l *launcher) execute(s subject, p *plan.Plan, f *os.File, v plan.Invocation, ask Pilot) (err error) {
	if p.PilotArguments {
		var more Pilot
		if v.Args, more, err = takePilot(v.Args); err != nil {
			return err
		}
		ask = ask.with(more)
	}
	v.Optional = ask.IgnoreMissingVolumes
	p.Adjust(v)
	if argv := p.Argv(v); len(argv) == 0 || argv[0] == "" {
		return &NoCommandError{Name: p.Name}
	}
	if l.trace != nil && (p.Kept != "" || p.Engine != plan.EngineDirect) {
		fmt.Fprintf(os.Stderr, "%s: no trace: only one-shot starts of the direct engine tell their phases\n", s.speaker)
	}
	if p.Kept != "" {
		k := Keeping{Instance: ask.Instance, Remove: ask.Remove}
		if s.words != nil {
			k.Flake = AdHocFlake
		}
		return startKept(s.speaker, p, v, k)
	}
	if p.Engine == plan.EngineDirect {
		return execDirect(s.speaker, p, v, l.trace)
	}
	return execEngine(f, v)
}

// NoCommandError says that there is nothing to run.
type NoCommandError struct{ Name string }

func (e *NoCommandError) Error() string { return fmt.Sprintf("%s: the command is empty", e.Name) }

// Remedy implements the CLI's second line.
func (e *NoCommandError) Remedy() string { return "name a command" }

// elsewhere goes on to the store that stands for the caller's, if that can't be written to. What is wrong with both flake-ctl
// will say.
func (l *launcher) elsewhere() bool {
	root, _, err := rootfs.StartsRoot()
	if err != nil || root == l.root {
		return false
	}
	l.root, l.plans = root, filepath.Join(root, "plans")
	return true
}

// load returns the plan if it may be used as it is. Words are an ad-hoc plan's.
func (l *launcher) load(path string, words []string) (*plan.Plan, *os.File, error) {
	if err := rootfs.CheckRoot(l.root); err != nil {
		return nil, nil, err
	}
	p, f, err := plan.Load(path)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Equal(p.Searched, l.searched) {
		f.Close()
		return nil, nil, errors.New("the plan is for other registrations")
	}
	if !slices.Equal(p.Words, words) {
		f.Close()
		return nil, nil, errors.New("the plan is for another command line")
	}
	if !p.Follows(l.settings) {
		f.Close()
		return nil, nil, errors.New("the plan is for other settings")
	}
	if int(p.Caller) != os.Geteuid() {
		f.Close()
		return nil, nil, errors.New("the plan is for another user")
	}
	if p.Range != nil && !p.Range.Mapped() {
		f.Close()
		return nil, nil, errors.New("the plan is for outside of this user namespace")
	}
	if p.Caller == 0 && p.User != (!rootfs.Privileged() || plan.Confined()) {
		f.Close()
		return nil, nil, errors.New("the plan is for a root with other rights")
	}
	if ok, changed := p.Fresh(); !ok {
		f.Close()
		return nil, nil, fmt.Errorf("%s changed since the plan was compiled", changed)
	}
	return p, f, nil
}

// runCtl runs flake-ctl as a child, its output on our stderr: stdout belongs to the app.
func runCtl(args []string) error {
	ctl, err := Sibling("flake-ctl")
	if err != nil {
		return err
	}
	cmd := exec.Command(ctl, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return &ChildError{Program: "flake-ctl", Status: exit.ExitCode()}
	}
	if err != nil {
		return fmt.Errorf("run flake-ctl: %w", err)
	}
	return nil
}

// silentCtl runs flake-ctl for work that the caller has not asked for.
func silentCtl(args ...string) error {
	ctl, err := Sibling("flake-ctl")
	if err != nil {
		return err
	}
	return exec.Command(ctl, args...).Run()
}

// execEngine replaces the process by the engine.
func execEngine(f *os.File, v plan.Invocation) error {
	engine, err := Sibling("flake-engine")
	if err != nil {
		return err
	}
	return nsexec.ExecEngine(engine, f, v.Words())
}
