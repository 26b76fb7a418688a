package elflink

import (
	"bytes"
	"path"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// usualPath is where programs are looked for on the host, and in images that don't say otherwise.
var usualPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// script is an executable file that begins with "#!".
type script struct {
	at      spot
	interp  string
	program string // that env looks for
}

// scripts finds the scripts among the files. Examples in documentation are executable, too, and nobody starts them.
func (l *linker) scripts() []script {
	var out []script
	for _, place := range l.roots {
		e := l.appTree.entry(place)
		if e.kind != hostlink.KindFile || e.source == "" || e.mode&0o111 == 0 || strings.HasPrefix(place, "/usr/share/doc/") {
			continue
		}
		if l.app.objects[e.source] != nil {
			continue
		}
		if s, ok := l.readScript(spot{entry: e, path: place}); ok {
			out = append(out, s)
		}
	}
	return out
}

func (l *linker) readScript(at spot) (script, bool) {
	if s, ok := l.shebangs[at.source]; ok {
		s.at = at
		return s, s.interp != ""
	}
	s := script{at: at}
	if f, err := l.appTree.open(at.path); err == nil {
		defer f.Close()
		head := make([]byte, 256) // the kernel's BINPRM_BUF_SIZE
		n, _ := f.ReadAt(head, 0) // short files are no error
		s.interp, s.program = parseShebang(head[:n])
	}
	l.shebangs[at.source] = s
	return s, s.interp != ""
}

// parseShebang returns the interpreter and, if that is env, the program that it will look for.
func parseShebang(head []byte) (interp, program string) {
	line, ok := bytes.CutPrefix(head, []byte("#!"))
	if !ok {
		return "", ""
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	words := strings.Fields(string(line))
	if len(words) == 0 || !path.IsAbs(words[0]) || strings.IndexByte(words[0], 0) >= 0 {
		return "", ""
	}
	interp = path.Clean(words[0])
	if path.Base(interp) == "env" {
		program = envProgram(words[1:])
	}
	return interp, program
}

// envProgram passes over env's options and assignments.
func envProgram(words []string) string {
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "-u", w == "-C", w == "--unset", w == "--chdir":
			i++
		case strings.HasPrefix(w, "-S") && len(w) > 2:
			return envProgram(append([]string{w[2:]}, words[i+1:]...))
		case strings.HasPrefix(w, "--split-string="):
			return envProgram(append([]string{strings.TrimPrefix(w, "--split-string=")}, words[i+1:]...))
		case strings.HasPrefix(w, "-"), strings.Contains(w, "="):
		case strings.IndexByte(w, 0) >= 0:
			return ""
		default:
			return w
		}
	}
	return ""
}

// script looks for the interpreter of a script.
func (l *linker) script(s script) (again bool) {
	by := &member{found: &found{spot: s.at}}
	again = l.scriptUses(problem{kind: NeedInterpreter, by: by, name: s.interp}, []string{s.interp})
	if s.program == "" {
		return again
	}
	var places []string
	switch {
	case path.IsAbs(s.program):
		places = []string{s.program}
	case strings.Contains(s.program, "/"):
		return again // below the current directory
	default:
		for _, dir := range l.req.Path {
			places = append(places, join(dir, s.program))
		}
	}
	return l.scriptUses(problem{kind: NeedProgram, by: by, name: s.program}, places) || again
}

func (l *linker) scriptUses(p problem, places []string) bool {
	for _, place := range places {
		if at := follow(l.appTree, place); isProgram(at) {
			if at.source == "" {
				l.use(p.need(), at.path)
			}
			return false
		}
	}
	return l.answer(p)
}

func isProgram(at spot) bool { return at.kind == hostlink.KindFile && at.mode&0o111 != 0 }

// scriptNeed finds an interpreter or program on the host.
func (l *linker) scriptNeed(p *problem) (*found, string) {
	places := []string{p.name}
	if !path.IsAbs(p.name) {
		places = nil
		for _, dir := range usualPath {
			places = append(places, join(dir, p.name))
		}
	}
	for _, place := range places {
		if at := follow(l.hostTree, place); isProgram(at) {
			return &found{spot: at, as: place, obj: l.host.read(at)}, ""
		}
	}
	return nil, "neither the images nor the host have it"
}
