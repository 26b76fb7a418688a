package launcher

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/launcher/instance"
)

// The variables by which a caller speaks to the launcher, and not to the app. They are gone from the environment once
// they were read: a flake started by the app is another one.
const (
	envInstance = "FLAKE_INSTANCE"
	envOptions  = "FLAKE_OPTIONS"
)

// Pilot is what a caller asks of the launcher for one start.
type Pilot struct {
	// Instance names one of several kept instances; "" is the one without a name.
	Instance string
	// Remove ends a kept instance after the call, and what it has written goes.
	Remove bool
	// Progress shows what is done before the start, also where nobody sits at a terminal.
	Progress bool
	// IgnoreMissingVolumes leaves out binds whose source is missing.
	IgnoreMissingVolumes bool
	// IgnoreSyncErrors and Interactive are known and have no effect: nothing is synced, and the standard descriptors are
	// always the caller's.
	IgnoreSyncErrors bool
	Interactive      bool
}

// pilotWords are the options by their names, in the order in which messages list them.
var pilotWords = []struct {
	name string
	of   func(*Pilot) *bool
}{
	{"progress", func(p *Pilot) *bool { return &p.Progress }},
	{"ignore_sync_error", func(p *Pilot) *bool { return &p.IgnoreSyncErrors }},
	{"ignore_missing_volume_path", func(p *Pilot) *bool { return &p.IgnoreMissingVolumes }},
	{"interactive", func(p *Pilot) *bool { return &p.Interactive }},
	{"remove", func(p *Pilot) *bool { return &p.Remove }},
}

// set switches the option of that name on and reports whether there is one.
func (p *Pilot) set(name string) bool {
	for _, w := range pilotWords {
		if w.name == name {
			*w.of(p) = true
			return true
		}
	}
	return false
}

// with adds what more asks for; its instance wins.
func (p Pilot) with(more Pilot) Pilot {
	if more.Instance != "" {
		p.Instance = more.Instance
	}
	for _, w := range pilotWords {
		*w.of(&p) = *w.of(&p) || *w.of(&more)
	}
	return p
}

// environ is the Pilot as variables, for a launcher that another program starts.
func (p Pilot) environ() (env []string) {
	if p.Instance != "" {
		env = append(env, envInstance+"="+p.Instance)
	}
	var words []string
	for _, w := range pilotWords {
		if *w.of(&p) {
			words = append(words, w.name)
		}
	}
	if len(words) > 0 {
		env = append(env, envOptions+"="+strings.Join(words, " "))
	}
	return env
}

// environmentPilot takes FLAKE_INSTANCE and FLAKE_OPTIONS out of this process's environment.
func environmentPilot() (Pilot, error) {
	name, options := os.Getenv(envInstance), os.Getenv(envOptions)
	if name != "" || options != "" {
		_ = os.Unsetenv(envInstance)
		_ = os.Unsetenv(envOptions)
	}
	return parsePilot(name, options)
}

func parsePilot(name, options string) (Pilot, error) {
	p := Pilot{Instance: name}
	if name != "" {
		if err := instance.CheckName(name); err != nil {
			return Pilot{}, fmt.Errorf("%s: %w", envInstance, err)
		}
	}
	for _, word := range strings.Fields(options) {
		if !p.set(word) {
			return Pilot{}, &PilotError{Word: word, Where: envOptions + ": ", Fix: "known are " + knownWords("")}
		}
	}
	return p, nil
}

// takePilot takes flake-pilot's words off the arguments, wherever they stand: @NAME is the instance, of which the first
// one counts, %NAME or %NAME:VALUE an option. Of a word that begins with @@ or %% one mark is removed, and the rest is
// the app's. It returns *PilotError, *instance.NameError.
func takePilot(args []string) (rest []string, p Pilot, err error) {
	for _, arg := range args {
		switch {
		case strings.HasPrefix(arg, "@@"), strings.HasPrefix(arg, "%%"):
			rest = append(rest, arg[1:])
		case strings.HasPrefix(arg, "@"):
			if err := instance.CheckName(arg[1:]); err != nil {
				return nil, Pilot{}, &markedError{arg, err}
			}
			if p.Instance == "" {
				p.Instance = arg[1:]
			}
		case strings.HasPrefix(arg, "%"):
			name := arg[1:]
			if n := strings.LastIndexByte(name, ':'); n >= 0 {
				name = name[:n] // none of the options has a use for its value
			}
			if !p.set(name) {
				return nil, Pilot{}, &PilotError{
					Word: arg, Where: "argument ",
					Fix: "known are " + knownWords("%") + "; write %" + clipWord(arg) + " if it is the app's",
				}
			}
		default:
			rest = append(rest, arg)
		}
	}
	return rest, p, nil
}

func knownWords(mark string) string {
	var names []string
	for _, w := range pilotWords {
		names = append(names, mark+w.name)
	}
	return strings.Join(names, ", ")
}

// markedError says that a word with a mark names no instance; it may have been meant for the app.
type markedError struct {
	word string
	err  error
}

func (e *markedError) Error() string { return fmt.Sprintf("argument %q: %v", clipWord(e.word), e.err) }
func (e *markedError) Unwrap() error { return e.err }

// Remedy implements the CLI's second line.
func (e *markedError) Remedy() string {
	fix := "name an instance"
	var r interface{ Remedy() string }
	if errors.As(e.err, &r) {
		fix = r.Remedy()
	}
	return fix + "; where @ names instances, @@ begins a word of the app's"
}

// clipWord keeps a message short whatever a caller passes.
func clipWord(s string) string {
	if len(s) > 80 {
		return s[:77] + "..."
	}
	return s
}

// PilotError says that there is no such option for the launcher.
type PilotError struct{ Word, Where, Fix string }

func (e *PilotError) Error() string {
	return fmt.Sprintf("%s%q: no option of the launcher", e.Where, clipWord(e.Word))
}

// Remedy implements the CLI's second line.
func (e *PilotError) Remedy() string { return e.Fix }

// progressWord is what flake-ctl compile has to be told of the progress that is asked for. Whether arguments count is
// the flake's to say, which only the compiler has read by then.
func progressWord(p Pilot, args []string) string {
	switch {
	case p.Progress:
		return "--progress=yes"
	case slices.ContainsFunc(args, func(a string) bool { return a == "%progress" || strings.HasPrefix(a, "%progress:") }):
		return "--progress=pilot"
	}
	return ""
}
