package explain

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// examples is how many of a kind are shown where not all are.
const examples = 3

// Write prints the explanation for people; with all, each host file and each entry that was left out has its line.
func (e *Explanation) Write(w io.Writer, all bool) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s: %s, registered in %s\n", e.Flake, shown(e.Link), shown(e.Registration))
	fmt.Fprintf(&b, "runs %s\n", shown(strings.Join(e.Command, " ")))
	fmt.Fprintln(&b, "plan: "+e.Plan.words())
	e.writeOrigins(&b)
	e.writeTree(&b, all)
	e.writeHost(&b, all)
	e.writeLeftOut(&b, all)
	e.writeLibraries(&b, all)
	e.writeTrouble(&b, all)
	e.writeShares(&b)
	_, err := w.Write(b.Bytes())
	return err
}

func (s PlanState) words() string {
	switch s.State {
	case "none":
		return "none yet; the next start compiles it"
	case "stale":
		return "stale, " + shown(s.Changed) + " changed; the next start compiles it again. This is what it would get"
	}
	return "fresh"
}

func (e *Explanation) writeHost(b *bytes.Buffer, all bool) {
	s := e.Strategy
	fmt.Fprintf(b, "\nhost files: %d (%d through the host layer, %d bind mounts, %d symlinks)\n", len(e.HostFiles), s.Layer, s.Bind, s.Symlinks)
	if s.NoLayer != "" {
		fmt.Fprintf(b, "  no host layer: %s\n", shown(s.NoLayer))
	}
	if s.Strict {
		fmt.Fprintln(b, "  freshness: strict, each start looks at each of them")
	}
	if all {
		for _, f := range e.HostFiles {
			fmt.Fprintf(b, "  %s  %s, %s\n", shown(f.Place), f.means(), shown(f.Because.words()))
		}
		return
	}
	groups := group(e.HostFiles, func(f HostFile) (string, string) { return f.means() + ", asked for by " + f.Because.who(), f.Place })
	for _, g := range groups {
		g.write(b)
	}
}

// means is how the file is shown, and why so.
func (f *HostFile) means() string {
	switch {
	case f.Reason != "":
		return f.Strategy + " (" + shown(f.Reason) + ")"
	case f.Source != f.Place && f.Strategy != BySymlink:
		return f.Strategy + " of " + shown(f.Source)
	}
	return f.Strategy
}

// who is what asked, without the line.
func (b Because) who() string {
	switch b.From {
	case hostlink.SourceRemoved:
		return "the manifest of " + b.Image
	case hostlink.SourceScript:
		return "/systemfiles of " + b.Image
	case hostlink.SourcePackage:
		return "host package " + b.Image
	case hostlink.SourceLibrary:
		return "programs and libraries of host packages"
	case hostlink.SourceLink:
		return "a symlink of the manifest of " + b.Image
	}
	return strings.TrimSpace(b.From + " " + b.Image)
}

func (b Because) words() string {
	text := b.who()
	if b.From == hostlink.SourceLink {
		text = "the symlink " + b.For + " (" + b.Image + ")"
	}
	if b.From == hostlink.SourceLibrary {
		return fmt.Sprintf("%s, which needs it: %s", b.For, b.Why)
	}
	if b.Line > 0 {
		text += fmt.Sprintf(", line %d", b.Line)
	}
	return text
}

func (e *Explanation) writeLeftOut(b *bytes.Buffer, all bool) {
	if len(e.LeftOut) == 0 {
		return
	}
	fmt.Fprintf(b, "\nleft out: %d entries of manifests\n", len(e.LeftOut))
	if all {
		for _, l := range e.LeftOut {
			fmt.Fprintf(b, "  %s  %s: %s (%s)\n", shown(l.Because.Entry), l.Cause, shown(l.Reason), shown(l.Because.words()))
		}
		return
	}
	for _, g := range group(e.LeftOut, func(l LeftOut) (string, string) {
		if l.Cause == "duplicate" {
			return l.Cause, l.Because.Entry // each has a reason of its own
		}
		return l.Cause + ": " + l.Reason, l.Because.Entry
	}) {
		g.write(b)
	}
}

