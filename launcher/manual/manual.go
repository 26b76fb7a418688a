// Package manual writes man pages from the grammars that parse the command lines, so that they cannot tell otherwise.
//
// It is linked by flake-ctl only, which writes flake-run's page too. Entry point: Write.
package manual

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// Write writes the page of a program, section 1. see are other pages that belong to it.
func Write(w io.Writer, app *kong.Application, version string, see ...string) error {
	p := &page{}
	p.line(".TH %s 1 \"\" %s", quote(strings.ToUpper(app.Name)), quote(app.Name+" "+version))
	p.line(".SH NAME")
	p.text(app.Name + " - " + strings.TrimSuffix(app.Help, "."))
	p.line(".SH SYNOPSIS")
	p.line(".B %s", escape(app.Name))
	p.text(strings.TrimPrefix(app.Summary(), app.Name))
	if app.Detail != "" {
		p.line(".SH DESCRIPTION")
	}
	p.detail(app.Detail)
	var commands []*kong.Node
	for _, n := range app.Leaves(true) {
		if !n.Hidden && (n.Parent == nil || !n.Parent.Hidden) {
			commands = append(commands, n)
		}
	}
	if len(commands) > 0 {
		p.line(".SH COMMANDS")
	}
	for _, n := range commands {
		p.command(app, n)
	}
	p.line(".SH OPTIONS")
	p.arguments(app.Positional)
	p.flags(app.Flags)
	p.line(".SH SEE ALSO")
	p.text(strings.Join(see, ", "))
	_, err := io.WriteString(w, p.b.String())
	return err
}

type page struct{ b strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

// text writes one paragraph's words.
func (p *page) text(s string) {
	if s = strings.TrimSpace(s); s != "" {
		p.line("%s", escape(s))
	}
}

func (p *page) command(app *kong.Application, n *kong.Node) {
	p.line(".SS %s", quote(app.Name+" "+n.Summary()))
	p.text(n.Help)
	p.arguments(n.Positional)
	p.flags(n.Flags)
	p.detail(n.Detail)
}

func (p *page) arguments(all []*kong.Positional) {
	for _, a := range all {
		p.term(a.Summary(), a.Help)
	}
}

func (p *page) flags(all []*kong.Flag) {
	for _, f := range all {
		if !f.Hidden {
			p.term(f.String(), f.Help)
		}
	}
}

func (p *page) term(name, help string) {
	p.line(".TP")
	p.line(".B %s", escape(name))
	p.text(help)
}

// detail writes what is said below the flags: paragraphs, and indented ones as they are.
func (p *page) detail(s string) {
	for _, block := range strings.Split(strings.TrimSpace(s), "\n\n") {
		switch {
		case strings.HasPrefix(block, "  "):
			p.line(".PP\n.RS 4\n.nf")
			for _, line := range strings.Split(block, "\n") {
				p.text(line)
			}
			p.line(".fi\n.RE")
		case block != "":
			p.line(".PP")
			p.text(block)
		}
	}
}

// escape keeps text from being taken for requests of roff.
func escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}

func quote(s string) string { return `"` + strings.ReplaceAll(escape(s), `"`, `\(dq`) + `"` }
