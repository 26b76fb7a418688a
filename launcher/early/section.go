package early

import (
	"encoding/binary"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/caller"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/nsexec"
	initproc "github.com/flake-launcher/flake-launcher/nsexec/init"
)

// The records of a section, each a number, the length of what follows, and that, padded to 8 bytes, in the machine's byte
// order; strings end with a NUL. front/front.h has the same numbers.
const (
	recIf      = 1  // uint64 build; uint32 uid, gid, flags; kernel, speaker
	recVar     = 2  // uint32 1 if set; name, value
	recCheck   = 3  // uint64 absent, dev, ino, size, mtime, ctime, 1 for a directory; path
	recOpen    = 4  // uint32 1 for a layer, which gets locked; path
	recBind    = 5  // source and target of a bind that is shown, as caller.Plain has them
	recSource  = 6  // path of a bind's source, where it leads ("": nothing is there)
	recProtect = 7  // uint32 1 if it is there; path
	recEnv     = 8  // strings
	recPass    = 9  // strings
	recDeny    = 10 // strings
	recSet     = 11 // strings
	recCommand = 12 // strings: what comes before the caller's arguments
	recDefault = 13 // strings: what stands for arguments that are not there
	recOwned   = 14 // strings
	recHead    = 15 // operations, as nsexec.Parts has them
	recBinds   = 16
	recRights  = 17
	recCwd     = 18
	recID      = 19
	recShare   = 20 // uint32 attributes, flags of the bind of the caller's directory
	recNamed   = 22 // uint64 dev, ino, 1 if it is, or lies above, what is protected; path
	recWords   = 21 // strings: the command line of an ad-hoc start, as its plan is named after

	flagUser  = 1 // in a user namespace
	flagShare = 2 // shares the caller's directory, and starts there
	flagFixed = 4 // a directory that is not shared yet takes more than a bind
	flagRoot  = 8 // for a root who can give files to other users, and mount
)

// FirstFD is the number that the first of the directories gets; the others follow.
const FirstFD = 40

// maxDirs bounds them: the limit of descriptors may be low.
const maxDirs = 200

// AdHoc speaks in messages about a start that nothing registers.
const AdHoc = "flake-run"

