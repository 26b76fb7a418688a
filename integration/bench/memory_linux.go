package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mib       = 1 << 20
	ourBinary = "flake-launcher, the file"
)

// sleep is an app that does nothing for longer than it is looked at.
var sleep = []string{"/bin/sleep", "60"}

// memory is what stays in memory beside an app for as long as it runs, and the size of the launcher. Of ours that is the
// outer process, for which the caller waits, and PID 1.
func memory(rounds int) scenario {
	s := scenario{
		name: "memory", rounds: min(rounds, 5), unit: unitMiB, reference: ourLink, pictured: true,
		title: "Memory beside a sleeping app: all processes from the command down, less the app",
		subjects: []subject{
			{name: ourLink, prepare: prepareSleep, command: func(e *env) *exec.Cmd { return e.ours(e.link("sleep"), sleep[1]) }},
			plainUser.subject(ourUser, prepareUserSleep, func(e *env) []string { return []string{plainUser.link(e, "sleep"), sleep[1]} }),
			{name: bwrapAll, prepare: needs("bwrap"), command: func(e *env) *exec.Cmd { return exec.Command("bwrap", bwrapOver(e.rootfs(), sleep...)...) }},
			{name: crunRun, prepare: prepareBundle("crun", sleep...), command: bundle("crun", sleep...), thread: privateThread},
			{name: runcRun, prepare: prepareBundle("runc", sleep...), command: bundle("runc", sleep...)},
		},
		goals: []goal{
			medianOf(ourLink, 4e6/mib).noted("4 MB, Rss"), medianOf(ourUser, 4e6/mib).noted("4 MB, Rss"), medianOf(ourBinary, 6).noted("stripped"),
		},
	}
	for i := range s.subjects {
		s.subjects[i].measure = resident
	}
	s.subjects = append(s.subjects, subject{name: ourBinary, prepare: nothing, measure: sizeOfLauncher})
	return s
}

func prepareSleep(e *env) error {
	if err := prepareFlake(e); err != nil {
		return err
	}
	return e.register("sleep", sleep[0], "--container", "bookworm")
}

func prepareUserSleep(e *env) error {
	if err := plainUser.prepare(e); err != nil {
		return err
	}
	return plainUser.register(e, "sleep", "--target", sleep[0])
}

func sizeOfLauncher(e *env, _ subject) (sample, error) {
	path := e.binary("flake-launcher")
	program, err := elf.Open(path)
	if err != nil {
		return sample{}, err
	}
	defer program.Close()
	if program.Section(".symtab") != nil {
		return sample{}, fmt.Errorf("%s is not stripped: run `make build`", path)
	}
	st, err := os.Stat(path)
	if err != nil {
		return sample{}, err
	}
	return sample{MiB: float64(st.Size()) / mib}, nil
}

// resident adds up the processes from the one that was started down, once the app runs.
func resident(e *env, sub subject) (got sample, err error) {
	broken := sub.thread.run(e, func() {
		cmd := sub.command(e)
		if err = cmd.Start(); err != nil {
			return
		}
		defer func() { _ = cmd.Wait() }() // killed by us, however it tells that
		var app int
		var others []int
		if app, others, err = family(cmd.Process.Pid); err != nil {
			_ = cmd.Process.Kill()
			return
		}
		defer func() { _ = unix.Kill(app, unix.SIGKILL) }()
		if len(others) == 0 {
			err = fmt.Errorf("nothing stands around the app")
		}
		got.Processes = len(others)
		for _, pid := range others {
			rollup := read(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
			rss, errRSS := kib(rollup, "Rss")
			pss, errPSS := kib(rollup, "Pss")
			if errRSS != nil || errPSS != nil {
				err = fmt.Errorf("read the memory of process %d: %w", pid, errors.Join(errRSS, errPSS))
				return
			}
			got.MiB += rss / 1024
			got.PSS += pss / 1024
		}
	})
	if broken != nil {
		err = broken
	}
	return got, err
}

func kib(text, key string) (float64, error) {
	number, _, _ := strings.Cut(after(text, key+":"), " ")
	return strconv.ParseFloat(number, 64)
}

// family waits until the app runs, and a little longer until those around it have nothing left to do.
func family(top int) (app int, others []int, err error) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		before := app
		app, others = 0, nil
		for _, pid := range tree(top) {
			if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err == nil && filepath.Base(exe) == filepath.Base(sleep[0]) {
				app = pid
			} else {
				others = append(others, pid)
			}
		}
		if app != 0 && app == before {
			return app, others, nil
		}
	}
	return 0, nil, fmt.Errorf("no %s is running below process %d after 10 s", sleep[0], top)
}

// tree is a process with all its descendants.
func tree(top int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		text := read(stat)
		var state string
		var parent int
		if _, err := fmt.Sscan(text[strings.LastIndexByte(text, ')')+1:], &state, &parent); err == nil {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
			children[parent] = append(children[parent], pid)
		}
	}
	list := []int{top}
	for i := 0; i < len(list); i++ {
		list = append(list, children[list[i]]...)
	}
	return list
}
