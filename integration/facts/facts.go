package facts

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// ErrNoCompiler says that there is none for the program.
var ErrNoCompiler = errors.New("needs a C compiler for the program that tells facts")

// Build compiles the program into dir and gives its path.
func Build(dir string) (string, error) {
	sources, err := filepath.Glob(filepath.Join(fixture.ModuleRoot(), "integration/facts/testdata/*.c"))
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "facts")
	for _, cc := range []string{"musl-gcc", "gcc", "cc"} {
		if _, err := exec.LookPath(cc); err != nil {
			continue
		}
		args := append([]string{"-std=gnu11", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", path}, sources...)
		if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", cc, err, out)
		}
		return path, nil
	}
	return "", ErrNoCompiler
}

// Facts are what an app found out, by name.
type Facts map[string]string

// Parse reads what the program told, and leaves out what differs between any two starts.
func Parse(out string) (Facts, error) {
	f := Facts{}
	parts := strings.Split("\n"+out, "\n@ ")
	if strings.TrimSpace(parts[len(parts)-1]) != "end" {
		return nil, fmt.Errorf("read facts: there is no end of them: %.2000q", out)
	}
	for _, part := range parts[1 : len(parts)-1] {
		name, value, _ := strings.Cut(part, "\n")
		if _, twice := f[name]; twice {
			return nil, fmt.Errorf("read facts: there are two of %s", name)
		}
		f[name] = value
	}
	return f, f.normalise()
}

// ofStatus are the lines of a status file that tell about rights.
var ofStatus = []string{"Name", "Umask", "State", "PPid", "TracerPid", "Uid", "Gid", "Groups", "Threads", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt",
	"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters", "Speculation_Store_Bypass",
	"SpeculationIndirectBranch", "Cpus_allowed", "Mems_allowed_list", "CoreDumping", "THP_enabled"}

// ofInit are those of PID 1's, which is asleep or not, and has signals of its own.
var ofInit = []string{"Name", "PPid", "TracerPid", "Uid", "Gid", "Groups", "Threads", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
	"NoNewPrivs", "Seccomp", "Seccomp_filters", "Umask"}

func (f Facts) normalise() error {
	for _, who := range []struct {
		file  string
		lines []string
	}{{"self", ofStatus}, {"1", ofInit}} {
		name := "file /proc/" + who.file + "/status"
		for _, line := range strings.Split(f[name], "\n") {
			if field, value, ok := strings.Cut(line, ":"); ok && slices.Contains(who.lines, field) {
				f["status "+who.file+" "+field] = strings.TrimSpace(value)
			}
		}
		delete(f, name)
		name = "file /proc/" + who.file + "/mountinfo"
		f[name] = normalMounts(f[name])
	}
	for name := range f {
		ns, ok := strings.CutPrefix(name, "link /proc/self/ns/")
		if !ok {
			continue
		}
		host, err := os.Readlink("/proc/self/ns/" + ns)
		if err != nil {
			return err
		}
		f["own namespace "+ns] = fmt.Sprint(strings.TrimSpace(f[name]) != host)
		delete(f, name)
	}
	for name, value := range f {
		if strings.HasPrefix(name, "directory ") {
			lines := strings.Split(strings.TrimSpace(value), "\n")
			slices.Sort(lines)
			f[name] = strings.Join(lines, "\n")
		}
	}
	const group, keys = "file /proc/self/autogroup", "file /proc/keys"
	f[group] = regexp.MustCompile(`-\d+`).ReplaceAllString(f[group], "")
	rings := regexp.MustCompile(`keyring +(_ses\S*): `).FindAllStringSubmatch(f[keys], -1)
	f["session keyrings without a name"] = fmt.Sprint(!slices.ContainsFunc(rings, func(m []string) bool { return m[1] != "_ses" }))
	delete(f, keys)
	return nil
}

var (
	mountIDs     = regexp.MustCompile(`^\d+ \d+ \d+:\d+ `)
	overlayPaths = regexp.MustCompile(`(lowerdir\+?|datadir\+?|upperdir|workdir)=[^, ]*`)
)

// normalMounts leaves from each line root, mount point, options, file system, source and its options, sorted: the order
// says nothing where nothing is covered.
func normalMounts(info string) string {
	lines := strings.Split(strings.TrimSpace(info), "\n")
	for i, l := range lines {
		l = mountIDs.ReplaceAllString(l, "")
		before, after, ok := strings.Cut(l, " - ")
		f := strings.Fields(before)
		if !ok || len(f) < 3 {
			continue
		}
		// without optional fields: which master a slave follows
		lines[i] = strings.Join(f[:3], " ") + " - " + overlayPaths.ReplaceAllString(after, "$1=…")
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
