package selftest

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/flake-launcher/flake-launcher/launcher/plan"
)

// Test is one comparison.
type Test struct {
	// Probe is the file of the probe on the host, Launcher that of flake-launcher, which finds the derived plan under Name.
	Probe, Launcher, Name string
	// Plan is the flake's own, Profile the name of its profile.
	Plan    *plan.Plan
	Profile string
	// Quick leaves out statuses and signals, for each of which there is a start.
	Quick bool
}

// Row is one field of the comparison.
type Row struct {
	Field   string `json:"field"`
	Native  string `json:"native"`
	Flake   string `json:"flake"`
	Verdict string `json:"verdict"`
	Reason  string `json:"reason,omitempty"`
}

// The verdicts.
const (
	Same     = "same"
	Expected = "expected"
	Differs  = "DIFFERS"
)

// conditions are what the probe is started under: not the usual values, which everything has anyway.
var conditions = []string{
	"umask=0057", "nice=3", "limit=3:4194304:67108864", "limit=4:4096:8192", "limit=7:512:4096",
	"ignore=1", "ignore=13", "block=12", "open=3", "open=9",
}

// variables are added to the caller's environment: bytes of all kinds, and one that no app may get.
var variables = []string{"SELFTEST_VARIABLE=a b=c %HOME \"'\n\xff", "LD_LIBRARY_PATH=/nonexistent"}

// words are arguments that are easily taken for somebody else's.
func words() []string {
	all := make([]byte, 255)
	for i := range all {
		all[i] = byte(i + 1)
	}
	return []string{"", "@scope/x", "%s", "--", "-h", "--help", "init", "a b", "*", "$HOME", string(all), strings.Repeat("x", 100_000)}
}

// side is one of the two ways to start the probe: the file to execute, and its argv[0].
type side struct{ file, argv0 string }

func (t *Test) sides() [2]side {
	return [2]side{{t.Probe, t.Probe}, {t.Launcher, t.Name}}
}

// Run runs the probe both ways and compares.
func (t *Test) Run(ctx context.Context) ([]Row, error) {
	var seen [2]observation
	for n, s := range t.sides() {
		o, err := t.observe(ctx, s)
		if err != nil {
			return nil, err
		}
		for _, more := range []func(context.Context, side) (string, string, error){t.terminals, t.streams, t.statuses, t.signals} {
			field, value, err := more(ctx, s)
			if err != nil {
				return nil, err
			}
			if field != "" {
				o.add(field, value)
			}
		}
		seen[n] = o
	}
	return t.compare(seen[0], seen[1]), nil
}

// observe has the probe report what it has.
func (t *Test) observe(ctx context.Context, s side) (observation, error) {
	r := t.start(ctx, s, streams{}, append([]string{"report"}, words()...)...)
	if r.err != nil || r.status != 0 {
		return observation{}, &RunError{Flake: t.Plan.Name, Side: s.argv0, result: r}
	}
	return parse(r.stdout), nil
}

// terminals reports with each combination of terminals and pipes as the three descriptors.
func (t *Test) terminals(ctx context.Context, s side) (string, string, error) {
	var wrong []string
	for mask := range 8 {
		at := streams{}
		for fd := range at.terminal {
			at.terminal[fd] = mask>>fd&1 == 1
		}
		r := t.start(ctx, s, at, "report")
		if r.err != nil || r.status != 0 {
			return "", "", &RunError{Flake: t.Plan.Name, Side: s.argv0, result: r}
		}
		o := parse(r.stdout)
		for fd, key := range []string{"stdin is", "stdout is", "stderr is"} {
			want := "of type 10000"
			if at.terminal[fd] {
				want = fmt.Sprintf("a terminal of %dx%d", columns, lines)
			}
			if o.values[key] != want {
				wrong = append(wrong, fmt.Sprintf("%03b: %s %s", mask, key, o.values[key]))
			}
		}
	}
	return "terminals and pipes", summary(wrong, "all 8 combinations"), nil
}

// streams sends data through.
func (t *Test) streams(ctx context.Context, s side) (string, string, error) {
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	r := t.start(ctx, s, streams{stdin: data}, "copy")
	var wrong []string
	if r.err != nil || r.status != 0 {
		return "", "", &RunError{Flake: t.Plan.Name, Side: s.argv0, result: r}
	}
	if !bytes.Equal(r.stdout, data) {
		wrong = append(wrong, fmt.Sprintf("stdout has other bytes than stdin (%d of %d)", len(r.stdout), len(data)))
	}
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	if !bytes.Equal(r.stderr, every) {
		wrong = append(wrong, "stderr: "+strconv.Quote(string(r.stderr)))
	}
	return "standard streams", summary(wrong, "1 MiB through, stderr apart"), nil
}

func (t *Test) statuses(ctx context.Context, s side) (string, string, error) {
	if t.Quick {
		return "", "", nil
	}
	wrong, err := t.each(256, func(n int) (string, error) {
		r := t.start(ctx, s, streams{}, "exit", strconv.Itoa(n))
		if r.err != nil || r.status == n && r.signal == 0 {
			return "", r.err
		}
		return fmt.Sprintf("%d: %s", n, r), nil
	})
	return "exit statuses", summary(wrong, "0-255"), err
}

// harmless signals end nobody; the last four are stops.
var harmless = []int{int(syscall.SIGCHLD), int(syscall.SIGCONT), int(syscall.SIGURG), int(syscall.SIGWINCH),
	int(syscall.SIGSTOP), int(syscall.SIGTSTP), int(syscall.SIGTTIN), int(syscall.SIGTTOU)}

func (t *Test) signals(ctx context.Context, s side) (string, string, error) {
	if t.Quick {
		return "", "", nil
	}
	wrong, err := t.each(65, func(n int) (string, error) {
		if n == 0 || slices.Contains(harmless, n) {
			return "", nil
		}
		r := t.start(ctx, s, streams{}, "raise", strconv.Itoa(n))
		if r.err != nil || int(r.signal) == n {
			return "", r.err
		}
		return fmt.Sprintf("%d: %s", n, r), nil
	})
	return "deaths by signal", summary(wrong, "all of 1-64 that kill"), err
}

// each runs a numbered test n times, some at once, and collects what it finds wrong, in order.
func (t *Test) each(n int, test func(n int) (string, error)) ([]string, error) {
	found, errs := make([]string, n), make([]error, n)
	var all sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for i := range n {
		slots <- struct{}{}
		all.Go(func() {
			found[i], errs[i] = test(i)
			<-slots
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("run the probe: %w", err)
		}
	}
	return slices.DeleteFunc(found, func(s string) bool { return s == "" }), nil
}

// summary is what a field of many tests shows.
func summary(wrong []string, good string) string {
	switch {
	case len(wrong) == 0:
		return good
	case len(wrong) > 4:
		return fmt.Sprintf("%s; and %d more", strings.Join(wrong[:4], "; "), len(wrong)-4)
	}
	return strings.Join(wrong, "; ")
}

// RunError says that the probe did not get as far as to tell anything.
type RunError struct {
	Flake, Side string
	result      result
}

func (e *RunError) Error() string {
	words := strings.TrimSpace(string(e.result.stderr))
	if e.result.err != nil {
		words = e.result.err.Error()
	}
	return fmt.Sprintf("run the probe as %s, for %q: %s: %s", e.Side, e.Flake, e.result, words)
}

// Remedy implements the CLI's second line.
func (e *RunError) Remedy() string { return "start the flake itself, which says what is wrong with it" }

// environ is what the probe is started with.
func environ() []string { return append(os.Environ(), variables...) }
