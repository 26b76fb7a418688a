package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"
)

// sample is one run.
type sample struct {
	Time time.Duration `json:"ns"`
	Peak int64         `json:"peak_kib"` // of the largest process waited for, not below our own at its fork
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
			continue
		}
		// One run to warm up, and to see that it works at all.
		if _, err := s.one(e, sub); err != nil {
			all[i].Missing = err.Error()
		}
	}
	lowerFloor()
	for round := range s.rounds {
		progress(fmt.Sprintf("round %d of %d", round+1, s.rounds))
		for i, sub := range s.subjects {
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
	if sub.measure != nil {
		return sub.measure(e, sub)
	}
	broken := sub.thread.run(e, func() { got, err = timed(sub.command(e)) })
	return got, errors.Join(broken, err)
}

// timed takes the time from fork to the end and what the kernel says about memory.
func timed(cmd *exec.Cmd) (sample, error) {
	var said bytes.Buffer
	cmd.Stderr = &said
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return sample{}, fmt.Errorf("%s: %w: %s", cmd.Args[0], err, lines[len(lines)-1])
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return sample{Time: took, Peak: usage.Maxrss}, nil
}

// at is the sample's time at a quantile of the sorted series.
func (s *series) at(quantile float64) time.Duration {
	times := make([]time.Duration, 0, len(s.Samples))
	for _, one := range s.Samples {
		times = append(times, one.Time)
	}
	slices.Sort(times)
	return times[min(int(quantile*float64(len(times))), len(times)-1)]
}

// peak is the largest memory of any run, in MiB.
func (s *series) peak() float64 {
	var most int64
	for _, one := range s.Samples {
		most = max(most, one.Peak)
	}
	return float64(most) / 1024
}
