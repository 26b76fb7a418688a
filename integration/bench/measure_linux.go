package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sample is one run: of a time, or of an amount of memory.
type sample struct {
	Time time.Duration `json:"ns,omitempty"`
	Peak int64         `json:"peak_kib,omitempty"` // of the largest process waited for, not below our own at its fork

	MiB float64 `json:"mib,omitempty"`     // resident, or the size of a file
	PSS float64 `json:"pss_mib,omitempty"` // resident, a page that n share counted as 1/n

	Processes int `json:"processes,omitempty"` // whose memory that is

	Failed int    `json:"failed,omitempty"` // of the starts that one run consists of
	Why    string `json:"why,omitempty"`    // the first of them did
}

// figure is what the sample is about, in nanoseconds or MiB.
func (s sample) figure() float64 {
	if s.MiB > 0 {
		return s.MiB
	}
	return float64(s.Time)
}

// series is all runs of one subject.
type series struct {
	Subject string   `json:"subject"`
	Samples []sample `json:"samples"`
	Missing string   `json:"missing,omitempty"` // why it took no part
}

// run is one scenario from preparation to figures.
func (s *scenario) run(e *env, progress func(string)) []series {
	all := make([]series, len(s.subjects))
	for i, sub := range s.subjects {
		all[i].Subject = sub.name
		progress("preparing " + sub.name)
		if err := sub.prepare(e); err != nil {
			all[i].Missing = err.Error()
		}
	}
	// One run to warm up, and to see that it works at all; after all preparations, which can make an earlier plan stale.
	for i, sub := range s.subjects {
		if all[i].Missing != "" {
			continue
		}
		progress("warming up " + sub.name)
		if _, err := s.one(e, sub); err != nil {
			all[i].Missing = err.Error()
		}
	}
	lowerFloor()
	// In another order each round, lest one always comes after the same other; and the same orders each time.
	order := rand.New(rand.NewPCG(1, 2))
	for round := range s.rounds {
		progress(fmt.Sprintf("round %d of %d", round+1, s.rounds))
		for _, i := range order.Perm(len(s.subjects)) {
			sub := s.subjects[i]
			if all[i].Missing != "" || sub.rounds > 0 && round >= sub.rounds {
				continue
			}
			got, err := s.one(e, sub)
			if err != nil {
				all[i].Missing, all[i].Samples = err.Error(), nil
				continue
			}
			all[i].Samples = append(all[i].Samples, got)
		}
	}
	return all
}

// lowerFloor forgets our own peak of memory: a child's counts from there on, and preparations may take much.
func lowerFloor() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

func (s *scenario) one(e *env, sub subject) (got sample, err error) {
	if sub.before != nil {
		if err := sub.before(e); err != nil {
			return got, err
		}
	}
	measure := sub.measure
	if measure == nil {
		measure = runOnce
	}
	if got, err = measure(e, sub); err == nil && sub.after != nil {
		err = sub.after(e)
	}
	return got, err
}

// runOnce is a run of the subject's command.
func runOnce(e *env, sub subject) (got sample, err error) {
	broken := sub.thread.run(e, func() { got, err = timed(sub.command(e)) })
	return got, errors.Join(broken, err)
}

// settle lets what a run has set off come to an end: copies and thousands of mounts are taken away after it.
func settle(*env) error {
	unix.Sync()
	time.Sleep(200 * time.Millisecond)
	return nil
}

// timed takes the time from fork to the end and what the kernel says about memory.
func timed(cmd *exec.Cmd) (sample, error) {
	// Files, and open ones: what package exec does for others would be measured as well.
	fd, err := unix.MemfdCreate("said", unix.MFD_CLOEXEC)
	if err != nil {
		return sample{}, os.NewSyscallError("memfd_create", err)
	}
	said := os.NewFile(uintptr(fd), "said")
	defer said.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return sample{}, err
	}
	defer null.Close()
	if cmd.Stdin == nil {
		cmd.Stdin = null
	}
	if cmd.Stdout == nil {
		cmd.Stdout = null
	}
	cmd.Stderr = said
	start := time.Now()
	err = cmd.Run()
	took := time.Since(start)
	if err != nil {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", fd))
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		return sample{}, fmt.Errorf("%s: %w: %s", cmd.Args[0], err, lines[len(lines)-1])
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return sample{Time: took, Peak: usage.Maxrss}, nil
}

// at is the figure at a quantile of the sorted series.
func (s *series) at(quantile float64) float64 { return s.quantile(quantile, sample.figure) }

func (s *series) quantile(quantile float64, of func(sample) float64) float64 {
	figures := make([]float64, 0, len(s.Samples))
	for _, one := range s.Samples {
		figures = append(figures, of(one))
	}
	slices.Sort(figures)
	return figures[min(int(quantile*float64(len(figures))), len(figures)-1)]
}

// failed counts the starts that failed, and says why the first did.
func (s *series) failed() (n int, why string) {
	for _, one := range s.Samples {
		if n += one.Failed; why == "" {
			why = one.Why
		}
	}
	return n, why
}

// peak is the largest memory of any run, in MiB.
func (s *series) peak() float64 {
	var most int64
	for _, one := range s.Samples {
		most = max(most, one.Peak)
	}
	return float64(most) / 1024
}
