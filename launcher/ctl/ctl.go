package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/alecthomas/kong"
	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher"
	"github.com/flake-launcher/flake-launcher/launcher/catalog"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
	"github.com/flake-launcher/flake-launcher/launcher/policy"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// Exit codes of flake-ctl besides 0. compile, which the launchers call, has theirs.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// Streams are where a command writes: results to Out, everything else to Err.
type Streams struct {
	Out, Err io.Writer
}

// grammar is flake-ctl's command line.
type grammar struct {
	Pull     pullCmd     `cmd:"" help:"Get an image from a registry, an archive or a directory."`
	Load     loadCmd     `cmd:"" help:"Get an image from an archive file, compressed or not."`
	Register registerCmd `cmd:"" help:"Make a command on the host that runs inside an image."`
	List     listCmd     `cmd:"" help:"List the registered flakes."`
	Images   imagesCmd   `cmd:"" help:"List the stored images."`
	Explain  explainCmd  `cmd:"" help:"Tell where the files of an app come from, and why."`
	Verify   verifyCmd   `cmd:"" help:"Look whether flakes are whole, and show what the host has now."`
	Remove   removeCmd   `cmd:"" help:"Remove flakes, or an image with all that only it needs."`
	Import   importCmd   `cmd:"" help:"Take over what is registered with flake-pilot, or give it back."`
	GC       gcCmd       `cmd:"" name:"gc" help:"Delete what nothing needs any more."`
	Show     showCmd     `cmd:"" help:"List the kept instances of flakes."`
	Reset    resetCmd    `cmd:"" help:"End a kept instance and remove what was written in it."`
	Selftest selftestCmd `cmd:"" help:"Compare how a program runs in a flake with how it runs natively."`
	Compile  compileCmd  `cmd:"" hidden:""`
	Ranges   rangesCmd   `cmd:"" hidden:""`
	Podman   podmanCmd   `cmd:"" hidden:"" help:"Old spellings, as flake-pilot has them."`
	Version  versionCmd  `cmd:"" help:"Print the version."`

	Completion completionCmd `cmd:"" help:"Print the completion script of a shell."`
	Complete   completeCmd   `cmd:"" hidden:""`
	Man        manCmd        `cmd:"" hidden:""`
}

// session is what the commands work on.
type session struct {
	Streams
	getenv func(string) string
	euid   int
	// privileged is root, unless in a user namespace with a single id.
	privileged bool
	// quiet keeps progress from being shown.
	quiet bool
	// memory says that the store is one in memory, which stands for callers, his own, which can't be written to or made.
	memory  bool
	callers string
}

// usageError is a mistake in the command line.
type usageError struct{ err error }

func (e usageError) Error() string  { return e.err.Error() }
func (e usageError) Remedy() string { return "see flake-ctl --help" }

// exitPanic carries the code of kong's --help out of the parser, which can only exit.
type exitPanic int

// Main runs flake-ctl with the words behind its name and returns the exit code.
func Main(ctx context.Context, args []string, s Streams) (code int) {
	defer func() {
		if p := recover(); p != nil {
			c, ok := p.(exitPanic)
			if !ok {
				panic(p)
			}
			code = int(c)
		}
	}()
	var g grammar
	parser, err := newParser(&g, s)
	if err != nil {
		return fail(s, err)
	}
	kctx, err := parser.Parse(args)
	if err != nil {
		return fail(s, usageError{err})
	}
	ses := &session{Streams: s, getenv: os.Getenv, euid: os.Geteuid(), privileged: rootfs.Privileged()}
	kctx.BindTo(ctx, (*context.Context)(nil))
	if err := launcher.ForOwner(func() error { return kctx.Run(ses) }); err != nil {
		if ctx.Err() != nil {
			fmt.Fprintln(s.Err, "flake-ctl: interrupted; what was complete is kept")
			return exitInterrupted
		}
		return fail(s, err)
	}
	return 0
}

