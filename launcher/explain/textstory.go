package explain

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// Write prints the story for people.
func (t *Story) Write(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintln(&b, shown(t.Path))
	for _, s := range t.Steps {
		fmt.Fprintf(&b, "  %s is a symlink to %s (%s)\n", shown(s.Path), shown(s.Text), shown(origin(s.Role, s.Name)))
	}
	t.writeFound(&b)
	for _, l := range t.Layers {
		fmt.Fprintf(&b, "  %s: %s\n", shown(origin(l.Role, l.Name)), l.words())
	}
	if len(t.Layers) == 0 {
		fmt.Fprintln(&b, "  no layer has it")
	}
	t.writeHost(&b)
	for _, n := range t.Named {
		fmt.Fprintf(&b, "  named by %s as %s: %s", shown(n.Because.words()), shown(n.Because.Entry), n.Outcome)
		if n.Reason != "" {
			fmt.Fprintf(&b, ", %s", shown(n.Reason))
		}
		fmt.Fprintln(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func origin(role, name string) string {
	if name == "" {
		return role
	}
	return role + " " + name
}

func (t *Story) writeFound(b *bytes.Buffer) {
	if t.Taken {
		fmt.Fprintf(b, "  the app finds nothing at %s: the launcher hides the images' lists of host files\n", shown(t.Place))
		return
	}
	if t.Is == nil {
		fmt.Fprintf(b, "  the app finds nothing at %s\n", shown(t.Place))
		return
	}
	f := t.Is
	fmt.Fprintf(b, "  the app finds a %s, mode %s, owner %s:%s", f.Kind, f.Mode, owner(f.UID), owner(f.GID))
	if f.Kind == "file" {
		fmt.Fprintf(b, ", %s", size(f.Size))
	}
	if t.Place != t.Path {
		fmt.Fprintf(b, ", at %s", shown(t.Place))
	}
	fmt.Fprintf(b, ", from %s", shown(origin(f.Role, f.Name)))
	if f.How != "" {
		fmt.Fprintf(b, " (%s)", shown(f.How))
	}
	fmt.Fprintln(b)
}

func owner(id int) string {
	if id == nobody {
		return "nobody"
	}
	return strconv.Itoa(id)
}

func (l *Sighting) words() string {
	text := ""
	switch {
	case l.Kind != "":
		text = "has a " + l.Kind + ", mode " + l.Mode
		if l.Kind == "file" {
			text += ", " + size(l.Size)
		}
		if l.Hides != "" {
			text += ", and hides what is below it (" + l.Hides + " " + shown(l.At) + ")"
		}
	default:
		text = "hides what is below it (" + l.Hides + " " + shown(l.At) + ")"
	}
	switch {
	case l.Wins:
		text += ": this one"
	case l.Hidden:
		text += "; hidden itself"
	}
	return text
}

func (t *Story) writeHost(b *bytes.Buffer) {
	h := t.Host
	if h == nil {
		fmt.Fprintln(b, "  the host has none")
		return
	}
	fmt.Fprintf(b, "  the host has a %s at %s, mode %s, owner %d:%d: ", h.Kind, shown(h.Source), h.Mode, h.UID, h.GID)
	switch {
	case h.Shown != "" && h.Why != "":
		fmt.Fprintf(b, "shown by %s, %s\n", h.Shown, shown(h.Why))
	case h.Shown != "":
		fmt.Fprintf(b, "shown by %s\n", h.Shown)
	default:
		fmt.Fprintf(b, "not shown, %s\n", shown(h.Why))
	}
}
