package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// TestOptions is a table of podman's options with what an app sees of them.
func TestOptions(t *testing.T) { fixture.Each(t, testOptions) }

func testOptions(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	data := filepath.Join(s.Tmp, "data dir")
	s.Mkdir(data)
	s.WriteFile(filepath.Join(data, "file"), "the host's")
	vars := filepath.Join(s.Tmp, "vars")
	s.WriteFile(vars, "# comment\nFROM_FILE=a b=%HOME\nORIGIN=file\n\nMINE\n")
	s = s.With("MINE=caller's", "WHERE="+data, "NOT_MINE=x")
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	file := data + "/file"
	ns := func(name string) string { return readlink(t, "/proc/self/ns/"+name) }
	for name, test := range map[string]struct {
		opts []string
		args []string
		want string
		not  bool // what is wanted must not be there
		by   string
	}{
		"flake-pilot's own":         {opts: []string{`\--rm`, "-ti", "--init"}, args: []string{"id"}, want: by.OwnerInside()},
		"volume":                    {opts: []string{"--volume=" + s.Tmp + ":/srv/x"}, args: []string{"cat", "/srv/x/data dir/file"}, want: "the host's"},
		"volume with a blank":       {opts: []string{`-v "` + data + `:/srv/x y"`}, args: []string{"cat", "/srv/x y/file"}, want: "the host's"},
		"volume as flake-pilot":     {opts: []string{"-v " + data + ":/srv/x y"}, args: []string{"cat", "/srv/x y/file"}, want: "the host's"},
		"volume by variables":       {opts: []string{"-v %WHERE:%WHERE/in"}, args: []string{"cat", data + "/in/file"}, want: "the host's"},
		"volume, a file":            {opts: []string{"-v %WHERE/file:/etc/origin"}, args: []string{"cat", "/etc/origin"}, want: "the host's"},
		"volume, read-only":         {opts: []string{"-v %WHERE:/srv/x:ro"}, args: []string{"touch", "/srv/x/file"}, want: "EROFS"},
		"volume, writable":          {opts: []string{"-v %WHERE:/srv/x"}, args: []string{"touch", "/srv/x/file"}, want: "ok"},
		"volume, read-only root":    {opts: []string{"-v %WHERE:/new/x", "--read-only"}, args: []string{"touch", "/new/x/file", "/etc/x"}, want: "ok EROFS"},
		"mount":                     {opts: []string{"--mount type=bind,src=%WHERE,dst=/srv/x,ro"}, args: []string{"touch", "/srv/x/file"}, want: "EROFS"},
		"tmpfs":                     {opts: []string{"--tmpfs /etc:size=64k,mode=750"}, args: []string{"stat", "/etc", "/etc/origin"}, want: "40000 750 " + by.OwnerInside() + " 40  none"},
		"tmpfs over a volume":       {opts: []string{"--tmpfs %HOME/x", "-v %HOME:%HOME"}, args: []string{"touch", s.Home + "/x/y"}, want: "ok"},
		"tmpfs, its size":           {opts: []string{"--tmpfs /t:size=64k,noexec"}, args: []string{"cat", "/proc/mounts"}, want: "tmpfs /t tmpfs rw,nosuid,nodev,noexec,relatime,size=64k"},
		"mount of a tmpfs":          {opts: []string{"--mount type=tmpfs,dst=/new/t,tmpfs-mode=700", "--read-only"}, args: []string{"touch", "/new/t/x"}, want: "ok"},
		"device":                    {opts: []string{"--device /dev/zero:/dev/nil"}, args: []string{"stat", "/dev/nil"}, want: "20000 666"},
		"device directory":          {opts: []string{"--device /dev/net"}, args: []string{"ls", "/dev/net"}, want: "tun"},
		"variable":                  {opts: []string{"-e A=%WHERE/%NONE/5%", "--env ORIGIN=x"}, args: []string{"env"}, want: `"A=` + data + `//5%"`},
		"variable over the image's": {opts: []string{"-e ORIGIN=x"}, args: []string{"env"}, want: `"ORIGIN=x"`},
		"variable of the caller":    {opts: []string{"-e MINE"}, args: []string{"env"}, want: `"MINE=caller's"`},
		"no other variable":         {opts: []string{"-e MINE"}, args: []string{"env"}, want: "NOT_MINE", not: true},
		"file of variables":         {opts: []string{"--env-file " + vars}, args: []string{"env"}, want: `"FROM_FILE=a b=%HOME"`},
		"file over the image's":     {opts: []string{"--env-file " + vars}, args: []string{"env"}, want: `"ORIGIN=file"`},
		"file of the caller's":      {opts: []string{"--env-file " + vars}, args: []string{"env"}, want: `"MINE=caller's"`},
		"option over file":          {opts: []string{"--env-file " + vars, "-e ORIGIN=opt"}, args: []string{"env"}, want: `"ORIGIN=opt"`},
		"workdir":                   {opts: []string{"-w /usr/bin"}, args: []string{"cwd"}, want: "/usr/bin"},
		"workdir by a variable":     {opts: []string{"-w %WHERE/../x"}, args: []string{"cwd"}, want: s.Tmp + "/x"},
		"no network":                {opts: []string{"--net none"}, args: []string{"stat", "/proc/self/ns/net"}, want: ns("net"), not: true},
		"the host's network":        {opts: []string{"--network=host"}, args: []string{"stat", "/proc/self/ns/net"}, want: ns("net")},
		"hostname":                  {opts: []string{"-h box"}, args: []string{"cat", "/proc/sys/kernel/hostname"}, want: "box"},
		"the host's name":           {opts: []string{"--uts host"}, args: []string{"stat", "/proc/self/ns/uts"}, want: ns("uts")},
		"a name of its own":         {opts: []string{"--uts private"}, args: []string{"cat", "/proc/sys/kernel/hostname"}, want: hostname},
		"the host's ipc":            {opts: []string{"--ipc host"}, args: []string{"stat", "/proc/self/ns/ipc"}, want: ns("ipc")},
		"the host's shm":            {opts: []string{"--ipc host"}, args: []string{"ls", "/dev/shm"}, want: "flake-options-test"},
		"the host's pids":           {opts: []string{"--pid host"}, args: []string{"stat", "/proc/self/ns/pid"}, want: ns("pid")},
		"read-only":                 {opts: []string{"--read-only"}, args: []string{"touch", "/tmp/x"}, want: "EROFS"},
		"added capability":          {opts: []string{"--cap-add net_raw"}, args: []string{"status", "CapBnd"}, want: "00000000800425fb"},
		"added, for a user":         {opts: []string{"--cap-add CAP_NET_RAW"}, args: []string{"status", "CapEff", "CapAmb"}, want: "CapEff:\t0000000000002000 CapAmb:\t0000000000002000", by: "user"},
		"added, as another user":    {opts: []string{"--cap-add CAP_NET_RAW", "-u 7:8"}, args: []string{"status", "CapEff", "CapAmb"}, want: "CapEff:\t0000000000002000 CapAmb:\t0000000000002000", by: "root"},
		"all capabilities":          {opts: []string{"--cap-add all"}, args: []string{"status", "CapBnd"}, want: "CapBnd:\t000001f"},
		"dropped capability":        {opts: []string{"--cap-drop chown,KILL"}, args: []string{"status", "CapBnd"}, want: "CapBnd:\t00000000800405da"},
		"all but one dropped":       {opts: []string{"--cap-drop ALL --cap-add KILL"}, args: []string{"status", "CapBnd"}, want: "CapBnd:\t0000000000000020"},
		"no filter":                 {opts: []string{"--security-opt seccomp=unconfined"}, args: []string{"status", "Seccomp_filters"}, want: "Seccomp_filters:\t1"},
		"new privileges":            {opts: []string{"--security-opt no-new-privileges=false"}, args: []string{"status", "NoNewPrivs", "Seccomp_filters"}, want: "NoNewPrivs:\t0 Seccomp_filters:\t1"},
		"no new privileges":         {opts: []string{"--security-opt no-new-privileges"}, args: []string{"status", "NoNewPrivs"}, want: "NoNewPrivs:\t1"},
		"noted security":            {opts: []string{"--security-opt label=disable --security-opt apparmor=unconfined"}, args: []string{"id"}, want: by.OwnerInside()},
		"mask":                      {opts: []string{"--security-opt mask=/usr/bin/none:/usr/lib"}, args: []string{"cat", "/proc/mounts"}, want: "tmpfs /usr/lib tmpfs ro"},
		"unmask":                    {opts: []string{"--security-opt unmask=/proc/ke*"}, args: []string{"cat", "/proc/mounts"}, want: "/proc/keys", not: true},
		"still masked":              {opts: []string{"--security-opt unmask=/proc/ke*"}, args: []string{"cat", "/proc/mounts"}, want: "/proc/interrupts"},
		"unmask all":                {opts: []string{"--security-opt unmask=ALL"}, args: []string{"cat", "/proc/mounts"}, want: "/proc/interrupts", not: true},
		"privileged, its rights":    {opts: []string{"--privileged"}, args: []string{"status", "CapBnd", "Seccomp_filters", "NoNewPrivs"}, want: "Seccomp_filters:\t0"},
		"privileged, its devices":   {opts: []string{"--privileged"}, args: []string{"ls", "/dev"}, want: "loop-control"},
		"privileged, its masks":     {opts: []string{"--privileged"}, args: []string{"cat", "/proc/mounts"}, want: "/proc/interrupts", not: true},
		"group":                     {opts: []string{"--group-add 77,88"}, args: []string{"ids"}, want: "[77 88]", by: "root"},
		"own groups":                {opts: []string{"--group-add keep-groups"}, args: []string{"id"}, want: by.Owner(), by: "user"},
		"keep-id":                   {opts: []string{"--userns keep-id"}, args: []string{"id"}, want: by.Owner()},
		"host's ids":                {opts: []string{"--userns=host"}, args: []string{"id"}, want: by.OwnerInside()},
		"user":                      {opts: []string{"--user root"}, args: []string{"id"}, want: "0:0 root"},
		"ulimit":                    {opts: []string{"--ulimit msgqueue=64:100"}, args: []string{"cat", "/proc/self/limits"}, want: "64                   100"},
		"shm":                       {opts: []string{"--shm-size 64k"}, args: []string{"cat", "/proc/mounts"}, want: "/dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=64k"},
		"size of what is written":   {opts: []string{"--storage-opt size=64k"}, args: []string{"write", "/etc/big", strings.Repeat("x", 100_000)}, want: "no space left on device"},
		"noted":                     {opts: []string{"--name x --label a=b", "--annotation c=d"}, args: []string{"id"}, want: by.OwnerInside()},
	} {
		if test.by != "" && test.by != by.Name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			if name == "the host's shm" {
				mark := "/dev/shm/flake-options-test"
				if err := os.WriteFile(mark, nil, 0o644); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { os.Remove(mark) })
			}
			if _, err := os.Stat("/dev/net/tun"); name == "device directory" && err != nil {
				t.Skipf("needs a device in a directory: %v", err)
			}
			var flags []string
			for _, o := range test.opts {
				flags = append(flags, "--opt", o)
			}
			res := s.Run(slices.Concat(flags, []string{"probe", "/bin/probe"}, test.args)...)
			got := strings.Join(strings.Fields(strings.ReplaceAll(res.Stdout+res.Stderr, "\n", " ")), " ")
			want := strings.Join(strings.Fields(test.want), " ")
			if strings.Contains(got, want) == test.not {
				t.Errorf("%q: want %q (not: %v), got %v", test.opts, want, test.not, res)
			}
		})
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "the host's" {
		t.Errorf("the file outside: %q, %v", text, err)
	}
}

