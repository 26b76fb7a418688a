package run

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/flake-launcher/flake-launcher/launcher"
	"github.com/flake-launcher/flake-launcher/launcher/instance"
	"github.com/flake-launcher/flake-launcher/launcher/option"
)

// grammar is flake-run's command line. Everything behind IMAGE is the app's.
type grammar struct {
	Base  string   `placeholder:"IMAGE" help:"The image at the bottom."`
	Layer []string `sep:"none" placeholder:"IMAGE" help:"An image between base and IMAGE; may be repeated, lowest first."`
	Env   []string `short:"e" sep:"none" placeholder:"K=V" help:"Set a variable; K alone passes the caller's."`
	Trace bool     `xor:"trace" help:"Tell the phases of the start, in microseconds, on standard error (as FLAKE_TRACE=1 does)."`
	// TraceJSON is for who wants to look at it.
	TraceJSON *string          `name:"trace-json" xor:"trace" placeholder:"FILE" help:"Write the phases of the start to this file, in the trace format of Chrome and Perfetto (as FLAKE_TRACE=FILE does)."`
	Version   kong.VersionFlag `help:"Print the version."`

	option.Common

	Instance *string `placeholder:"NAME" help:"Keep the container under that name, and run in it if it is there."`

	// Words are the image and what belongs to the app. One argument, for kong would take flags between two.
	Words []string `arg:"" optional:"" passthrough:"" name:"image [command]" help:"The image, then a command and its arguments instead of the image's own."`
}

// Help is printed below the flags.
func (grammar) Help() string {
	return `Examples:

  flake-run --base basepython aws /usr/bin/aws --version
  flake-run debian cat /etc/os-release

Exit status: that of the command; 125 if it could not be started, 126 if it can't be executed, 127 if there is
no such command. A command killed by a signal kills flake-run by the same signal.`
}

// Version is set at build.
var Version = "devel"

type exitPanic int

// usageError is a mistake in the command line.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

// Remedy implements the CLI's second line.
func (e *usageError) Remedy() string { return "see flake-run --help" }

// Main runs flake-run with the words behind its name. It returns only when the command was not started.
func Main(args []string, stdout, stderr io.Writer) (code int) {
	defer func() {
		if p := recover(); p != nil {
			c, ok := p.(exitPanic)
			if !ok {
				panic(p)
			}
			code = int(c)
		}
	}()
	a, err := parse(args, stdout, stderr)
	if err != nil {
		launcher.Report(stderr, "flake-run", err)
		return launcher.Code(err)
	}
	return launcher.Run(*a)
}

// NewParser is flake-run's command line, for who describes or completes it.
func NewParser(stdout, stderr io.Writer) (*kong.Kong, error) {
	return newParser(&grammar{}, stdout, stderr)
}

func newParser(g *grammar, stdout, stderr io.Writer) (*kong.Kong, error) {
	parser, err := kong.New(g,
		kong.Name("flake-run"),
		kong.Description("Run a command in an image, without registering it."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { panic(exitPanic(code)) }),
		kong.Vars{"version": "flake-run " + Version},
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 100}),
	)
	if err != nil {
		return nil, fmt.Errorf("build command line: %w", err)
	}
	return parser, nil
}

// parse turns the words into a start. It panics with exitPanic after --help and --version.
func parse(args []string, stdout, stderr io.Writer) (*launcher.AdHoc, error) {
	var g grammar
	parser, err := newParser(&g, stdout, stderr)
	if err != nil {
		return nil, err
	}
	if _, err := parser.Parse(args); err != nil {
		return nil, &usageError{err.Error()}
	}
	if len(g.Words) > 0 && g.Words[0] == "--" {
		g.Words = g.Words[1:]
	}
	if err := g.check(); err != nil {
		return nil, err
	}
	command := g.Words[1:]
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if err := g.Absolute(); err != nil {
		return nil, &usageError{err.Error()}
	}
	inst := ""
	if g.Instance != nil {
		inst = *g.Instance
	}
	trace, err := g.trace()
	if err != nil {
		return nil, err
	}
	return &launcher.AdHoc{Trace: trace, Instance: inst, Base: g.Base, Layers: g.Layer, Image: g.Words[0], Flags: g.Common.Words(), Env: g.Env, Command: command}, nil
}

// trace is AdHoc's: a file has an absolute name, so that none means standard error.
func (g *grammar) trace() (string, error) {
	if g.Trace {
		return "1", nil
	}
	if g.TraceJSON == nil {
		return "", nil
	}
	path, err := filepath.Abs(*g.TraceJSON)
	if err != nil {
		return "", fmt.Errorf("find file for the trace: %w", err)
	}
	return path, nil
}

func (g *grammar) check() error {
	if g.Instance != nil {
		if err := instance.CheckName(*g.Instance); err != nil {
			return err
		}
	}
	if g.TraceJSON != nil && *g.TraceJSON == "" {
		return &usageError{"--trace-json: the name of a file is missing"}
	}
	for _, kv := range g.Env {
		if name, _, _ := strings.Cut(kv, "="); name == "" {
			return &usageError{fmt.Sprintf("-e %q: a name is missing", kv)}
		}
	}
	switch {
	case len(g.Words) > 0 && strings.HasPrefix(g.Words[0], "-"):
		return &usageError{"unknown flag " + g.Words[0]}
	case len(g.Words) == 0 || g.Words[0] == "":
		return &usageError{"an image is wanted"}
	case len(g.Layer) > 0 && g.Base == "":
		return &usageError{"--layer needs a --base"}
	}
	return nil
}
