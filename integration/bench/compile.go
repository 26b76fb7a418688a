package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

const (
	compileHosts   = 8000
	compileNothing = "flake-ctl compile, 0 host files"
	compileZypper  = "flake-ctl compile, hostsystem: [zypper]"
)

var (
	compileMany  = fmt.Sprintf("flake-ctl compile, %d host files", compileHosts)
	compileThere = compileMany + ", host layer there"
)

// compiling is what a start pays once after a change of the host, beside itself: the plan anew, and the host layer, if the
// change has made it another one. Where it has not, that of before is used as it is.
func compiling(rounds int) scenario {
	anew := func(name, flake string, prepare func(*env) error) subject {
		return subject{
			name: name, prepare: prepare, before: aside("plans", "hostlayers"), after: compiled,
			command: func(e *env) *exec.Cmd { return e.compile(flake) },
		}
	}
	there := anew(compileThere, "many", prepareMany)
	there.before = func(e *env) error {
		if err := e.quiet(e.compile("many")); err != nil {
			return err
		}
		return aside("plans")(e)
	}
	return scenario{
		name: "compile", title: "Compiling the plan of a flake of the Debian base, as root", rounds: min(rounds, 11), reference: compileNothing,
		subjects: []subject{
			anew(compileNothing, "none", prepareNone), anew(compileMany, "many", prepareMany), there,
			anew(compileZypper, "zypper", prepareZypper),
		},
		goals: []goal{within(compileMany, 500*time.Millisecond), within(compileZypper, time.Second)},
	}
}

// compileRoot is a store of its own: its plans and layers go, which the flakes of other scenarios would miss.
func compileRoot(e *env) string { return e.scratch("compiled") }

func (e *env) compiler(args ...string) *exec.Cmd {
	return e.with("FLAKES_ROOT="+compileRoot(e), e.binary("flake-ctl"), args...)
}

func (e *env) compile(flake string) *exec.Cmd { return e.compiler("compile", "--", "compile-"+flake) }

// aside moves what was derived out of the way. To delete it would be another measure: for minutes ext4 looks at each inode
// that was deleted before it gives out one, and eight thousand files take seconds to write.
func aside(derived ...string) func(*env) error {
	return func(e *env) error {
		to := e.scratch(fmt.Sprintf("aside/%d", e.serial.Add(1)))
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		for _, name := range derived {
			err := os.Rename(filepath.Join(compileRoot(e), name), filepath.Join(to, name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return settle(e)
	}
}

// compiled makes sure that there is a plan.
func compiled(e *env) error {
	plans, err := os.ReadDir(filepath.Join(compileRoot(e), "plans"))
	if err == nil && len(plans) == 0 {
		err = errors.New("no plan was written")
	}
	return err
}

func (e *env) compilable(flake string, options ...string) error {
	return e.quiet(e.compiler(append([]string{"register", "--app", e.link("compile-" + flake), "--target", "/bin/true"}, options...)...))
}

func prepareNone(e *env) error {
	return e.once("compile none", func() error {
		base, err := e.real("bookworm")
		if err != nil {
			return err
		}
		if err := e.quiet(e.compiler("load", base.Archive)); err != nil {
			return err
		}
		return e.compilable("none", "--container", "bookworm")
	})
}

func prepareMany(e *env) error {
	return both(prepareNone, func(e *env) error {
		return e.once("compile many", func() error {
			list, err := manifest(compileHosts)
			if err != nil {
				return err
			}
			archive, err := e.delta("compile-many", removed(list))
			if err != nil {
				return err
			}
			if err := e.quiet(e.compiler("load", archive)); err != nil {
				return err
			}
			return e.compilable("many", "--container", "compile-many", "--base", "bookworm")
		})
	})(e)
}

func prepareZypper(e *env) error {
	return both(both(needs("zypper"), prepareNone), func(e *env) error {
		return e.once("compile zypper", func() error {
			return e.compilable("zypper", "--container", "bookworm", "--host-package", "zypper")
		})
	})(e)
}
