package integration

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// installed is what `make install` makes of the programs that are built already, without building them.
func installed(t *testing.T, verb, dir string) {
	t.Helper()
	cmd := exec.Command(fixture.RequireProgram(t, "make"), "-o", "build", "DESTDIR="+dir, "PREFIX=/usr", verb)
	cmd.Dir = fixture.ModuleRoot()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make %s: %v\n%s", verb, err, out)
	}
}

func TestInstalledFiles(t *testing.T) {
	dir := t.TempDir()
	installed(t, "install", dir)
	for _, name := range []string{
		"bin/flake-ctl", "share/man/man1/flake-ctl.1", "share/man/man1/flake-run.1", "share/bash-completion/completions/flake-ctl", "share/bash-completion/completions/flake-run",
		"share/zsh/site-functions/_flake-ctl", "share/fish/vendor_completions.d/flake-ctl.fish", "share/fish/vendor_completions.d/flake-run.fish",
	} {
		if st, err := os.Stat(filepath.Join(dir, "usr", name)); err != nil || !st.Mode().IsRegular() {
			t.Errorf("%s: %v", name, err)
		}
	}
	installed(t, "uninstall", dir)
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			t.Errorf("uninstall left %s", path)
		}
		return nil
	})
}

// What a key does in the shells that the tests start.
const (
	keyTab  = "\t"
	keyAll  = "\x14" // writes all candidates into the line
	keyShow = "\x07" // prints the line
)

// completing are the lines that people type, and what comes of them. %T is the directory for files.
var completing = map[string]struct {
	typed, keys string
	want        []string
}{
	"a command":                 {"flake-ctl versi", keyTab, []string{"flake-ctl version "}},
	"commands":                  {"flake-ctl re", keyAll, []string{"register", "remove"}},
	"a flag":                    {"flake-ctl register --check", keyTab, []string{"--check-host-dependencies "}},
	"values":                    {"flake-ctl images --format ", keyAll, []string{"table", "json", "csv"}},
	"a value behind =":          {"flake-run --ids=r", keyTab, []string{"flake-run --ids=range"}},
	"flakes":                    {"flake-ctl remove pro", keyAll, []string{"probe", "probing"}},
	"an image":                  {"flake-run --base del", keyTab, []string{"--base delta "}},
	"a tag":                     {"flake-run docker.io/library/delta:l", keyTab, []string{"docker.io/library/delta:latest"}},
	"an image as argument":      {"flake-run --nesting del", keyTab, []string{"--nesting delta "}},
	"a file":                    {"flake-run --include-tar %T/arch", keyTab, []string{"%T/archive.tar"}},
	"a file behind =":           {"flake-run --include-tar=%T/arch", keyTab, []string{"--include-tar=%T/archive.tar"}},
	"a file of the command":     {"flake-run probe /bin/probe cat -- %T/arch", keyTab, []string{"%T/archive.tar"}},
	"a directory":               {"flake-run --workdir %T/d", keyTab, []string{"%T/directory"}},
	"nothing where nothing is":  {"flake-ctl version no", keyTab, []string{"flake-ctl version no"}},
	"behind a word that is cut": {"flake-run -e A=b:c --ids r", keyTab, []string{"-e A=b:c --ids range "}},
}

func TestCompletion(t *testing.T) { fixture.Each(t, testCompletion) }

