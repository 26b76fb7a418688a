package main

import (
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

const (
	manyStarts = 1000
	atATime    = 8
	ourUser    = "flake as an ordinary user"
)

// parallel shows whether starts stand in each other's way.
func parallel(rounds int) scenario {
	user := plainUser.subject(ourUser, nothing, func(e *env) []string { return []string{plainUser.link(e, "true")} })
	s := scenario{
		name: "parallel", title: fmt.Sprintf("%d starts of /bin/true, %d at a time, as root", manyStarts, atATime),
		rounds: min(rounds, 5), reference: ourLink, pictured: true,
		subjects: []subject{
			{name: "native", prepare: nothing, command: func(*env) *exec.Cmd { return exec.Command("/bin/true") }},
			{name: ourLink, prepare: prepareFlake, command: func(e *env) *exec.Cmd { return e.ours(e.link("true")) }},
			user,
			{name: crunRun, prepare: prepareBundle("crun", "/bin/true"), command: bundle("crun", "/bin/true"), thread: privateThread},
		},
		goals: []goal{ratio(ourLink, crunRun, 0.6), noneFails(ourLink), noneFails(ourUser)},
	}
	for i := range s.subjects {
		s.subjects[i].measure = sideBySide
	}
	return s
}

// sideBySide is the time from the first start to the end of the last. What a thread costs is not in it.
func sideBySide(e *env, sub subject) (sample, error) {
	var next atomic.Int64
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	peaks, failures, broken := make([]int64, atATime), make([][]error, atATime), make([]error, atATime)
	for i := range atATime {
		ready.Add(1)
		done.Go(func() {
			arrived := sync.OnceFunc(ready.Done)
			broken[i] = sub.thread.run(e, func() {
				arrived()
				<-begin
				for next.Add(1) <= manyStarts {
					one, err := timed(sub.command(e))
					if err != nil {
						failures[i] = append(failures[i], err)
					}
					peaks[i] = max(peaks[i], one.Peak)
				}
			})
			arrived()
		})
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	done.Wait()
	got := sample{Time: time.Since(start)}
	for i := range atATime {
		got.Peak = max(got.Peak, peaks[i])
		got.Failed += len(failures[i])
		if len(failures[i]) > 0 {
			got.Why = failures[i][0].Error()
		}
	}
	if got.Failed == manyStarts {
		return got, fmt.Errorf("no start succeeds: %s", got.Why)
	}
	return got, errors.Join(broken...)
}
