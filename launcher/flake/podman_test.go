package flake

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func with(podman ...string) *Flake {
	f := &Flake{}
	f.Container.TargetAppPath, f.Container.Runtime.Podman = "/bin/app", podman
	return f
}

// bind is a mount as --volume makes it.
func bind(source, target string) Flake {
	return Flake{Mounts: []Mount{{Source: source, Target: target}}}
}

func set(kv ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

func TestPodmanOptions(t *testing.T) {
	env := func(kv ...string) Flake { return Flake{Env: Env{Set: set(kv...)}} }
	limits := func(l Limits) Flake { return Flake{Limits: l} }
	for name, tc := range map[string]struct {
		podman []string
		want   Flake
	}{
		"flake-pilot's own":        {[]string{"--rm", "-ti", `\--init`, "--interactive", "--tty=false", "--rm=true", "-it"}, Flake{}},
		"volume behind a blank":    {[]string{"--volume /a:/b"}, bind("/a", "/b")},
		"volume behind =":          {[]string{"--volume=/a:/b"}, bind("/a", "/b")},
		"volume, short":            {[]string{"-v /a:/b"}, bind("/a", "/b")},
		"volume, short, joined":    {[]string{"-v/a:/b"}, bind("/a", "/b")},
		"volume in a cluster":      {[]string{"-tiv /a:/b"}, bind("/a", "/b")},
		"volume of the caller's":   {[]string{`\--volume %HOME:%HOME`}, bind("%HOME", "%HOME")},
		"volume with many options": {[]string{"-v /a:/b:rw,rslave,z,ro,exec,nosuid"}, Flake{Mounts: []Mount{{Source: "/a", Target: "/b", ReadOnly: true}}}},
		"volume of devices":        {[]string{"-v /dev/snd:/dev/snd:dev"}, Flake{Mounts: []Mount{{Source: "/dev/snd", Target: "/dev/snd", Devices: true}}}},
		"blanks as flake-pilot":    {[]string{"--volume /a b:/c d"}, bind("/a b", "/c d")},
		"blanks within quotes":     {[]string{`--volume "/a b:/c" --net 'host'`, `--env=A=\"x\ y`}, Flake{Mounts: []Mount{{Source: "/a b", Target: "/c"}}, Network: "host", Env: Env{Set: set("A", `"x y`)}}},
		"a value of its own":       {[]string{"-v", "/a b:/c", "--net", "host", "--rm"}, Flake{Mounts: []Mount{{Source: "/a b", Target: "/c"}}, Network: "host"}},
		"several words":            {[]string{"--net host -u 7:8 --rm --read-only"}, Flake{Network: "host", User: "7:8", Writable: "none"}},
		"mount":                    {[]string{"--mount type=bind,src=/a,dst=/b,ro", "--mount=type=bind,source=/c,target=/d,readonly=false"}, Flake{Mounts: []Mount{{Type: "bind", Source: "/a", Target: "/b", ReadOnly: true}, {Type: "bind", Source: "/c", Target: "/d"}}}},
		"mount of a tmpfs":         {[]string{"--mount type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=700,noexec"}, Flake{Mounts: []Mount{{Type: "tmpfs", Target: "/t", Size: "1m", Mode: "700", NoExec: true}}}},
		"tmpfs":                    {[]string{"--tmpfs /t", "--tmpfs /u:rw,noexec,nosuid,nodev,size=64k,mode=1777"}, Flake{Mounts: []Mount{{Type: "tmpfs", Target: "/t"}, {Type: "tmpfs", Target: "/u", Size: "64k", Mode: "1777", NoExec: true}}}},
		"device":                   {[]string{"--device /dev/fuse", "--device=/dev/a:/dev/b:rwm"}, Flake{Devices: []string{"/dev/fuse", "/dev/a:/dev/b:rwm"}}},
		"variables":                {[]string{"-e A=b=c", "--env B=%USER", "--env=C="}, env("A", "b=c", "B", "%USER", "C", "")},
		"variables of the caller":  {[]string{"-e A", "-e AWS_*"}, Flake{Env: Env{Allow: []string{"A", "AWS_*"}}}},
		"a file of variables":      {[]string{"--env-file /etc/app.env"}, Flake{Env: Env{Files: []string{"/etc/app.env"}}}},
		"the last one counts":      {[]string{"-w /a", "-w /b", "-e A=1", "-e A=2"}, Flake{Workdir: "/b", Env: Env{Set: set("A", "2")}}},
		"working directory":        {[]string{"--workdir %PWD"}, Flake{Workdir: "%PWD"}},
		"entrypoint":               {[]string{"--entrypoint /bin/sh"}, Flake{Entrypoint: []string{"/bin/sh"}}},
		"entrypoint as a list":     {[]string{`--entrypoint '["/bin/sh", "-c"]'`}, Flake{Entrypoint: []string{"/bin/sh", "-c"}}},
		"no entrypoint":            {[]string{`--entrypoint ""`, "--entrypoint="}, Flake{}},
		"network":                  {[]string{"--network none"}, Flake{Network: "none"}},
		"hostname":                 {[]string{"-h box"}, Flake{Hostname: "box"}},
		"namespaces":               {[]string{"--pid host --ipc=host --uts private"}, Flake{Namespaces: Namespaces{PID: "host", IPC: "host", UTS: "private"}}},
		"ids":                      {[]string{"--userns=keep-id", "--group-add video,7", "--group-add keep-groups"}, Flake{IDs: "single", Groups: []string{"video", "7", "keep-groups"}}},
		"capabilities":             {[]string{"--cap-add NET_RAW,cap_net_admin --cap-drop=ALL"}, Flake{Capabilities: Capabilities{Add: []string{"NET_RAW", "cap_net_admin"}, Drop: []string{"ALL"}}}},
		"security":                 {[]string{"--security-opt label=disable", "--security-opt=seccomp=unconfined", "--security-opt apparmor:unconfined", "--security-opt no-new-privileges=false", "--security-opt mask=/a:/b", "--security-opt unmask=ALL"}, Flake{Security: Security{NewPrivileges: true, Seccomp: "unconfined", Mask: []string{"/a", "/b"}, Unmask: []string{"ALL"}}}},
		"no new privileges":        {[]string{"--security-opt no-new-privileges"}, Flake{}},
		"privileged":               {[]string{"--privileged"}, Flake{Privileged: true}},
		"not privileged":           {[]string{"--privileged=false"}, Flake{}},
		"limits":                   {[]string{"-m 64m --cpus 1.5 --pids-limit=20"}, limits(Limits{Memory: "64m", CPUs: "1.5", PIDs: 20})},
		"no limit":                 {[]string{"--pids-limit -1"}, Flake{}},
		"ulimits":                  {[]string{"--ulimit nofile=10:20 --ulimit core=-1 --ulimit host"}, Flake{Ulimits: set("nofile", "10:20", "core", "-1")}},
		"sizes":                    {[]string{"--shm-size 64m", "--storage-opt size=1g"}, Flake{ShmSize: "64m", WritableSize: "1g"}},
		"noted":                    {[]string{"--label a=b", "-l c", "--annotation d=e", "--name %USER"}, Flake{Labels: set("a", "b", "c", "", "d", "e", "name", "%USER")}},
		"a % that no name follows": {[]string{"--hostname 5%"}, Flake{Hostname: "5%"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := with(tc.podman...)
			got, err := Effective(f)
			if err != nil {
				t.Fatal(err)
			}
			tc.want.Container.TargetAppPath = "/bin/app"
			if d := cmp.Diff(&tc.want, got); d != "" {
				t.Error(d)
			}
			if len(f.Container.Runtime.Podman) != len(tc.podman) || len(f.Mounts) > 0 {
				t.Errorf("the flake was changed: %+v", f)
			}
		})
	}
}

func TestPodmanOptionsRefused(t *testing.T) {
	for name, tc := range map[string]struct{ entry, want, fix string }{
		"unknown":                 {"--frob", "option --frob: not known", "README"},
		"unknown, short":          {"-x", "option -x: not known", ""},
		"unknown in a cluster":    {"-tix", "option -x: not known", ""},
		"unknown, with advice":    {"--publish 80:80", "option --publish: not known", "network: host"},
		"no option":               {"volume /a:/b", "does not begin with a dash", ""},
		"empty":                   {"", "does not begin with a dash", ""},
		"no value":                {"--volume", "option --volume: its value is missing", "--volume=VALUE"},
		"no value, short":         {"-v", "option --volume: its value is missing", ""},
		"two values":              {"--net=host none", `"none" is no option`, "blanks within quotes"},
		"a quote":                 {`--env 'A=b`, "a ' is not closed", ""},
		"value of a flag":         {"--privileged=maybe", "option --privileged:", ""},
		"relative volume":         {"-v ./a:/b", "source \"./a\" is not absolute", "%HOME"},
		"relative target":         {"-v /a:b", "target \"b\" is not absolute", ""},
		"volume with a name":      {"-v data:/b", "volumes with names", "path of a directory"},
		"volume without a source": {"-v /a", "a source or a target is missing", "--tmpfs"},
		"the root as a volume":    {"-v /a:/", "target / is the container's own", ""},
		"over /proc":              {"-v /a:/proc/sys", "container's own", ""},
		"volume that is chowned":  {"-v /a:/b:U", "another user", ""},
		"unknown volume option":   {"-v /a:/b:noexec", `"noexec"`, ""},
		"mount without a type":    {"--mount src=/a,dst=/b", "its type is missing", ""},
		"mount of a volume":       {"--mount type=volume,dst=/b", `type "volume"`, ""},
		"mount of what?":          {"--mount type=bind,src=/a,dst=/b,frob=1", `"frob=1"`, ""},
		"size of a bind":          {"--mount type=bind,src=/a,dst=/b,tmpfs-size=1m", "only a tmpfs", ""},
		"size of a tmpfs":         {"--tmpfs /t:size=big", `"big" is no size`, ""},
		"mode of a tmpfs":         {"--tmpfs /t:mode=9", `"9" is no mode`, ""},
		"owner of a tmpfs":        {"--tmpfs /t:uid=5", `"uid=5"`, ""},
		"device":                  {"--device fuse", "is no device", ""},
		"device to read":          {"--device /dev/a:/dev/a:r", "can't be enforced", ""},
		"nameless variable":       {"-e =x", "a name is missing", ""},
		"relative file":           {"--env-file app.env", "not absolute", ""},
		"file of the caller's":    {"--env-file %HOME/app.env", "can't stand here", ""},
		"relative workdir":        {"-w a", "not absolute", ""},
		"entrypoint":              {`--entrypoint '["a"'`, "no list of words", ""},
		"network":                 {"--net bridge", "no virtual networks", "host"},
		"pid":                     {"--pid container:x", "not host or private", ""},
		"userns":                  {"--userns auto", "keep-id", "ids: range"},
		"user":                    {"--user 0:0:0", `user: "0:0:0" has more than one colon`, "USER:GROUP"},
		"user with an empty part": {"-u app::0", `user: "app::0" has more than one colon`, "USER:GROUP"},
		"capability":              {"--cap-add NET-RAW", `"NET-RAW" is no capability`, ""},
		"seccomp":                 {"--security-opt seccomp=/x.json", "there is one profile", ""},
		"label":                   {"--security-opt label=type:x", "not supported", ""},
		"security":                {"--security-opt frob", "not known", ""},
		"mask":                    {"--security-opt mask=a", "not absolute", ""},
		"memory":                  {"--memory lots", "limits: memory: \"lots\"", ""},
		"cpus":                    {"--cpus -2", "limits: cpus:", ""},
		"pids":                    {"--pids-limit few", "no number of processes", ""},
		"ulimit":                  {"--ulimit nofile", "has no value", ""},
		"ulimit's value":          {"--ulimit nofile=x", "ulimits: nofile: \"x\"", ""},
		"ulimit upside down":      {"--ulimit nofile=2:1", "above the hard one", ""},
		"shm":                     {"--shm-size 0", "shm_size:", ""},
		"storage":                 {"--storage-opt x=y", "is not known", ""},
		"variable in a name":      {"--hostname %HOST", "can't stand here", ""},
		"shm of the host":         {"--ipc host --shm-size 1m", "shm_size can't be set", ""},
		"name of the host":        {"--uts host -h x", "exclude each other", ""},
		"size of a disk":          {"--read-only --storage-opt size=1g", "only a tmpfs has a size", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Effective(with(tc.entry))
			var ke *KeyError
			if !errors.As(err, &ke) {
				t.Fatalf("%v", err)
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.Contains(ke.Remedy(), tc.fix) || ke.Remedy() == "" {
				t.Errorf("%v, want %q; remedy %q", err, tc.want, ke.Remedy())
			}
		})
	}
	f := with(`--entrypoint ""`)
	f.Container.TargetAppPath = "/"
	if _, err := Effective(f); err == nil {
		t.Error("a flake without any command")
	}
}

// Native scalars win, lists and mappings add up, the options' first.
func TestEffectiveMerges(t *testing.T) {
	f := with("--net none", "-w /o", "-v /a:/x", "-v /b:/y", "-e A=o", "-e B=o", "--cap-add NET_RAW", "-m 1g", "--read-only", "--pids-limit 5")
	f.Network, f.Workdir, f.Writable = "host", "/n", "disk"
	f.Mounts = []Mount{{Source: "/c", Target: "/y"}, {Source: "/d", Target: "/z"}}
	f.Env.Set = set("B", "n")
	f.Capabilities.Add = []string{"NET_ADMIN"}
	f.Limits.Memory = "2g"
	got, err := Effective(f)
	if err != nil {
		t.Fatal(err)
	}
	want := *f
	want.Container.Runtime.Podman = nil
	want.Mounts = []Mount{{Source: "/a", Target: "/x"}, {Source: "/c", Target: "/y"}, {Source: "/d", Target: "/z"}}
	want.Env.Set = set("A", "o", "B", "n")
	want.Capabilities.Add = []string{"NET_RAW", "NET_ADMIN"}
	want.Limits.PIDs = 5
	if d := cmp.Diff(&want, got); d != "" {
		t.Error(d)
	}
	if len(f.Env.Set) != 1 {
		t.Errorf("the flake was changed: %+v", f.Env)
	}
}

func TestParseTellsTheLineOfAnOption(t *testing.T) {
	for name, tc := range map[string]struct{ text, want, fix string }{
		"option":     {"container:\n  name: x\n  runtime:\n    podman:\n    - --rm\n    - --publish 8:8\n", "a.yaml:5: option --publish", "network: host"},
		"native key": {"container: {name: x}\nmounts:\n- {target: relative, type: tmpfs}\n", "a.yaml:3: mounts: target", "absolute"},
		"no advice":  {"container: {name: x}\n\nshm_size: huge\n", "a.yaml:3: shm_size:", "correct the file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, map[string]string{"a.yaml": tc.text})
			_, _, err := Parse(filepath.Join(dir, "a.yaml"))
			var se *SyntaxError
			if !errors.As(err, &se) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(se.Remedy(), tc.fix) {
				t.Errorf("%v; remedy %q", err, se.Remedy())
			}
		})
	}
}

// What is in the table is in the README's, and the other way round.
func TestReadmeHasAllOptions(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range podmanOptions {
		if !strings.Contains(string(text), "`--"+o.name) {
			t.Errorf("the README does not mention --%s", o.name)
		}
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"1": 1, "64k": 64 << 10, "64M": 64 << 20, "1.5g": 3 << 29, "2GiB": 2 << 30, "1t": 1 << 40, "10mb": 10 << 20} {
		if got, err := ParseSize(in); got != want || err != nil {
			t.Errorf("%s: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "-1", "1x", "g", "1e9", "99999999t", " 1", "1 g"} {
		if got, err := ParseSize(in); err == nil {
			t.Errorf("%q: %d", in, got)
		}
	}
	for in, want := range map[string]int64{"1": 1000, "0.25": 250, "64": 64000} {
		if got, err := ParseCPUs(in); got != want || err != nil {
			t.Errorf("%s: %d, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "0", "-1", "NaN", "Inf", "x"} {
		if got, err := ParseCPUs(in); err == nil {
			t.Errorf("%q: %d", in, got)
		}
	}
}
