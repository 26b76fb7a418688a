package option

import (
	"fmt"
	"path/filepath"
)

// Common are the flags that say how images are started; flake-run, register and the hidden compile have them alike.
type Common struct {
	User          string   `short:"u" placeholder:"USER" help:"Run as this user of the image: a name or number, with :GROUP if wanted."`
	Profile       string   `enum:",native,project,isolated" default:"" placeholder:"PROFILE" help:"How much of the caller the app sees: native, project or isolated."`
	Share         []string `sep:"none" placeholder:"PATH[:ro]" help:"Show this path of the host, too; with ? at the end it may be missing. Or ssh-agent, dbus, wayland, x11, dri."`
	Network       string   `enum:",host,none" default:"" placeholder:"NET" help:"host or none (default: as the profile says)."`
	Workdir       string   `short:"w" placeholder:"DIR" help:"Start in this directory."`
	PreserveFDs   bool     `name:"preserve-fds" help:"Hand over descriptors beyond standard error, too."`
	Writable      string   `enum:",tmpfs,disk,none" default:"" placeholder:"WHERE" help:"Where the app may write: tmpfs (default), disk or none."`
	Engine        string   `enum:",direct,libcontainer" default:"" placeholder:"ENGINE" help:"How to start it: direct (default) or libcontainer."`
	IDs           string   `name:"ids" enum:",single,range" default:"" placeholder:"IDS" help:"Ids of an ordinary user's start: single (his own), or range (those of /etc/subuid)."`
	Nesting       bool     `help:"Let the app start flakes and other containers of its own."`
	IncludeTar    []string `sep:"none" placeholder:"FILE" help:"Unpack this archive of the host at / on top of the images; may be repeated."`
	IncludePath   []string `sep:"none" placeholder:"PATH" help:"Put this file or directory of the host at its path on top of the images; may be repeated."`
	HostPackage   []string `sep:"none" placeholder:"PACKAGE" help:"Show the files of this package of the host, with what they need (see --host-deps); may be repeated."`
	HostDeps      string   `enum:",files,libs,packages" default:"" placeholder:"DEPS" help:"What comes along with --host-package: files (nothing), libs (default: libraries that the images lack), packages (all that the package needs)."`
	IgnoreMissing bool     `name:"ignore-missing-packages" help:"Do without packages that images or --host-package ask for and the host lacks."`
	Opt           List     `placeholder:"OPTION" help:"An option of podman create, such as \"--volume /srv:/srv\"; may be repeated."`
}

// Absolute makes the paths of the host absolute: what is kept must not depend on where it was said. An empty one is
// refused: it would be the current directory, with all that is in it.
func (c *Common) Absolute() error {
	for flag, paths := range map[string][]string{"--include-tar": c.IncludeTar, "--include-path": c.IncludePath} {
		for n, path := range paths {
			if path == "" {
				return fmt.Errorf("%s: the path is empty", flag)
			}
			if abs, err := filepath.Abs(path); err == nil {
				paths[n] = abs
			}
		}
	}
	return nil
}

// Words are the flags as arguments of a command that has them, in an order of their own: equal sets give equal words.
func (c Common) Words() []string {
	var out []string
	add := func(flag string, values ...string) {
		for _, v := range values {
			if v != "" {
				out = append(out, flag+"="+v)
			}
		}
	}
	for _, s := range []struct {
		flag   string
		values []string
	}{
		{"--user", []string{c.User}}, {"--profile", []string{c.Profile}}, {"--share", c.Share}, {"--network", []string{c.Network}},
		{"--workdir", []string{c.Workdir}}, {"--writable", []string{c.Writable}}, {"--engine", []string{c.Engine}}, {"--ids", []string{c.IDs}},
		{"--include-tar", c.IncludeTar}, {"--include-path", c.IncludePath},
		{"--host-package", c.HostPackage}, {"--host-deps", []string{c.HostDeps}}, {"--opt", c.Opt},
	} {
		add(s.flag, s.values...)
	}
	if c.PreserveFDs {
		out = append(out, "--preserve-fds")
	}
	if c.IgnoreMissing {
		out = append(out, "--ignore-missing-packages")
	}
	if c.Nesting {
		out = append(out, "--nesting")
	}
	return out
}
