package initproc

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The direct engine writes its messages itself; an errno has to read as it does in Go.
func TestErrorTextsAreGos(t *testing.T) {
	src, err := os.ReadFile("report.c")
	if err != nil {
		t.Fatal(err)
	}
	pairs := regexp.MustCompile(`\{(E[A-Z0-9]+), "([^"]+)"\}`).FindAllStringSubmatch(string(src), -1)
	if len(pairs) < 30 {
		t.Fatalf("only %d errors found in report.c", len(pairs))
	}
	for _, p := range pairs {
		found := false
		for n := syscall.Errno(1); n < 134; n++ {
			if unix.ErrnoName(n) == p[1] || p[1] == "EOPNOTSUPP" && n == unix.EOPNOTSUPP {
				found = true
				if n.Error() != p[2] {
					t.Errorf("%s is %q in report.c, %q in Go", p[1], p[2], n.Error())
				}
			}
		}
		if !found {
			t.Errorf("%s is no error", p[1])
		}
	}
}

// The numbers are the same on both sides.
func TestOperationNumbers(t *testing.T) {
	src, err := os.ReadFile("ops.h")
	if err != nil {
		t.Fatal(err)
	}
	c := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\t(OP_[A-Z_]+|STAGE_FORK) = (\d+),`).FindAllStringSubmatch(string(src), -1) {
		c[strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(m[1], "OP_"), "_", ""))] = m[2]
	}
	own := map[string]int{
		"stdio": opStdio, "death": opDeath, "noprivs": opNoPrivs, "filter": opFilter, "group": opGroup, "env": opEnv, "run": opRun,
		"stagefork": stageFork, "name": opName, "userns": opUserns, "scratch": opScratch, "clone": opClone, "upper": opUpper, "seed": opSeed,
		"overlay": opOverlay, "link": opLink, "mount": opMount, "bind": opBind, "node": opNode, "symlink": opSymlink, "mask": opMask,
		"readonly": opReadonly, "pivot": opPivot, "hostname": opHostname, "loopback": opLoopback, "rlimit": opRlimit, "umask": opUmask,
		"cwd": opCwd, "caps": opCaps, "ids": opIDs, "keyring": opKeyring, "range": opRange, "exec": opExec, "copy": opCopy, "preserve": opPreserve, "links": opLinks, "verify": opVerify,
		"host": opHost, "trace": opTrace,
		"hold": opHold, "keep": opKeep, "after": opAfter, "graft": opGraft, "fresh": opFresh, "join": opJoin, "again": opAgain, "serve": opServe, "attach": opAttach,
	}
	for name, n := range own {
		if c[name] != strconv.Itoa(n) {
			t.Errorf("%s is %d in Go, %q in ops.h", name, n, c[name])
		}
	}
	if len(c) != len(own) {
		t.Errorf("%d operations in Go, %d in ops.h", len(own), len(c))
	}
}

// stage runs a list as the direct engine's outer process.
func stage(t *testing.T, ops []byte) (code int, stderr string) {
	t.Helper()
	if initBinary == "" {
		t.Skip("needs a C compiler")
	}
	name := filepath.Join(t.TempDir(), "blob")
	if err := os.WriteFile(name, Blob(ops), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command(initBinary)
	cmd.Args, cmd.Env, cmd.ExtraFiles = []string{"flake"}, []string{StageEnv + "3"}, []*os.File{f}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), errs.String()
}

// Lists that are broken, or out of order, start nothing and say so in two lines.
func TestBrokenLists(t *testing.T) {
	list := func(fill func(*Ops)) []byte {
		o := &Ops{}
		o.Name("flake", `"cmd"`)
		fill(o)
		return o.b
	}
	for name, ops := range map[string][]byte{
		"nothing after the name":    list(func(*Ops) {}),
		"mount without a root":      list(func(o *Ops) { o.Mount("proc", "proc", "/proc", "", 0, 0) }),
		"pivot without a root":      list(func(o *Ops) { o.Pivot(false) }),
		"overlay without an upper":  list(func(o *Ops) { o.Overlay([]Handle{{FD: 0, Path: "/"}}) }),
		"host in the host's mounts": list(func(o *Ops) { o.Host("/") }),
		"overlay of nothing":        list(func(o *Ops) { o.Overlay(nil) }),
		"ids without caps":          list(func(o *Ops) { o.IDs(0, 0, nil) }),
		"operation of the future":   list(func(o *Ops) { o.add(1000, nil) }),
		"number that is cut":        list(func(o *Ops) { o.b = record(o.b, opClone, []byte{1, 2}) }),
		"string without an end":     list(func(o *Ops) { o.b = record(o.b, opHostname, []byte("abc")) }),
		"capabilities that are cut": list(func(o *Ops) { o.b = record(o.b, opCaps, make([]byte, 39)) }),
		"limit that is cut":         list(func(o *Ops) { o.b = record(o.b, opRlimit, make([]byte, 8)) }),
		"limit that is none":        list(func(o *Ops) { o.Rlimit(1000, 0, 0) }),
	} {
		t.Run(name, func(t *testing.T) {
			code, stderr := stage(t, ops)
			lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
			if code != 125 || len(lines) != 2 || !strings.HasPrefix(lines[0], "flake: start container: ") || !strings.HasPrefix(lines[1], "flake: remedy: ") {
				t.Errorf("%d, %q", code, stderr)
			}
		})
	}
	// Without a name there is nobody to speak as; operations of the direct engine are refused all the same.
	o := &Ops{}
	o.Clone(0, 0)
	if code, stderr := stage(t, o.b); code != 125 || stderr != "" {
		t.Errorf("no name: %d, %q", code, stderr)
	}
}

func TestMessagesAreOneLineWhateverIsInThem(t *testing.T) {
	o := &Ops{}
	o.Name("flake", `"cmd"`)
	o.Caps(Caps{})
	// Nobody makes a directory below a file.
	o.Cwd(Cwd{Path: "/dev/null/\n\x1b[2J", Make: true})
	code, stderr := stage(t, o.b)
	if code != 125 || strings.Count(stderr, "\n") != 2 || strings.Contains(stderr, "\x1b") {
		t.Errorf("%d, %q", code, stderr)
	}
}
