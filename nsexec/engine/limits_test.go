package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/runc/libcontainer/configs"
)

// What is missing above a leaf of version 2 is told by the controllers' names, not by that of a file.
func TestMissingControllers(t *testing.T) {
	failed := errors.New("openat2 /sys/fs/cgroup/a/leaf/memory.max: no such file or directory")
	pids := int64(9)
	all := cgroups.Resources{Memory: 1 << 20, CpuQuota: 1000, PidsLimit: &pids}
	for behaviour, test := range map[string]struct {
		has, given string
		wanted     cgroups.Resources
		cause      string // "": none
		remedy     string
	}{
		"all given":            {"cpu memory pids", "cpu memory pids", all, "no such file", "leave the limits out"},
		"processes in the way": {"cpu memory pids", "", all, "can't give on the controllers that the limits take: cpu, memory, pids", "systemd-run --scope"},
		"only what is wanted":  {"cpu memory pids", "pids", cgroups.Resources{Memory: 1}, "take: memory", "systemd-run --scope"},
		"the kernel has none":  {"cpu pids", "cpu pids", all, "lacks controllers that the limits take: memory", "cgroup_enable=memory"},
		"no limits":            {"cpu memory pids", "", cgroups.Resources{}, "", ""},
	} {
		t.Run(behaviour, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range map[string]string{"cgroup.controllers": test.has, "cgroup.subtree_control": test.given} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := &configs.Config{Cgroups: &cgroups.Cgroup{Resources: &test.wanted}}
			err := limitError(failed, c, map[string]string{"": filepath.Join(dir, "leaf")})
			if test.cause == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var limits *LimitError
			if !errors.As(err, &limits) || !strings.Contains(err.Error(), test.cause) || !strings.Contains(limits.Remedy(), test.remedy) {
				t.Fatalf("%v", err)
			}
		})
	}
}
