package main

import (
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

func main() {
	rounds := flag.Int("rounds", 41, "rounds of each start")
	pulls := flag.Int("pulls", 5, "rounds of each pull")
	only := flag.String("only", "", "regular expression over scenarios' names")
	jsonPath := flag.String("json", "", "file for the raw figures (default bench.json in the directory of the binaries)")
	bin := flag.String("bin", "", "directory of the built binaries (default bin/ of the module)")
	flag.Parse()
	if err := bench(*rounds, *pulls, *only, *jsonPath, *bin); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(rounds, pulls int, only, jsonPath, bin string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("needs root: mounts, and the peers' stores")
	}
	chosen, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	module, err := moduleRoot()
	if err != nil {
		return err
	}
	if bin == "" {
		bin = filepath.Join(module, "bin")
	}
	if jsonPath == "" {
		jsonPath = filepath.Join(bin, "bench.json")
	}
	e, err := newEnv(module, bin)
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

	var results []*result
	for _, s := range scenarios(rounds, pulls) {
		if !chosen.MatchString(s.name) {
			continue
		}
		r := &result{Scenario: s.name, Reference: s.reference, Unit: s.unit, Series: s.run(e, progress(s.name))}
		r.Title = fmt.Sprintf("%s (%d rounds)", s.title, s.rounds)
		if s.name == "pull" && len(e.pushedSizes) > 0 {
			r.Title = fmt.Sprintf("%s: %s (%d rounds)", s.title, describe(e), s.rounds)
		}
		r.judge(s.goals)
		results = append(results, r)
	}
	fmt.Fprint(os.Stderr, "\r\x1b[K")
	facts := machine(e.dir)
	fmt.Println("## This machine")
	fmt.Println()
	for _, key := range factOrder {
		fmt.Printf("- %s: %s\n", key, facts[key])
	}
	for _, r := range results {
		r.print(os.Stdout)
	}
	if err := writeJSON(jsonPath, facts, results); err != nil {
		return err
	}
	fmt.Printf("\nRaw figures: %s\n", jsonPath)
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
