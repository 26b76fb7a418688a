package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// sudoers is a machine of which the tests write the sudoers file, with `probe` registered by root as a flake that runs
// as root.
type sudoers struct {
	user   *fixture.Sandbox // has an account and no rights
	link   string
	passwd string
	dir    string // root's
}

const sudoPassword = "open sesame"

func newSudoers(t *testing.T) *sudoers {
	t.Helper()
	fixture.RequireProgram(t, "sudo")
	system, alice, _ := shared(t)
	runAsRoot(t, system, "probe")
	accounts, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	hash, err := exec.Command(fixture.RequireProgram(t, "openssl"), "passwd", "-6", sudoPassword).Output()
	if err != nil {
		t.Fatal(err)
	}
	m := &sudoers{user: alice, link: system.Link("probe"), dir: system.Tmp}
	m.passwd = m.file(t, "passwd", 0o644, string(accounts)+fmt.Sprintf("alice:%s:%s::%s:/bin/sh\n", strings.TrimSpace(string(hash)), alice.By.Owner(), alice.Home))
	return m
}

// runAsRoot adds to a registration what no option of `register` does.
func runAsRoot(t *testing.T, s *fixture.Sandbox, name string) {
	t.Helper()
	s.Mkdir(filepath.Join(s.Registrations, name+".d"))
	s.WriteFile(filepath.Join(s.Registrations, name+".d", "root.yaml"), "container: {runtime: {runas: root}}\n")
}

func (m *sudoers) file(t *testing.T, name string, mode os.FileMode, text string) string {
	t.Helper()
	path := filepath.Join(m.dir, name)
	_ = os.Remove(path)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// with is the user where sudoers says this, LINK standing for the flake's, and other files are others.
func (m *sudoers) with(t *testing.T, rules string, files ...string) *fixture.Sandbox {
	t.Helper()
	// Debian's own, and nothing of it is to stay on the machine.
	text := "Defaults env_reset, use_pty, passwd_tries=1, lecture=never, !mailerpath, !syslog, !fqdn, timestampdir=" + m.dir + "/ts\n" +
		"Defaults secure_path=\"/usr/sbin:/usr/bin:/sbin:/bin\"\n" + strings.ReplaceAll(rules, "LINK", m.link) + "\n"
	over := map[string]string{"/etc/passwd": m.passwd, "/etc/sudoers": m.file(t, "sudoers", 0o440, text)}
	for _, file := range files {
		name, by, _ := strings.Cut(file, "=")
		over[name] = by
	}
	s := m.user.In(t)
	s.Mounts(over)
	return s
}

// call starts the flake without a terminal, with a standard input on which somebody could wait for ever.
func (m *sudoers) call(t *testing.T, s *fixture.Sandbox, args ...string) *fixture.Result {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	return s.ExecWith(func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.SysProcAttr = r, &syscall.SysProcAttr{Setsid: true}
	}, m.link, args...)
}

func TestSudo(t *testing.T) {
	m := newSudoers(t)
	for behaviour, rules := range map[string]string{
		"by the command":          "alice ALL=(root) NOPASSWD: LINK",
		"by anything":             "alice ALL=(ALL:ALL) NOPASSWD: ALL",
		"all that the caller has": "Defaults !env_reset\nalice ALL=(root) NOPASSWD: SETENV: LINK",
		"another default":         "Defaults runas_default=nobody\nalice ALL=(root) NOPASSWD: LINK",
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := m.with(t, rules)
			if res := m.call(t, s, "id"); res.Stdout != "0:0 root\n" || res.Stderr != "" || res.Code != 0 {
				t.Errorf("%v", res)
			}
			for _, want := range []int{1, 42, 125, 255} {
				if res := m.call(t, s, "exit", strconv.Itoa(want)); res.Code != want || res.Stderr != "" {
					t.Errorf("want status %d and no word of ours, got %v", want, res)
				}
			}
			if res := m.call(t, s, "raise", "15"); res.Signal != syscall.SIGTERM {
				t.Errorf("want death by SIGTERM, got %v", res)
			}
			args := []string{"", " ", "a b", "two\nlines", `\n "quoted" 'too'`, "$HOME", "*", "-n", "-u", "--", "A=b", "\xff"}
			var got []string
			res := m.call(t, s, append([]string{"args"}, args...)...)
			if err := json.Unmarshal([]byte(res.Stdout), &got); err != nil {
				t.Fatalf("%v in %v", err, res)
			}
			args[len(args)-1] = "\ufffd" // as JSON has it
			if diff := cmp.Diff(args, got); diff != "" {
				t.Errorf("arguments (-given +seen):\n%s", diff)
			}
		})
	}
}

