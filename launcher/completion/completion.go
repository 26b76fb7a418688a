package completion

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// What the shell is to add to the candidates.
const (
	AddNothing = "none"
	AddFiles   = "files"
	AddDirs    = "dirs"
)

// Candidate is one word that can stand where the cursor is.
type Candidate struct{ Value, Help string }

// Sources are the names that only the machine knows.
type Sources struct {
	Images, Flakes func() []string
}

// Answer is what can come next. Add is one of the constants above.
type Answer struct {
	Candidates []Candidate
	Add        string
}

// Complete says what can stand in the place of the last of the words, which follow the program's name. All candidates
// begin with what is there of it. The words before may be wrong: then what can be made of them counts.
func Complete(app *kong.Application, words []string, src Sources) Answer {
	if len(words) == 0 {
		words = []string{""}
	}
	w := &walk{node: app.Node, given: map[*kong.Value]bool{}}
	last := len(words) - 1
	for _, word := range words[:last] {
		w.take(word)
	}
	a := w.answer(words[last], src)
	a.Candidates = slices.DeleteFunc(a.Candidates, func(c Candidate) bool { return !strings.HasPrefix(c.Value, words[last]) })
	return a
}

// walk is how far the words have led into the grammar.
type walk struct {
	node    *kong.Node
	given   map[*kong.Value]bool
	pending *kong.Value // a flag that waits for its value
	args    int         // positional ones of this node
	plain   bool        // only arguments follow
}

func (w *walk) take(word string) {
	switch {
	case w.pending != nil:
		w.pending = nil
	case w.plain:
		w.args++
	case word == "--":
		w.plain = true
	case strings.HasPrefix(word, "--"):
		name, _, attached := strings.Cut(word[2:], "=")
		w.takeFlag(w.long(name), attached)
	case strings.HasPrefix(word, "-") && word != "-":
		w.takeShort(word[1:])
	default:
		w.takeArgument(word)
	}
}

func (w *walk) takeFlag(f *kong.Flag, attached bool) {
	if f == nil {
		return
	}
	w.given[f.Value] = true
	if !attached && wantsValue(f) {
		w.pending = f.Value
	}
}

func (w *walk) takeShort(letters string) {
	for n, letter := range letters {
		f := w.short(letter)
		if f == nil {
			return
		}
		rest := letters[n+len(string(letter)):]
		w.takeFlag(f, rest != "")
		if wantsValue(f) {
			return
		}
	}
}

func (w *walk) takeArgument(word string) {
	if w.args == 0 {
		for _, child := range w.node.Children {
			if child.Name == word || slices.Contains(child.Aliases, word) {
				w.node = child
				return
			}
		}
	}
	if p := w.positional(); p != nil && p.Passthrough {
		w.plain = true
	}
	w.args++
}

// positional is the argument in whose place the cursor is; the last one may be repeated.
func (w *walk) positional() *kong.Value {
	all := w.node.Positional
	switch {
	case w.args < len(all):
		return all[w.args]
	case len(all) > 0 && all[len(all)-1].IsCumulative():
		return all[len(all)-1]
	}
	return nil
}

// flags are those of the node and of all above it.
func (w *walk) flags() []*kong.Flag {
	var all []*kong.Flag
	for n := w.node; n != nil; n = n.Parent {
		all = append(all, n.Flags...)
	}
	return all
}

func (w *walk) long(name string) *kong.Flag {
	for _, f := range w.flags() {
		if f.Name == name || slices.Contains(f.Aliases, name) {
			return f
		}
	}
	return nil
}

func (w *walk) short(letter rune) *kong.Flag {
	for _, f := range w.flags() {
		if f.Short == letter {
			return f
		}
	}
	return nil
}

func wantsValue(f *kong.Flag) bool { return !f.IsBool() && !f.IsCounter() }

func (w *walk) answer(cur string, src Sources) Answer {
	if w.pending != nil {
		return values(w.pending, 0, cur, src)
	}
	if w.plain || !strings.HasPrefix(cur, "-") {
		return w.arguments(cur, src)
	}
	if name, value, ok := strings.Cut(cur, "="); ok {
		f := w.long(strings.TrimPrefix(name, "--"))
		if f == nil || !wantsValue(f) {
			return Answer{Add: AddNothing}
		}
		a := values(f.Value, 0, value, src)
		for n := range a.Candidates {
			a.Candidates[n].Value = name + "=" + a.Candidates[n].Value
		}
		return a
	}
	a := Answer{Add: AddNothing}
	for _, f := range w.flags() {
		if !f.Hidden && (!w.given[f.Value] || f.IsCumulative()) {
			a.Candidates = append(a.Candidates, Candidate{"--" + f.Name, f.Help})
		}
	}
	return a
}

func (w *walk) arguments(cur string, src Sources) Answer {
	a := Answer{Add: AddNothing}
	if p := w.positional(); p != nil {
		a = values(p, w.args, cur, src)
	}
	if w.args == 0 && !w.plain {
		for _, child := range w.node.Children {
			if !child.Hidden {
				a.Candidates = append(a.Candidates, Candidate{child.Name, child.Help})
			}
		}
	}
	return a
}

// values is what a flag or an argument can be; n is the how manieth argument it is.
func values(v *kong.Value, n int, cur string, src Sources) Answer {
	a := Answer{Add: AddNothing}
	if v.Enum != "" {
		for _, word := range v.EnumSlice() {
			if word != "" {
				a.Candidates = append(a.Candidates, Candidate{Value: word})
			}
		}
		return a
	}
	if v.Passthrough && n > 0 { // the command behind an image
		a.Add = AddFiles
		return a
	}
	switch kind(v) {
	case "IMAGE":
		a.Candidates = images(src.Images(), cur)
	case "APP", "FLAKE":
		for _, name := range src.Flakes() {
			a.Candidates = append(a.Candidates, Candidate{Value: name})
		}
	case "FILE", "PATH":
		a.Add = AddFiles
	case "DIR":
		a.Add = AddDirs
	}
	return a
}

// kind is the first word of a placeholder such as PATH[:ro], or of a name.
func kind(v *kong.Value) string {
	text := v.Name
	if v.Flag != nil && v.Flag.PlaceHolder != "" {
		text = v.Flag.PlaceHolder
	}
	text, _, _ = strings.Cut(strings.ToUpper(text), " ")
	text, _, _ = strings.Cut(text, "[")
	return text
}

// images offers the short form of each name, and the whole one to who has begun to write that.
func images(names []string, cur string) []Candidate {
	var out []Candidate
	for _, name := range names {
		short := strings.TrimSuffix(name, ":latest")
		for _, prefix := range []string{"docker.io/library/", "localhost/"} {
			short = strings.TrimPrefix(short, prefix)
		}
		if !strings.HasPrefix(short, cur) {
			short = name
		}
		if c := (Candidate{Value: short}); !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}