// What can't be done, or is not known, is refused by its name, before anything is started.
func TestOptionsRefused(t *testing.T) { fixture.Each(t, testOptionsRefused) }

func testOptionsRefused(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	for name, test := range map[string]struct {
		opts []string
		want []string
		by   string
	}{
		"unknown":                  {[]string{"--frob x"}, []string{"option --frob: not known", "README"}, ""},
		"of podman, not of ours":   {[]string{"-p 80:80"}, []string{"option -p", "network: host"}, ""},
		"missing source":           {[]string{"-v /no/such/dir:/x"}, []string{"/no/such/dir", "no such file", "optional"}, ""},
		"unset variable":           {[]string{"-v %NONE/x:/x"}, []string{"NONE is not set"}, ""},
		"relative by a variable":   {[]string{"-v %TERM:/x"}, []string{"not an absolute path"}, ""},
		"relative":                 {[]string{"-v x/y:/x"}, []string{"option --volume", "not absolute"}, ""},
		"named volume":             {[]string{"-v data:/x"}, []string{"volumes with names"}, ""},
		"missing device":           {[]string{"--device /dev/no-such"}, []string{"/dev/no-such", "no such file"}, ""},
		"device that is none":      {[]string{"--device /etc/hostname:/dev/x"}, []string{"/etc/hostname is no device"}, ""},
		"missing file":             {[]string{"--env-file /no/such"}, []string{"/no/such", "no such file"}, ""},
		"unknown capability":       {[]string{"--cap-add FLY"}, []string{"capabilities", `"FLY"`}, ""},
		"added and dropped":        {[]string{"--cap-add KILL --cap-drop KILL"}, []string{"both added and dropped"}, ""},
		"all devices by MKNOD":     {[]string{"--cap-add MKNOD"}, []string{"CAP_MKNOD", "--device"}, "root"},
		"unknown group":            {[]string{"--group-add nosuch"}, []string{"groups", "nosuch"}, ""},
		"groups of one id":         {[]string{"--group-add 77"}, []string{"groups", `"77"`, "ids: range"}, "user"},
		"unknown limit":            {[]string{"--ulimit frobs=1"}, []string{`limit "frobs"`}, ""},
		"limit above the hard":     {[]string{"--ulimit nofile=99999999999"}, []string{"resource limit", "hard limit"}, ""},
		"memory of a user":         {[]string{"-m 64m"}, []string{"limits: memory", "ordinary user", "systemd-run"}, "user"},
		"processes of a user":      {[]string{"--pids-limit 9"}, []string{"limits: pids", "runas: root"}, "user"},
		"limits and pids":          {[]string{"-m 64m --pid host"}, []string{"limits: memory", "pid: host"}, "root"},
		"limits, new privileges":   {[]string{"-m 64m --security-opt no-new-privileges=false"}, []string{"limits: memory", "new privileges"}, "root"},
		"name of the host":         {[]string{"--uts host -h x"}, []string{"exclude each other"}, ""},
		"entrypoint of an image":   {[]string{"--entrypoint /bin/probe"}, []string{"entrypoint", "behind the image"}, ""},
		"size of a disk":           {[]string{"--read-only --storage-opt size=1m"}, []string{"writable_size"}, ""},
		"a user that is not there": {[]string{"-u nosuch"}, []string{"nosuch"}, ""},
	} {
		if test.by != "" && test.by != by.Name {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s := s.In(t)
			var flags []string
			for _, o := range test.opts {
				flags = append(flags, "--opt", o)
			}
			res := s.Run(append(flags, "probe", "/bin/probe", "id")...)
			if res.Code != 125 || res.Stdout != "" {
				t.Errorf("%v", res)
			}
			s.Refused(res, test.want...)
		})
	}
	s.Refused(s.Run("--engine", "direct", "--opt", "-m 64m", "probe", "/bin/probe", "id"), "limits: memory")
	s.Refused(s.Ctl("register", "--container", "probe", "--app", s.Link("bad"), "--opt", "--frob"), "option --frob")
	if _, err := os.Lstat(s.Link("bad")); err == nil {
		t.Error("a link of a flake that was refused")
	}
}