// Variables are what a plan is found and compiled by.
var Variables = []string{"FLAKES_ROOT", "HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}

// Section is what the launcher's early part needs of a plan, for the process that compiles it: by its ids and environment.
// It is nil for starts that the early part does not do.
func Section(p *plan.Plan) ([]byte, error) {
	if !plain(p) {
		return nil, nil
	}
	a, ok, err := caller.Before(p, func(name string) (string, bool) {
		if name == "HOME" {
			return os.LookupEnv(name)
		}
		return "", false
	})
	if !ok || err != nil {
		return nil, err
	}
	dirs := places(p)
	d := Describe(p, &a.Moment, dirs)
	parts, err := d.Parts()
	if err != nil {
		return nil, err
	}
	s := &section{}
	s.conditions(p)
	for i, dir := range dirs {
		isLayer := i <= len(p.Lower) // the host layer's own comes behind the others, then its data
		s.add(recOpen, []uint32{flag(isLayer, 1)}, dir.Path)
	}
	s.moment(a, parts)
	for _, l := range []struct {
		kind  uint32
		words []string
	}{
		{recEnv, p.Env}, {recPass, p.Pass}, {recDeny, p.Deny}, {recSet, p.Set}, {recCommand, p.Entrypoint}, {recDefault, p.Cmd},
		{recOwned, caller.Owned()}, {recWords, p.Words},
	} {
		s.add(l.kind, nil, l.words...)
	}
	if s.bad {
		return nil, nil
	}
	return s.b, nil
}

// plain says whether the early part knows how.
func plain(p *plan.Plan) bool {
	return plan.BuildID() != 0 && p.Engine == plan.EngineDirect && p.Writable != plan.WritableDisk && p.Kept == "" && p.Range == nil &&
		!p.Sudo && !p.PilotArguments && !p.PreserveFDs && !p.CwdVars && unreachable(p) &&
		!slices.ContainsFunc(p.Set, func(s string) bool { return strings.Contains(s, "%") }) &&
		!slices.Contains(p.Checks, plan.Never) && len(p.Lower) < maxDirs && int(p.Caller) == os.Geteuid()
}

// unreachable says that an app can't come at the file that its PID 1 was executed from. In an early start that is the
// launcher itself, not a sealed copy in memory. PID 1 can't be dumped, so it takes CAP_SYS_PTRACE in the user namespace that
// the launcher was executed in: where the start makes one of its own, no app has that.
func unreachable(p *plan.Plan) bool {
	namespaces, bounding, err := initproc.Powers(p.Ops)
	const mighty = 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_CHECKPOINT_RESTORE
	return err == nil && namespaces&unix.CLONE_NEWPID != 0 && (p.User || bounding&mighty == 0)
}

// places are the directories, by the numbers that they will have.
func places(p *plan.Plan) []nsexec.Dir {
	paths := slices.Clone(p.Lower)
	if h := p.HostLayer; h != nil {
		paths = append(append(paths, h.Dir), h.Data...)
	}
	dirs := make([]nsexec.Dir, len(paths))
	for i, path := range paths {
		dirs[i] = nsexec.Dir{FD: FirstFD + i, Path: path}
	}
	return dirs
}

type section struct {
	b   []byte
	bad bool // a string can't be told
}

// add writes a record.
func (s *section) add(kind uint32, numbers []uint32, words ...string) {
	var payload []byte
	for _, n := range numbers {
		payload = binary.NativeEndian.AppendUint32(payload, n)
	}
	for _, w := range words {
		s.bad = s.bad || strings.IndexByte(w, 0) >= 0
		payload = append(append(payload, w...), 0)
	}
	s.raw(kind, payload)
}

func (s *section) raw(kind uint32, payload []byte) {
	s.b = binary.NativeEndian.AppendUint32(s.b, kind)
	s.b = binary.NativeEndian.AppendUint32(s.b, uint32(len(payload)))
	s.b = append(s.b, payload...)
	for len(s.b)%8 != 0 {
		s.b = append(s.b, 0)
	}
}

func words(v ...uint64) (out []uint32) {
	for _, n := range v {
		b := binary.NativeEndian.AppendUint64(nil, n)
		out = append(out, binary.NativeEndian.Uint32(b), binary.NativeEndian.Uint32(b[4:]))
	}
	return out
}

func flag(on bool, f uint32) uint32 {
	if on {
		return f
	}
	return 0
}

// conditions are what has to be as it is now.
func (s *section) conditions(p *plan.Plan) {
	flags := flag(p.User, flagUser) | flag(p.ShareCwd, flagShare) | flag(p.FixedRoot(), flagFixed) | flag(p.Caller == 0 && !p.User, flagRoot)
	speaker := p.Name
	if p.Words != nil {
		speaker = AdHoc
	}
	s.add(recIf, append(words(plan.BuildID()), p.Caller, uint32(os.Getegid()), flags), p.Kernel, speaker)
	for _, name := range Variables {
		value, set := os.LookupEnv(name)
		s.add(recVar, []uint32{flag(set, 1)}, name, value)
	}
	for _, c := range p.Checks {
		dir := c.Ctime == 0 // see plan.Check
		s.add(recCheck, words(uint64(flag(c.Absent, 1)), c.Dev, c.Ino, uint64(c.Size), uint64(c.Mtime), uint64(c.Ctime), uint64(flag(dir, 1))), c.Path)
	}
}

// moment is what the caller shares wherever he is.
func (s *section) moment(a *caller.Always, parts *nsexec.Parts) {
	for _, b := range a.Plain {
		s.add(recBind, nil, b.Source, b.Target)
	}
	for _, src := range a.Sources {
		s.add(recSource, nil, src.Path, src.Real)
	}
	for _, n := range a.Named {
		s.add(recNamed, words(n.Dev, n.Ino, uint64(flag(n.Ours, 1))), n.Path)
	}
	for _, f := range a.Protected {
		s.add(recProtect, []uint32{flag(f.There, 1)}, f.Path)
	}
	s.add(recShare, []uint32{nsexec.Bind{}.Attrs(), initproc.Recursive | initproc.Follow})
	s.raw(recHead, parts.Head)
	s.raw(recBinds, parts.Binds)
	s.raw(recRights, parts.Rights)
	s.raw(recCwd, parts.Cwd)
	s.raw(recID, parts.Identity)
}