func testCompletion(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Load(fixture.Delta(t, "delta", `file x data="x"`))
	s.Register("probing", "probe", "--target", "/bin/probe")
	s.WriteFile(filepath.Join(s.Tmp, "archive.tar"), "")
	s.Mkdir(filepath.Join(s.Tmp, "directory"))
	s.WriteFile(filepath.Join(s.Tmp, "dull"), "")
	dir := t.TempDir()
	fixture.OpenWay(t, dir)
	installed(t, "install", dir)
	share := filepath.Join(dir, "usr", "share")
	s = s.With("PATH="+filepath.Dir(s.Binary("flake-ctl"))+":/usr/bin:/bin", "XDG_DATA_DIRS="+share+":/usr/share", "TERM=xterm", "LC_ALL=C.UTF-8")

	for shell, begin := range map[string]func(t *testing.T) func(typed, keys string) string{
		"bash": func(t *testing.T) func(string, string) string {
			rc := filepath.Join(s.Tmp, "bashrc")
			s.WriteFile(rc, `PS1='READY> '
source /usr/share/bash-completion/bash_completion
bind 'set bell-style none' 'set enable-bracketed-paste off'
bind '"\C-t": insert-completions'
bind -x '"\C-g": printf "\nLINE<%s>LINE\n" "$READLINE_LINE"'
`)
			return terminal(t, s, "bash", "--rcfile", rc, "-i")
		},
		"zsh": func(t *testing.T) func(string, string) string {
			s.WriteFile(filepath.Join(s.Home, ".zshrc"), `PS1='READY> '; unsetopt zle_bracketed_paste beep; unset zle_bracketed_paste
fpath=(`+share+`/zsh/site-functions $fpath)
autoload -Uz compinit && compinit -u
zstyle ':completion:all:*' completer _all_matches _complete
zstyle ':completion:all:*' insert true
zle -C all complete-word _generic
show() { print -r -- $'\n'"LINE<$BUFFER>LINE" }
zle -N show
bindkey '^T' all '^G' show '^I' complete-word
`)
			return terminal(t, s, "zsh", "-i")
		},
		"fish": func(t *testing.T) func(string, string) string {
			fish := fixture.RequireProgram(t, "fish")
			return func(typed, _ string) string {
				before := typed[:strings.LastIndexByte(typed, ' ')+1]
				var out []string
				for _, line := range strings.Split(s.MustExec(fish, "-c", `complete -C "`+typed+`"`).Stdout, "\n") {
					word, _, _ := strings.Cut(line, "\t")
					out = append(out, before+word+" ")
				}
				if len(out) == 1 {
					return typed
				}
				return strings.Join(out, "\n")
			}
		},
	} {
		t.Run(shell, func(t *testing.T) {
			fixture.RequireProgram(t, shell)
			ask := begin(t)
			for name, test := range completing {
				in := func(text string) string { return strings.ReplaceAll(text, "%T", s.Tmp) }
				got := ask(in(test.typed), test.keys)
				for _, want := range test.want {
					if !strings.Contains(got, in(want)) {
						t.Errorf("%s: %q became %q, without %q", name, in(test.typed), got, in(want))
					}
				}
				if strings.Contains(got, "dull") {
					t.Errorf("%s: a file where a directory is wanted: %q", name, got)
				}
			}
		})
	}
}

var shown = regexp.MustCompile(`(?s)LINE<(.*?)>LINE`)

// terminal starts a shell on a terminal of its own, and gives a function that types a line and keys and says what the
// line is then.
func terminal(t *testing.T, s *fixture.Sandbox, shell string, args ...string) func(typed, keys string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := s.Command(ctx, fixture.RequireProgram(t, shell), args...)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 400})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); tty.Close(); _ = cmd.Wait() })
	screen := make(chan string)
	go func() {
		defer close(screen)
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			if err != nil {
				return
			}
			screen <- string(buf[:n])
		}
	}()
	seen := ""
	until := func(done func() bool) {
		t.Helper()
		for !done() {
			select {
			case text, ok := <-screen:
				if !ok {
					t.Fatalf("%s ended: %q", shell, seen)
				}
				seen += text
			case <-time.After(20 * time.Second):
				t.Fatalf("%s is silent after %q", shell, seen)
			}
		}
	}
	until(func() bool { return strings.Contains(seen, "READY> ") })
	return func(typed, keys string) string {
		t.Helper()
		seen = ""
		// Ctrl-U takes away what the last one left.
		if _, err := tty.WriteString("\x05\x15" + typed + keys + keyShow); err != nil {
			t.Fatal(err)
		}
		until(func() bool { return shown.MatchString(seen) })
		return shown.FindStringSubmatch(seen)[1]
	}
}