// A registration keeps options as they were given, and they work at each start, by what holds then.
func TestRegisteredOptions(t *testing.T) { fixture.Each(t, testRegisteredOptions) }

func testRegisteredOptions(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	data, vars := filepath.Join(s.Tmp, "data"), filepath.Join(s.Tmp, "vars")
	s.Mkdir(data)
	s.WriteFile(filepath.Join(data, "file"), "the host's")
	s.WriteFile(vars, "A=1\n")
	s.Register("opts", "probe", "--target", "/bin/probe", "--opt", `\--volume %WHERE:/srv/x`, "--opt=-ti", "--opt", "--env-file "+vars, "--opt", "-e B=%B")
	text, err := os.ReadFile(filepath.Join(s.Registrations, "opts.yaml"))
	if err != nil || !strings.Contains(string(text), "%WHERE:/srv/x") {
		t.Errorf("registration: %s, %v", text, err)
	}
	there := s.With("WHERE="+data, "B=b")
	if res := there.MustApp("opts", "cat", "/srv/x/file"); res.Stdout != "the host's" {
		t.Errorf("%v", res)
	}
	s.Refused(s.App("opts", "id"), "WHERE is not set")
	env := there.MustApp("opts", "env").JSON(t)
	if !slices.Contains(env, "A=1") || !slices.Contains(env, "B=b") {
		t.Errorf("variables: %q", env)
	}
	s.WriteFile(vars, "A=22\n")
	if env := there.MustApp("opts", "env").JSON(t); !slices.Contains(env, "A=22") {
		t.Errorf("variables of a file that has changed: %q", env)
	}
	s.Register("entry", "probe", "--target", "/", "--opt", `--entrypoint '["/bin/probe","args"]'`)
	if out := s.MustApp("entry", "x y").Stdout; out != "[\"x y\"]\n" {
		t.Errorf("entrypoint: %s", out)
	}
	// A native key wins.
	dropIn(s, "opts", "env: {set: {B: native}}\nmounts: [{source: /no/such, target: /srv/x, optional: true}]\n")
	if env := s.MustApp("opts", "env").JSON(t); !slices.Contains(env, "B=native") {
		t.Errorf("the native key: %q", env)
	}
	later := filepath.Join(s.Registrations, "opts.d", "zz.yaml")
	s.WriteFile(later, "mounts:\n- {source: relative, target: /x}\n")
	s.Refused(s.App("opts", "id"), "mounts: source")
}

