package nsexec

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// Probe finds out whether a host layer works here: it mounts it in namespaces of its own, as a start would, and reads a
// byte of the file at path below the root. Layer is any layer to stand below it.
type Probe struct {
	HostLayer *HostLayer
	Layer     *os.File
	Path      string
	// User and Range are Direct's.
	User  bool
	Range *Range
}

// Run returns what the kernel did not like, in one line. It waits for the child that it starts; nothing is left of it.
func (p *Probe) Run() error {
	binary, err := initproc.Binary()
	if err != nil {
		return err
	}
	program, err := initproc.Sealed("flake-stage", binary, true)
	if err != nil {
		return &DirectError{"make memory file", err}
	}
	defer program.Close()
	files := append([]*os.File{p.Layer}, opened(p.HostLayer.dirs()...)...)
	ops, err := p.ops(firstExtra)
	if err != nil {
		return err
	}
	blob, err := initproc.Sealed("flake-program", initproc.Blob(ops), false)
	if err != nil {
		return &DirectError{"make memory file", err}
	}
	defer blob.Close()
	files = append(files, program, blob)
	var said bytes.Buffer
	cmd := &exec.Cmd{
		Path: fmt.Sprintf("/proc/self/fd/%d", firstExtra+len(files)-2), Args: []string{"flake-probe"},
		Env:        []string{fmt.Sprintf("%s%d", initproc.StageEnv, firstExtra+len(files)-1)},
		ExtraFiles: files, Stderr: &said,
	}
	if err := cmd.Run(); err != nil {
		line, _, _ := strings.Cut(said.String(), "\n")
		return fmt.Errorf("%s (%w)", strings.TrimPrefix(line, "probe: start container: "), err)
	}
	return nil
}

// firstExtra is the number of the first of exec.Cmd's ExtraFiles.
const firstExtra = 3

// ops numbers the descriptors from first on: the layer, the host layer's own, its data.
func (p *Probe) ops(first int) ([]byte, error) {
	o := &initproc.Ops{}
	o.Name("probe", "probe")
	if p.User {
		o.UserNamespace(0, uint32(os.Geteuid()), 0, uint32(os.Getegid()))
	}
	if p.Range != nil {
		p.Range.op(o)
	}
	o.Clone(unix.CLONE_NEWNS|unix.CLONE_NEWPID, unix.MS_SLAVE|unix.MS_REC)
	o.Upper(initproc.UpperNone, initproc.Handle{FD: -1}, first, 0, 0)
	at := func(n int, f *os.File) initproc.Handle { return initproc.Handle{FD: first + n, Path: f.Name()} }
	var data []initproc.Handle
	for i, d := range p.HostLayer.Data {
		data = append(data, at(2+i, d.File))
	}
	flags := uint32(0)
	if p.HostLayer.Trusted {
		flags = initproc.Trusted
	}
	o.Links(at(1, p.HostLayer.Layer.File), data, flags)
	o.Overlay([]initproc.Handle{at(0, p.Layer)})
	o.Verify(p.Path)
	return o.Bytes()
}