// The app sees what root's own start shows it, whatever sudoers lets through.
func TestSudoEnvironment(t *testing.T) {
	m := newSudoers(t)
	var want []string
	root := *m.user
	root.By = fixture.Root
	if err := json.Unmarshal([]byte(root.With("HOME=/root").MustExec(m.link, "env").Stdout), &want); err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	for behaviour, rules := range map[string]string{
		"reset": "", "kept": "Defaults !env_reset", "kept by name": `Defaults env_keep += "SECRET FLAKES_ROOT LD_PRELOAD"`,
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := m.with(t, rules+"\nalice ALL=(root) NOPASSWD: LINK").With("SECRET=told", "AWS_SECRET_ACCESS_KEY=told", "BASH_FUNC_x%%=() { :; }")
			res := m.call(t, s, "env")
			var got []string
			if err := json.Unmarshal([]byte(res.Stdout), &got); err != nil {
				t.Fatalf("%v in %v", err, res)
			}
			slices.Sort(got)
			want := slices.Clone(want)
			if behaviour == "kept" { // HOME among them: it is root's then
				want[slices.Index(want, "HOME=/root")] = "HOME=" + s.Home
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("environment (-of root's own start +by sudo):\n%s", diff)
			}
		})
	}
	t.Run("sudo's own", func(t *testing.T) {
		spy := m.file(t, "spy", 0o755, "#!/bin/sh\nexec env\n")
		s := m.with(t, "", "/usr/bin/sudo="+spy).With("SECRET=told", "SUDO_PROMPT=?", "FLAKES_ROOT_X=told")
		res := m.call(t, s, "env")
		if strings.Contains(res.Stdout, "told") || !strings.Contains(res.Stdout, "SUDO_PROMPT=?") || !strings.Contains(res.Stdout, "HOME="+s.Home) {
			t.Errorf("%v", res)
		}
	})
}

func TestSudoRefused(t *testing.T) {
	m := newSudoers(t)
	for behaviour, test := range map[string]struct {
		rules string
		files []string
		want  []string
	}{
		"nobody in sudoers":       {"", nil, []string{"sudo refuses", "password", "NOPASSWD: LINK", "terminal"}},
		"password needed":         {"alice ALL=(root) LINK", nil, []string{"sudo refuses", "password", "NOPASSWD: LINK", "terminal"}},
		"never asks":              {"Defaults !authenticate", nil, []string{"sudo refuses", "alice may not run sudo"}},
		"another command":         {"alice ALL=(root) NOPASSWD: /bin/true", nil, []string{"not allowed", "NOPASSWD: LINK"}},
		"other arguments":         {"alice ALL=(root) NOPASSWD: LINK ids", nil, []string{"not allowed", "NOPASSWD: LINK"}},
		"another user":            {"alice ALL=(nobody) NOPASSWD: LINK", nil, []string{"not allowed", "NOPASSWD: LINK"}},
		"a terminal needed":       {"Defaults requiretty\nalice ALL=(root) NOPASSWD: LINK", nil, []string{"sudo refuses", "tty", "`sudo LINK`"}},
		"broken sudoers":          {"alice ALL=(root", nil, []string{"sudo refuses", "syntax error", "`sudo LINK`"}},
		"without its rights":      {"alice ALL=(root) NOPASSWD: LINK", []string{"/usr/bin/sudo=PLAIN"}, []string{"sudo refuses", "setuid"}},
		"not installed":           {"alice ALL=(root) NOPASSWD: LINK", []string{"/usr/bin/sudo=/dev/null"}, []string{"not installed", "install sudo"}},
		"a host without a name":   {"", []string{"/usr/bin/sudo=NAMELESS"}, []string{"sudo refuses: a password is required", "terminal"}},
		"no account of this name": {"alice ALL=(root) NOPASSWD: LINK", []string{"/etc/passwd=NOBODY"}, []string{"sudo refuses", "passwd database"}},
	} {
		t.Run(behaviour, func(t *testing.T) {
			for n, file := range test.files {
				switch name, by, _ := strings.Cut(file, "="); by {
				case "PLAIN":
					text, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					test.files[n] = name + "=" + m.file(t, "plain", 0o755, string(text))
				case "NAMELESS":
					text := "#!/bin/sh\necho 'sudo: unable to resolve host box: Name or service not known' >&2\necho 'sudo: a password is required' >&2\nexit 1\n"
					test.files[n] = name + "=" + m.file(t, "nameless", 0o755, text)
				case "NOBODY":
					test.files[n] = name + "=" + m.file(t, "nobody", 0o644, "root:x:0:0:root:/root:/bin/sh\n")
				}
			}
			s := m.with(t, test.rules, test.files...)
			for n := range test.want {
				test.want[n] = strings.ReplaceAll(test.want[n], "LINK", m.link)
			}
			refusedInTwoLines(t, s, m.call(t, s, "id"), test.want...)
		})
	}
	// What can't be known beforehand ends by sudo's own words and status.
	t.Run("password needed, not for the question", func(t *testing.T) {
		s := m.with(t, "Defaults listpw=never\nalice ALL=(root) LINK")
		if res := m.call(t, s, "id"); res.Code != 1 || res.Stderr != "sudo: a password is required\n" {
			t.Errorf("%v", res)
		}
	})
	t.Run("no new privileges", func(t *testing.T) {
		s := m.with(t, "alice ALL=(root) NOPASSWD: LINK")
		res := s.ExecWith(func(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }, fixture.RequireProgram(t, "setpriv"), "--no-new-privs", m.link, "id")
		refusedInTwoLines(t, s, res, "no new privileges", "`sudo "+m.link)
	})
}

