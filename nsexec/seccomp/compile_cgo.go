//go:build cgo

package seccomp

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"

	libseccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// optimizeTree makes libseccomp sort system calls into a binary tree (libseccomp 2.5): a linear list costs
// each call of the app hundreds of comparisons.
const optimizeTree = 2

// Compile gives the program of the default profile for a container with the bounding set caps
// ("CAP_CHOWN"), on this machine's architecture and running kernel. System calls that this libseccomp does
// not know fall to the profile's default action.
func Compile(caps []string) ([]byte, error) {
	p, err := parseProfile(defaultProfile)
	if err != nil {
		return nil, err
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return nil, fmt.Errorf("read kernel release: %w", err)
	}
	return compile(p, machine{
		arch:   runtime.GOARCH,
		kernel: unix.ByteSliceToString(uts.Release[:]),
		caps:   caps,
	})
}

func compile(p *profile, m machine) (_ []byte, err error) {
	rules, err := p.rulesFor(m)
	if err != nil {
		return nil, err
	}
	def, err := action(p.DefaultAction, p.DefaultErrnoRet)
	if err != nil {
		return nil, err
	}
	filter, err := libseccomp.NewFilter(def)
	if err != nil {
		return nil, fmt.Errorf("make seccomp filter: %w", err)
	}
	defer filter.Release()
	if err := addArches(filter, p); err != nil {
		return nil, err
	}
	for _, r := range rules {
		if err := addRule(filter, def, &r); err != nil {
			return nil, err
		}
	}
	// Older libseccomp has no tree: correct all the same, only slower.
	_ = filter.SetOptimize(optimizeTree)
	prog, err := export(filter)
	if err != nil {
		return nil, err
	}
	if n := len(prog) / instructionSize; n == 0 || n > maxInstructions {
		return nil, fmt.Errorf("compile seccomp profile: %d instructions", n)
	}
	return prog, nil
}

// addArches lets in the architectures that go with the native one; without them the kernel's 32-bit and x32 calls
// would kill the app.
func addArches(filter *libseccomp.ScmpFilter, p *profile) error {
	native, err := libseccomp.GetNativeArch()
	if err != nil {
		return fmt.Errorf("find native architecture: %w", err)
	}
	for _, m := range p.ArchMap {
		if arch, err := architecture(m.Arch); err != nil || arch != native {
			continue
		}
		for _, name := range p.subArches(m.Arch) {
			sub, err := architecture(name)
			if err == nil {
				err = filter.AddArch(sub)
			}
			if err != nil {
				return fmt.Errorf("add architecture %q: %w", name, err)
			}
		}
	}
	return nil
}

// architecture reads the C library's name of an architecture; the Go binding knows the part behind the prefix.
func architecture(name string) (libseccomp.ScmpArch, error) {
	return libseccomp.GetArchFromString(strings.TrimPrefix(name, "SCMP_ARCH_"))
}

func addRule(filter *libseccomp.ScmpFilter, def libseccomp.ScmpAction, r *rule) error {
	act, err := action(r.Action, r.ErrnoRet)
	if err != nil {
		return err
	}
	if act == def { // libseccomp refuses a rule that changes nothing
		return nil
	}
	var conds []libseccomp.ScmpCondition
	for _, a := range r.Args {
		c, err := argCondition(a)
		if err != nil {
			return err
		}
		conds = append(conds, c)
	}
	for _, name := range r.Names {
		call, err := libseccomp.GetSyscallFromName(name)
		if err != nil { // younger than this libseccomp, or of another architecture
			continue
		}
		if err := addConditional(filter, call, act, conds); err != nil {
			return fmt.Errorf("add seccomp rule of %q: %w", name, err)
		}
	}
	return nil
}

// addConditional adds one rule. Two conditions on the same argument can't stand in one rule of libseccomp;
// as in every tool that reads this format they become alternatives.
func addConditional(f *libseccomp.ScmpFilter, call libseccomp.ScmpSyscall, act libseccomp.ScmpAction, conds []libseccomp.ScmpCondition) error {
	seen := make(map[uint]bool)
	repeated := false
	for _, c := range conds {
		repeated = repeated || seen[c.Argument]
		seen[c.Argument] = true
	}
	switch {
	case len(conds) == 0:
		return f.AddRule(call, act)
	case !repeated:
		return f.AddRuleConditional(call, act, conds)
	}
	for _, c := range conds {
		if err := f.AddRuleConditional(call, act, []libseccomp.ScmpCondition{c}); err != nil {
			return err
		}
	}
	return nil
}

var operators = map[string]libseccomp.ScmpCompareOp{
	"SCMP_CMP_NE": libseccomp.CompareNotEqual,
	"SCMP_CMP_LT": libseccomp.CompareLess,
	"SCMP_CMP_LE": libseccomp.CompareLessOrEqual,
	"SCMP_CMP_EQ": libseccomp.CompareEqual,
	"SCMP_CMP_GE": libseccomp.CompareGreaterEqual,
	"SCMP_CMP_GT": libseccomp.CompareGreater,
}

func argCondition(a arg) (c libseccomp.ScmpCondition, err error) {
	if a.Op == "SCMP_CMP_MASKED_EQ" {
		c, err = libseccomp.MakeCondition(a.Index, libseccomp.CompareMaskedEqual, a.Value, a.ValueTwo)
	} else if op, ok := operators[a.Op]; ok {
		c, err = libseccomp.MakeCondition(a.Index, op, a.Value)
	} else {
		err = errors.New("unknown operator")
	}
	if err != nil {
		return c, fmt.Errorf("compare argument %d by %q: %w", a.Index, a.Op, err)
	}
	return c, nil
}

func action(name string, errno *uint) (libseccomp.ScmpAction, error) {
	switch name {
	case "SCMP_ACT_ALLOW":
		return libseccomp.ActAllow, nil
	case "SCMP_ACT_ERRNO":
		ret := uint(unix.EPERM)
		if errno != nil {
			ret = *errno
		}
		return libseccomp.ActErrno.SetReturnCode(int16(ret)), nil
	case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD":
		return libseccomp.ActKillThread, nil
	case "SCMP_ACT_KILL_PROCESS":
		return libseccomp.ActKillProcess, nil
	case "SCMP_ACT_LOG":
		return libseccomp.ActLog, nil
	}
	return 0, fmt.Errorf("read seccomp profile: action %q not supported", name)
}

// export goes through a memory file: libseccomp before 2.6 can only write to a descriptor.
func export(filter *libseccomp.ScmpFilter) ([]byte, error) {
	f, err := memfile("seccomp")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := filter.ExportBPF(f); err != nil {
		// The library has one word for all that goes wrong with the file.
		if _, write := f.Write(make([]byte, 1)); write != nil {
			err = write
		}
		return nil, fmt.Errorf("export seccomp filter: %w", err)
	}
	var buf bytes.Buffer
	if _, err := f.Seek(0, 0); err != nil {
		return nil, err
	}
	if _, err := buf.ReadFrom(f); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