func newParser(g *grammar, s Streams) (*kong.Kong, error) {
	return kong.New(g,
		kong.Name("flake-ctl"),
		kong.Description("Manage flakes: commands of the host that live in OCI images."),
		kong.Writers(s.Out, s.Err),
		kong.Exit(func(code int) { panic(exitPanic(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
}

// fail reports the error and picks the exit code.
func fail(s Streams, err error) int {
	launcher.Report(s.Err, "flake-ctl", err)
	var usage usageError
	var coded interface{ ExitCode() int }
	switch {
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &coded):
		if _, own := coded.(*launcher.ChildError); own { // its code is that of a start
			return exitFailure
		}
		return coded.ExitCode()
	}
	return exitFailure
}

// caller is who this process works for. HOME is believed as everywhere; a name may be missing, for example where a
// directory service is unreachable.
func (s *session) caller() compile.Caller {
	c := compile.Caller{UID: s.euid, GID: os.Getegid(), Home: s.getenv("HOME"), Privileged: s.privileged && !plan.Confined()}
	if u, err := user.LookupId(strconv.Itoa(s.euid)); err == nil {
		c.Name = u.Username
	} else if name := s.getenv("LOGNAME"); name != "" {
		c.Name = name
	}
	return c
}

// store opens the caller's store; with create it is made if it is not there.
func (s *session) store(create bool) (*rootfs.Store, error) {
	root, err := rootfs.CallersRoot()
	if err != nil {
		return nil, err
	}
	if create {
		return rootfs.Create(root)
	}
	return rootfs.Open(root)
}

// ownStore is the caller's own store to look at; nil if he has none.
func (s *session) ownStore() (*rootfs.Store, error) {
	store, err := s.store(false)
	if errors.Is(err, rootfs.ErrNoStore) || err != nil && s.getenv("FLAKES_ROOT") == "" && s.getenv("HOME") == "" {
		return nil, nil
	}
	return store, err
}

// startStore is the store for what starts are made from, see rootfs.StartsRoot. It is made if it is not there.
func (s *session) startStore() (*rootfs.Store, error) {
	root, own, err := rootfs.StartsRoot()
	if err != nil {
		return nil, err
	}
	s.memory, s.callers = rootfs.InMemory(root, own), own
	return rootfs.Create(root)
}

// catalog is the set of registrations the caller writes to, over the store.
func (s *session) catalog(store *rootfs.Store) (*catalog.Catalog, error) {
	searched, ledger := plan.SearchDirs(s.getenv), store
	if s.memory {
		if own, err := rootfs.Open(s.callers); err == nil {
			ledger = own
		}
	}
	dir, err := s.registrations()
	if err != nil && s.memory {
		dir, err = searched[0], nil // nothing is registered
	}
	if err != nil {
		return nil, err
	}
	link, err := launcher.Sibling("flake-launcher")
	if err != nil {
		return nil, err
	}
	programs, err := launcher.Programs()
	if err != nil {
		return nil, err
	}
	conf, settings, err := s.settings()
	if err != nil {
		return nil, err
	}
	images, err := rootfs.OpenSet(store, conf.AdditionalStores)
	if err != nil {
		return nil, err
	}
	return &catalog.Catalog{
		Dir: dir, Searched: searched, Launcher: link, Programs: programs,
		Ledger: ledger.LedgerDir(), Plans: store.PlansDir(),
		Compiler: &compile.Compiler{
			Store: store, Images: images, Settings: settings, Defaults: conf.Defaults, Searched: searched, HostRoot: "/", Policy: policy.File, Launcher: link, Caller: s.caller(), Own: s.own(store), Memory: s.memory,
			Protect:  s.protected(dir, searched[0]),
			Progress: s.progress(),
		},
	}, nil
}

// protected are the directories, beside the stores, that decide what starts: the one that the caller registers in, the one
// that is looked at first, and those of the settings.
func (s *session) protected(registrations, first string) []string {
	out := []string{registrations, first}
	for _, file := range plan.SettingsFiles(s.getenv) {
		out = append(out, filepath.Dir(file))
	}
	return out
}

// progress tells people at a terminal what they wait for; scripts get silence.
func (s *session) progress() func(string) {
	f, ok := s.Err.(*os.File)
	if !ok {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	return func(text string) { fmt.Fprintf(f, "flake-ctl: %s\n", text) }
}

// registrations is the directory that the caller registers in.
func (s *session) registrations() (string, error) {
	switch {
	case s.getenv("FLAKES_ROOT") != "":
		return plan.SearchDirs(s.getenv)[0], nil
	case s.privileged:
		return plan.SystemDir, nil
	}
	if d := plan.UserDir(s.getenv); d != "" {
		return d, nil
	}
	return "", &NoHomeError{}
}

// NoHomeError says that an ordinary user's registrations can't be found.
type NoHomeError struct{}

func (*NoHomeError) Error() string {
	return "find the directory of registrations: HOME is not set to an absolute path"
}

// Remedy implements the CLI's second line.
func (*NoHomeError) Remedy() string { return "set HOME to your home directory" }

// Version is set at build.
var Version = "devel"

type versionCmd struct{}

func (versionCmd) Run(s *session) error {
	_, err := fmt.Fprintf(s.Out, "flake-ctl %s\n", Version)
	return err
}
