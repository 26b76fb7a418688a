package seccomp

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

//go:embed profile.json
var defaultProfile []byte

// profile is the part of the containers/common profile format that we give a meaning to.
type profile struct {
	DefaultAction   string    `json:"defaultAction"`
	DefaultErrnoRet *uint     `json:"defaultErrnoRet"`
	ArchMap         []archMap `json:"archMap"`
	Syscalls        []rule    `json:"syscalls"`
}

type archMap struct {
	Arch    string   `json:"architecture"`
	SubArch []string `json:"subArchitectures"`
}

type rule struct {
	Names    []string  `json:"names"`
	Action   string    `json:"action"`
	ErrnoRet *uint     `json:"errnoRet"`
	Args     []arg     `json:"args"`
	Includes condition `json:"includes"`
	Excludes condition `json:"excludes"`
}

type arg struct {
	Index    uint   `json:"index"`
	Value    uint64 `json:"value"`
	ValueTwo uint64 `json:"valueTwo"`
	Op       string `json:"op"`
}

type condition struct {
	Caps      []string `json:"caps"`
	Arches    []string `json:"arches"`
	MinKernel string   `json:"minKernel"`
}

// machine is what a profile is evaluated against.
type machine struct {
	arch   string   // GOARCH name, as the profile's conditions have it
	kernel string   // uname release
	caps   []string // the container's bounding set
}

func parseProfile(data []byte) (*profile, error) {
	var p profile
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("parse seccomp profile: %w", err)
	}
	if p.DefaultAction == "" {
		return nil, errors.New("parse seccomp profile: no defaultAction")
	}
	return &p, nil
}

// rulesFor leaves the rules that hold on m. A rule holds when every kind of its includes has a match and no
// kind of its excludes has one, which is how the profile's own tools read it: several capabilities in
// includes are all needed, one of several in excludes is enough.
func (p *profile) rulesFor(m machine) ([]rule, error) {
	var out []rule
	for _, r := range p.Syscalls {
		ok, err := r.holds(m)
		if err != nil {
			return nil, fmt.Errorf("evaluate seccomp rule of %q: %w", strings.Join(r.Names, ","), err)
		}
		if ok {
			out = append(out, r)
		}
	}
	return out, nil
}

func (r *rule) holds(m machine) (bool, error) {
	in, ex := r.Includes, r.Excludes
	if len(in.Arches) > 0 && !slices.Contains(in.Arches, m.arch) || slices.Contains(ex.Arches, m.arch) {
		return false, nil
	}
	for _, c := range in.Caps {
		if !slices.Contains(m.caps, c) {
			return false, nil
		}
	}
	for _, c := range ex.Caps {
		if slices.Contains(m.caps, c) {
			return false, nil
		}
	}
	if in.MinKernel != "" {
		if ok, err := atLeast(m.kernel, in.MinKernel); !ok || err != nil {
			return false, err
		}
	}
	if ex.MinKernel != "" {
		if ok, err := atLeast(m.kernel, ex.MinKernel); ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// subArches are the further architectures whose system calls arch's kernel takes.
func (p *profile) subArches(arch string) []string {
	for _, m := range p.ArchMap {
		if m.Arch == arch {
			return m.SubArch
		}
	}
	return nil
}

// atLeast compares kernel releases ("6.18.44-x") by their first two numbers.
func atLeast(release, minimum string) (bool, error) {
	have, err := majorMinor(release)
	if err != nil {
		return false, err
	}
	want, err := majorMinor(minimum)
	if err != nil {
		return false, err
	}
	return slices.Compare(have[:], want[:]) >= 0, nil
}

func majorMinor(release string) (v [2]int, err error) {
	parts := strings.SplitN(release, ".", 3)
	if len(parts) < 2 {
		return v, fmt.Errorf("parse kernel release %q: no minor number", release)
	}
	for i := range v {
		digits := strings.IndexFunc(parts[i], func(r rune) bool { return r < '0' || r > '9' })
		if digits >= 0 {
			parts[i] = parts[i][:digits]
		}
		if v[i], err = strconv.Atoi(parts[i]); err != nil {
			return v, fmt.Errorf("parse kernel release %q: %w", release, err)
		}
	}
	return v, nil
}
