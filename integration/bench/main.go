package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// options are the flags.
type options struct {
	rounds, pulls            int
	only, json, results, bin string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 41, "rounds of each start; scenarios that take long make fewer")
	flag.IntVar(&o.pulls, "pulls", 5, "rounds of each pull")
	flag.StringVar(&o.only, "only", "", "regular expression over scenarios' names")
	flag.StringVar(&o.json, "json", "", "file for the raw figures (default bench.json in the directory of the binaries)")
	flag.StringVar(&o.results, "results", "", "directory for the tables and pictures (default that of the raw figures)")
	flag.StringVar(&o.bin, "bin", "", "directory of the built binaries (default bin/ of the module)")
	flag.Parse()
	if err := bench(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(o options) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("needs root: mounts, and the peers' stores")
	}
	chosen, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	module, err := moduleRoot()
	if err != nil {
		return err
	}
	o.bin = cmp.Or(o.bin, filepath.Join(module, "bin"))
	o.json = cmp.Or(o.json, filepath.Join(o.bin, "bench.json"))
	o.results = cmp.Or(o.results, filepath.Dir(o.json))
	e, err := newEnv(module, o.bin)
	if e != nil {
		defer e.close()
	}
	if err != nil {
		return err
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		e.close()
		os.Exit(130)
	}()

	facts := machine(e.dir)
	var results []*result
	for _, s := range scenarios(o.rounds, o.pulls) {
		if chosen.MatchString(s.name) {
			results = append(results, s.result(e))
		}
	}
	fmt.Fprint(os.Stderr, "\r\x1b[K")
	// A child's peak counts the pages it shared with us between fork and exec.
	facts["memory floor"] = after(read("/proc/self/status"), "VmHWM")
	return report(o, facts, results)
}

// report prints the tables and writes the files.
func report(o options, facts map[string]string, results []*result) error {
	var text bytes.Buffer
	fmt.Fprint(&text, "## This machine\n\n")
	for _, key := range factOrder {
		fmt.Fprintf(&text, "- %s: %s\n", key, facts[key])
	}
	printGoals(&text, results)
	fmt.Fprint(&text, "\n## Figures\n")
	for _, r := range results {
		r.print(&text)
	}
	fmt.Print(text.String())
	if err := writeJSON(o.json, facts, results); err != nil {
		return err
	}
	if err := writeResults(o.results, text.String(), pictureFacts(facts), results); err != nil {
		return err
	}
	fmt.Printf("\nRaw figures: %s; tables and pictures: %s\n", o.json, o.results)
	return nil
}

// writeResults keeps the tables, and draws what there is to draw.
func writeResults(dir, tables string, facts []string, results []*result) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	tables = "# What `make bench` has found\n\n" + tables
	if err := os.WriteFile(filepath.Join(dir, "results.md"), []byte(tables), 0o644); err != nil {
		return err
	}
	if p := draw(results, facts); len(p.Charts) > 0 {
		if err := writeSVG(filepath.Join(dir, "comparison.svg"), svgTemplate, p); err != nil {
			return err
		}
	}
	for _, r := range results {
		if len(r.Timelines) > 0 {
			return writeSVG(filepath.Join(dir, "phases.svg"), phaseTemplate, drawPhases(r.Timelines, facts))
		}
	}
	return nil
}

// progress shows on a terminal what is being done; elsewhere it is silent.
func progress(scenario string) func(string) {
	info, err := os.Stderr.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return func(string) {}
	}
	return func(what string) { fmt.Fprintf(os.Stderr, "\r\x1b[K%s: %s", scenario, what) }
}

func moduleRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if file == "" || file == os.DevNull {
		return "", fmt.Errorf("not inside the module: run it from the repository")
	}
	return filepath.Dir(file), nil
}
