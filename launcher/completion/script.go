package completion

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
)

// The scripts ask `flake-ctl complete PROGRAM WORD…` and know nothing of the grammar themselves.
var (
	//go:embed scripts/flake-ctl.bash
	bash string
	//go:embed scripts/_flake-ctl
	zsh string
	//go:embed scripts/flake-ctl.fish
	fish string
)

// Script is the completion script of a shell, for flake-ctl and flake-run; "" for a shell that is not known.
func Script(shell string) string {
	return map[string]string{"bash": bash, "zsh": zsh, "fish": fish}[shell]
}

// Write prints the answer as the scripts read it: what to add, then a candidate a line, with its help behind a tab.
func (a Answer) Write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, a.Add)
	for _, c := range a.Candidates {
		if strings.ContainsAny(c.Value, "\t\n") {
			continue
		}
		b.WriteString(c.Value)
		if help := strings.Join(strings.Fields(c.Help), " "); help != "" {
			b.WriteString("\t" + help)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