func TestLimits(t *testing.T) {
	fixture.RequireRoot(t, "cgroups")
	s := started(t, fixture.Root)
	res := s.Run("--opt", "-m 128m", "--opt", "--cpus 1.5", "--opt", "--pids-limit 40", "probe", "/bin/probe", "fill", "16")
	if strings.Contains(res.Stderr, "limit the app") {
		t.Skipf("needs cgroups that can be written to: %s", res.Stderr)
	}
	if res.Stdout != "16\n" {
		t.Errorf("below the limit: %v", res)
	}
	if res := s.Run("--opt", "-m 128m", "probe", "/bin/probe", "fill", "512"); fmt.Sprint(res.Signal) != "killed" || res.Stdout != "" {
		t.Errorf("beyond the limit of memory: %v", res)
	}
	if res := s.Run("--opt", "--pids-limit 40", "probe", "/bin/probe", "crowd", "100"); res.Stdout != "true\n" {
		t.Errorf("beyond the limit of processes: %v", res)
	}
	if res := s.MustRun("probe", "/bin/probe", "crowd", "100"); res.Stdout != "all\n" {
		t.Errorf("without a limit: %v", res)
	}
	s.Register("limited", "probe", "--target", "/bin/probe", "--opt=-m 128m", "--opt=-v "+s.Tmp+":/srv/x")
	if res := s.MustApp("limited", "touch", "/srv/x/made"); res.Stdout != "ok\n" {
		t.Errorf("a volume of a limited start: %v", res)
	}
}

