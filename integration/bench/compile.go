package main

import (
	"bytes"
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
		name: "compile", title: "Compiling the plan of a flake of the Debian base, as root", about: whichDisk, rounds: min(rounds, 11), reference: compileNothing,
		subjects: []subject{
			anew(compileNothing, "none", prepareNone), anew(compileMany, "many", prepareMany), there,
			anew(compileZypper, "zypper", prepareZypper),
		},
		goals: []goal{within(compileMany, 500*time.Millisecond), within(compileZypper, time.Second)},
	}
}

// compileRoot is a store of its own: its plans and layers go, which the flakes of other scenarios would miss.
func compileRoot(e *env) string { return filepath.Join(e.scratch("disk"), "flakes") }

// prepareDisk mounts a file system as distributions make them at the place of the store. That of a test machine may be
// another: ext4 without a journal looks for a minute at each inode that was deleted whenever it wants a new one, and after
// thousands of deletions eight thousand files take seconds to write.
func prepareDisk(e *env) error {
	return e.once("disk", func() error {
		file := e.scratch("disk.img")
		if err := errors.Join(os.MkdirAll(e.scratch("disk"), 0o755), os.WriteFile(file, nil, 0o600), os.Truncate(file, 4<<30)); err != nil {
			return err
		}
		for _, command := range [][]string{{"mkfs.ext4", "-q", file}, {"mount", "-o", "loop", file, e.scratch("disk")}} {
			if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
				e.done[plainDisk] = fmt.Errorf("%s: %w: %s", command[0], err, bytes.TrimSpace(out))
				return nil
			}
		}
		return nil
	})
}

// plainDisk is done with an error where there is no such file system.
const plainDisk = "plain disk"

func whichDisk(e *env) string {
	if err := e.done[plainDisk]; err != nil {
		return fmt.Sprintf("the store in the temporary directory (%v)", err)
	}
	return "the store on a fresh ext4"
}

func (e *env) compiler(args ...string) *exec.Cmd {
	return e.with("FLAKES_ROOT="+compileRoot(e), e.binary("flake-ctl"), args...)
}

func (e *env) compile(flake string) *exec.Cmd { return e.compiler("compile", "--", "compile-"+flake) }

// aside moves what was derived out of the way, as a package update does: what was is left to collection.
func aside(derived ...string) func(*env) error {
	return func(e *env) error {
		to := filepath.Join(e.scratch("disk"), fmt.Sprintf("aside-%d", e.serial.Add(1)))
		if err := os.Mkdir(to, 0o700); err != nil {
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
		if err := prepareDisk(e); err != nil {
			return err
		}
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