func refusedInTwoLines(t *testing.T, s *fixture.Sandbox, res *fixture.Result, want ...string) {
	t.Helper()
	s.Refused(res, want...)
	if res.Code != 125 || res.Stdout != "" || strings.Count(res.Stderr, "\n") != 2 || strings.Count(res.Stderr, "remedy: ") != 1 || res.Took > 20*time.Second {
		t.Errorf("want status 125 and two lines, soon: %v", res)
	}
}

// Root would not find a registration of the user's, or take another of the same name.
func TestSudoForAUsersOwnFlake(t *testing.T) {
	m := newSudoers(t)
	s := m.with(t, "alice ALL=(ALL:ALL) NOPASSWD: ALL")
	s.Load(fixture.ProbeBase(t))
	for _, name := range []string{"mine", "probe"} {
		s.Register(name, "probe", "--target", "/bin/probe")
		runAsRoot(t, s, name)
		refusedInTwoLines(t, s, s.App(name, "id"), filepath.Join(s.Registrations, name+".yaml"), "as root", "/etc/flakes")
	}
}

// onTerminal starts the flake with a controlling terminal but on standard input, and types what is asked for.
func (m *sudoers) onTerminal(t *testing.T, s *fixture.Sandbox, typed, stdin string, args ...string) (said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := s.Command(ctx, m.link, args...)
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	tty, err := pty.StartWithAttrs(cmd, nil, &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	var all bytes.Buffer
	for b := make([]byte, 1024); ; {
		n, err := tty.Read(b)
		all.Write(b[:n])
		if err != nil {
			break
		}
		if typed != "" && strings.Contains(all.String(), "assword") {
			if _, err := io.WriteString(tty, typed+"\n"); err != nil {
				t.Fatal(err)
			}
			typed = ""
		}
	}
	_ = cmd.Wait()
	if ctx.Err() != nil {
		t.Errorf("it hangs")
	}
	return all.String(), cmd.ProcessState.ExitCode()
}

func TestSudoOnATerminal(t *testing.T) {
	m := newSudoers(t)
	for behaviour, test := range map[string]struct {
		rules, typed, stdin string
		args                []string
		code                int
		want, not           string
	}{
		"without a password":      {"alice ALL=(root) NOPASSWD: LINK", "", "", []string{"id"}, 0, "0:0 root", "assword"},
		"right password":          {"alice ALL=(root) LINK", sudoPassword, "", []string{"id"}, 0, "0:0 root", "remedy"},
		"status after a password": {"alice ALL=(root) LINK", sudoPassword, "", []string{"exit", "42"}, 42, "assword", "remedy"},
		// The terminal is not on standard input, and what comes there is the app's.
		"in a pipeline":          {"alice ALL=(root) LINK", sudoPassword, "data", []string{"sum"}, 0, "4 3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7", "remedy"},
		"wrong password":         {"alice ALL=(root) LINK", "wrong", "", []string{"id"}, 1, "incorrect password", "0:0"},
		"right, but not allowed": {"bob ALL=(root) LINK", sudoPassword, "", []string{"id"}, 1, "not in the sudoers file", "0:0"},
		"known without asking":   {"alice ALL=(root) NOPASSWD: /bin/true", "", "", []string{"id"}, 125, "remedy", "assword:"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s := m.with(t, "Defaults timestamp_timeout=0\n"+test.rules)
			said, code := m.onTerminal(t, s, test.typed, test.stdin, test.args...)
			if code != test.code || !strings.Contains(said, test.want) || strings.Contains(said, test.not) {
				t.Errorf("want status %d, %q and no %q, got %d:\n%s", test.code, test.want, test.not, code, said)
			}
		})
	}
}