// With a range of ids an ordinary user is root of a namespace that has groups, too.
func TestRangeOptions(t *testing.T) {
	s := ranged(t, line, line)
	s.Load(fixture.ProbeBase(t))
	run := func(opt string, args ...string) *fixture.Result {
		return s.Run(append([]string{"--ids", "range", "--opt", opt, "probe", "/bin/probe"}, args...)...)
	}
	for name, test := range map[string]struct {
		opt  string
		args []string
		want string
	}{
		"groups":           {"--group-add 5,77", []string{"ids"}, "[5 77]"},
		"all capabilities": {"--cap-add all", []string{"status", "CapEff"}, "000001ffffffffff"},
		"privileged":       {"--privileged", []string{"status", "Seccomp"}, "Seccomp:\t0"},
		"the host's pids":  {"--pid host", []string{"stat", "/proc/self/ns/pid"}, readlink(t, "/proc/self/ns/pid")},
		"the host's ipc":   {"--ipc host", []string{"stat", "/proc/self/ns/ipc"}, readlink(t, "/proc/self/ns/ipc")},
		"a device":         {"--device /dev/zero:/dev/nil", []string{"stat", "/dev/nil"}, "20000 666"},
		"a volume":         {"-v %HOME:/srv/x", []string{"touch", "/srv/x/y"}, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			if res := run(test.opt, test.args...); !strings.Contains(res.Stdout, test.want) {
				t.Errorf("want %q, got %v", test.want, res)
			}
		})
	}
	s.Refused(run("-m 64m", "id"), "limits: memory", "ordinary user")
	s.Refused(run("--group-add 70000", "id"), "range")
}