func (e *Explanation) writeLibraries(b *bytes.Buffer, all bool) {
	l := e.Libraries
	if len(l.Used)+len(l.Host)+len(l.Missing) == 0 {
		return
	}
	fmt.Fprintf(b, "\nwhat files of the host need: %d from the images, %d from the host besides, %d missing\n", len(l.Used), len(l.Host), len(l.Missing))
	limit := examples
	if all {
		limit = max(len(l.Host), len(l.Missing))
	}
	for _, m := range l.Missing[:min(len(l.Missing), limit)] {
		fmt.Fprintf(b, "  missing: %s\n", shown(m.String()))
	}
	more(b, len(l.Missing), limit)
	for _, t := range l.Host[:min(len(l.Host), limit)] {
		fmt.Fprintf(b, "  from the host: %s\n", shown(t.String()))
	}
	more(b, len(l.Host), limit)
}

func (e *Explanation) writeTrouble(b *bytes.Buffer, all bool) {
	limit := examples
	if all {
		limit = max(len(e.Dangling), len(e.Replaced), len(e.Unreadable))
	}
	if n := len(e.Dangling); n > 0 {
		fmt.Fprintf(b, "\nsymlinks whose target only the host has: %d\n", n)
		for _, d := range e.Dangling[:min(n, limit)] {
			fmt.Fprintf(b, "  %s needs %s: %s\n", shown(d.Place), shown(d.Missing), shown(d.Reason))
		}
		more(b, n, limit)
	}
	if n := len(e.Replaced); n > 0 {
		fmt.Fprintf(b, "\nof another kind than in the images: %d\n", n)
		for _, r := range e.Replaced[:min(n, limit)] {
			fmt.Fprintf(b, "  %s was a %s, is a %s\n", shown(r.Place), r.Was, r.Now)
		}
		more(b, n, limit)
	}
	if n := len(e.Unreadable); n > 0 {
		fmt.Fprintf(b, "\nnot yours to read, nor the app's: %d\n", n)
		for _, u := range e.Unreadable[:min(n, limit)] {
			fmt.Fprintf(b, "  %s\n", shown(u))
		}
		more(b, n, limit)
	}
}

func more(b *bytes.Buffer, n, limit int) {
	if n > limit {
		fmt.Fprintf(b, "  and %d more\n", n-limit)
	}
}

func (e *Explanation) writeShares(b *bytes.Buffer) {
	s := e.Shares
	fmt.Fprintf(b, "\nprofile %s: HOME %s, ", s.Profile, shown(s.Home))
	if s.CwdIsHis {
		fmt.Fprint(b, "the caller's directory")
	} else {
		fmt.Fprintf(b, "starts in %s", shown(s.Cwd))
	}
	network := "no network"
	if s.Network {
		network = "the host's network"
	}
	fmt.Fprintf(b, ", %s, writable: %s\n", network, s.Writable)
	for _, x := range s.Binds {
		line := "  shares " + shown(x.Source)
		if x.Tmpfs {
			line = "  an empty file system"
		}
		if x.Target != x.Source {
			line += " at " + shown(x.Target)
		}
		if x.ReadOnly {
			line += ", read-only"
		}
		if x.Optional {
			line += ", if it is there"
		}
		fmt.Fprintln(b, line)
	}
	for _, dir := range s.Protected {
		fmt.Fprintf(b, "  never writable: %s\n", shown(dir))
	}
	for _, c := range s.Copies {
		fmt.Fprintf(b, "  a copy of %s at each start\n", shown(c.Source))
	}
}

// grouped are entries that have the same to say.
type grouped struct {
	text  string
	items []string
}

// group keeps the order of the first of each, the larger groups first.
func group[T any](list []T, by func(T) (text, item string)) []*grouped {
	var out []*grouped
	at := map[string]*grouped{}
	for _, x := range list {
		text, item := by(x)
		if at[text] == nil {
			at[text] = &grouped{text: text}
			out = append(out, at[text])
		}
		at[text].items = append(at[text].items, item)
	}
	slices.SortStableFunc(out, func(a, b *grouped) int { return cmp.Compare(len(b.items), len(a.items)) })
	return out
}

func (g *grouped) write(b *bytes.Buffer) {
	var some []string
	for _, item := range g.items[:min(len(g.items), examples)] {
		some = append(some, shown(item))
	}
	text := strings.Join(some, ", ")
	if len(g.items) > examples {
		text += ", …"
	}
	fmt.Fprintf(b, "  %6d  %s: %s\n", len(g.items), shown(g.text), text)
}

// shown is text that can be printed on a terminal: an image may name its files as it likes.
func shown(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}

func size(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	f, u := float64(n), 0
	for f >= 1000 && u < len(units)-1 {
		f, u = f/1000, u+1
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}
