package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// factOrder is how the report shows the machine's facts.
var factOrder = []string{"date", "kernel", "system", "cpu", "cpus", "load", "file system", "cgroups", "peers", "memory floor"}

// machine collects what the figures depend on.
func machine(dir string) map[string]string {
	var uts unix.Utsname
	_ = unix.Uname(&uts)
	cgroups := "v1"
	switch {
	case hybrid():
		cgroups = "hybrid (v1 and an empty v2): crun and podman run in a mount namespace without the latter"
	case exists("/sys/fs/cgroup/cgroup.controllers"):
		cgroups = "v2"
	}
	var fs unix.Statfs_t
	_ = unix.Statfs(dir, &fs)
	return map[string]string{
		"date":        time.Now().UTC().Format("2006-01-02 15:04 MST"),
		"kernel":      unix.ByteSliceToString(uts.Release[:]) + " " + runtime.GOARCH,
		"system":      after(read("/etc/os-release"), "PRETTY_NAME="),
		"cpu":         after(read("/proc/cpuinfo"), "model name"),
		"cpus":        fmt.Sprint(runtime.NumCPU()),
		"load":        strings.TrimSpace(read("/proc/loadavg")),
		"file system": fmt.Sprintf("type %#x at the temporary directory", fs.Type),
		"cgroups":     cgroups,
		"peers":       peers(),
	}
}

func peers() string {
	var list []string
	for _, program := range []string{"bwrap", "crun", "runc", "podman"} {
		out, err := exec.Command(program, "--version").Output()
		if err != nil {
			continue
		}
		line, _, _ := strings.Cut(string(out), "\n")
		list = append(list, line)
	}
	return strings.Join(list, ", ")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func read(path string) string {
	text, _ := os.ReadFile(path)
	return string(text)
}

// after is the value behind key in lines of KEY=VALUE or KEY : VALUE.
func after(text, key string) string {
	for _, line := range strings.Split(text, "\n") {
		if rest, ok := strings.CutPrefix(line, key); ok {
			return strings.Trim(strings.TrimLeft(rest, " \t:="), `"`)
		}
	}
	return "unknown"
}
