package explain

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/launcher/plan/compile"
)

// told is a story in short: what the app finds, what each layer has, what the host has and shows, what named it.
func told(t *Story, host string) string {
	out := t.Place + ":"
	for _, s := range t.Steps {
		out += fmt.Sprintf(" by %s -> %s", s.Path, s.Text)
	}
	switch {
	case t.Is != nil:
		out += fmt.Sprintf(" %s %s of %s", t.Is.Kind, t.Is.Mode, strings.TrimSpace(t.Is.Role+" "+t.Is.Name))
	case t.Taken:
		out += " hidden"
	default:
		out += " nothing"
	}
	for _, l := range t.Layers {
		out += fmt.Sprintf("; %s has %s%s", l.Name, l.Kind, l.Hides)
		if l.Wins {
			out += " and wins"
		}
		if l.Hidden {
			out += " hidden"
		}
	}
	if h := t.Host; h != nil {
		out += fmt.Sprintf("; host %s shown %q %q", strings.TrimPrefix(h.Source, host), h.Shown, h.Why)
	}
	for _, n := range t.Named {
		out += fmt.Sprintf("; %s line %d %s %q", n.Because.From, n.Because.Line, n.Outcome, n.Reason)
	}
	return out
}

func TestStory(t *testing.T) {
	s, host := subject(t)
	for behaviour, test := range map[string]struct{ path, want string }{
		"the delta over the base":               {"/bin/app", "/bin/app: file 0644 of delta d; d has file and wins; b has file hidden"},
		"the base alone, by a relative path":    {"bin/sh", "/bin/sh: file 0644 of base b; b has file and wins"},
		"through a symlink of the base":         {"/lib/one", "/usr/lib/one: by /lib -> usr/lib file 0644 of base b; b has file and wins"},
		"the parent of what a symlink leads to": {"/lib/../bin", "/usr/bin: by /lib -> usr/lib directory 0755 of launcher"},
		"what a layer took away":                {"/opt/gone/x", "/opt/gone/x: nothing; d has whiteout; b has file hidden"},
		"nothing at all":                        {"/no/where", "/no/where: nothing"},
		"a manifest":                            {"/removed", `/removed: hidden; d has file`},
		"a host file of a manifest": {
			"/usr/bin/tool", `/usr/bin/tool: file 0644 of host; host /usr/bin/tool shown "layer" ""; removed line 1 linked ""`,
		},
		"a host file over the image's": {
			"/etc/conf", `/etc/conf: file 0644 of host; b has file; host /etc/conf shown "bind" "usually edited in place"; package line 2 linked "usually edited in place"`,
		},
		"an entry that the host lacks, by the place it leads to": {
			"/usr/lib/two", `/usr/lib/two: file 0644 of base b; b has file and wins; removed line 4 missing "the host has no such file"`,
		},
		"a directory of the flake's own layer":  {"/usr/bin", "/usr/bin: directory 0755 of launcher"},
		"a symlink of it":                       {"/etc/link", `/etc/conf: by /etc/link -> conf file 0644 of host; b has file; host /etc/conf shown "bind" "usually edited in place"; package line 2 linked "usually edited in place"`},
		"what a symlink needs and nobody links": {"/usr/share/lost", `/usr/share/lost: nothing; link line 5 dangling "it lies elsewhere than the link"`},
		"a copy":                                {"/etc/hosts", "/etc/hosts: file 0640 of launcher"},
		"a directory of the caller's":           {"/mnt/here/file", "/mnt/here/file: file 0644 of host"},
		"a mount point above it":                {"/mnt", "/mnt: directory 0755 of launcher"},
		"above a share that is not there":       {"/no", "/no: nothing"},
		"an empty file system":                  {"/scratch", "/scratch: directory 0755 of launcher"},
		"below it":                              {"/scratch/x", "/scratch/x: nothing"},
		"a share that is not there":             {"/no/optional", "/no/optional: nothing"},
		"made at each start":                    {"/run", "/run: directory 0711 of launcher"},
		"of the kernel":                         {"/proc/self", "/proc/self: directory 0555 of launcher"},
		"a file of the kernel's":                {"/proc/self/status", "/proc/self/status: file 0444 of launcher"},
		"its devices":                           {"/dev", "/dev: directory 0755 of launcher; b has directory"},
		"a device":                              {"/dev/null", "/dev/null: device 0666 of launcher"},
		"a link to a device":                    {"/dev/ptmx", "/dev/pts/ptmx: by /dev/ptmx -> pts/ptmx device 0666 of launcher"},
		"terminals":                             {"/dev/pts", "/dev/pts: directory 0755 of launcher"},
		"shared memory":                         {"/dev/shm", "/dev/shm: directory 1777 of launcher"},
		"a descriptor":                          {"/dev/stdin", "/proc/self/fd/0: by /dev/stdin -> /proc/self/fd/0 descriptor 0500 of launcher"},
		"descriptors":                           {"/dev/fd", "/proc/self/fd: by /dev/fd -> /proc/self/fd directory 0555 of launcher"},
		"a device of the caller's":              {"/dev/sub/mine", "/dev/sub/mine: file 0644 of host"},
		"a directory above it":                  {"/dev/sub", "/dev/sub: directory 0755 of launcher"},
		"a device that no container has":        {"/dev/kmsg", "/dev/kmsg: nothing"},
		"what an image has below /dev":          {"/dev/left", "/dev/left: nothing; b has file"},
	} {
		t.Run(behaviour, func(t *testing.T) {
			got, err := Path(s, test.path)
			must(t, err)
			// A path that this machine's root happens to have says nothing of the subject.
			text := told(got, host)
			if got.Host != nil && !strings.HasPrefix(got.Host.Source, host) {
				got.Host = nil
				text = told(got, host)
			}
			if text != test.want {
				t.Errorf("want %s\n got %s", test.want, text)
			}
			var b bytes.Buffer
			must(t, got.Write(&b))
			if !strings.HasPrefix(b.String(), got.Path+"\n") {
				t.Errorf("written: %s", b.String())
			}
		})
	}
	if _, err := Path(s, "/loop"); err == nil || !strings.Contains(err.Error(), "too many symlinks") {
		t.Errorf("a circle: %v", err)
	}
}

// The owner that an app sees depends on who starts it and on where the file comes from.
func TestOwner(t *testing.T) {
	me := os.Geteuid()
	for behaviour, test := range map[string]struct {
		path   string
		adjust func(s *Subject)
		want   int
	}{
		"a file of the image, a single id": {"/bin/sh", func(s *Subject) { s.Caller.UID = me }, 1000},
		"somebody else's":                  {"/bin/sh", func(s *Subject) { s.Caller.UID = me + 1 }, nobody},
		"through the host layer":           {"/usr/bin/tool", func(s *Subject) { s.Caller.UID = me + 1 }, 1000},
		"bound":                            {"/etc/conf", func(s *Subject) { s.Caller.UID = me + 1 }, nobody},
		"made at each start":               {"/run", func(s *Subject) {}, 7},
		"a copy":                           {"/etc/hosts", func(s *Subject) {}, 1000},
		"as root sees it":                  {"/bin/sh", func(s *Subject) { s.Caller = compile.Caller{Privileged: true} }, me},
		"of the host, in a range": {"/etc/conf", func(s *Subject) {
			s.Compiled.Plan.Range = &plan.Range{UIDs: []plan.IDMap{{Inside: 0, Outside: uint32(me), Size: 1}}}
		}, 0},
		"of the host, outside of it": {"/etc/conf", func(s *Subject) {
			s.Compiled.Plan.Range = &plan.Range{UIDs: []plan.IDMap{{Inside: 0, Outside: uint32(me) + 1, Size: 1}}}
		}, nobody},
	} {
		t.Run(behaviour, func(t *testing.T) {
			s, _ := subject(t)
			test.adjust(&s)
			got, err := Path(s, test.path)
			must(t, err)
			if got.Is == nil || got.Is.UID != test.want {
				t.Errorf("want %d, got %+v", test.want, got.Is)
			}
		})
	}
}

// How a host file is shown, and the reason where one is to be told.
func TestHostFile(t *testing.T) {
	layer := &plan.HostLayer{}
	for behaviour, test := range map[string]struct {
		kind                  hostlink.Kind
		layer                 *plan.HostLayer
		bound, noLayer        string
		wantStrategy, wantWhy string
	}{
		"in the layer":              {hostlink.KindFile, layer, "", "", ByLayer, ""},
		"bound beside a layer":      {hostlink.KindFile, layer, "on another mount", "", ByBind, "on another mount"},
		"too few for a layer":       {hostlink.KindFile, nil, hostlink.BoundFew, "", ByBind, hostlink.BoundFew},
		"a kernel that has none":    {hostlink.KindFile, nil, "", "not supported", ByBind, "no host layer here: not supported"},
		"a symlink":                 {hostlink.KindSymlink, layer, "", "", BySymlink, ""},
		"a directory":               {hostlink.KindDir, layer, "", "", ByDir, ""},
		"a socket, which is bound":  {hostlink.KindSocket, layer, hostlink.BoundKind, "", ByBind, hostlink.BoundKind},
		"a symlink without a layer": {hostlink.KindSymlink, nil, "", "not supported", BySymlink, ""},
	} {
		res := &compile.Result{Plan: &plan.Plan{HostLayer: test.layer}}
		res.Host.NoLayer = test.noLayer
		if test.bound != "" {
			res.Host.Bound = map[string]string{"/x": test.bound}
		}
		got := hostFile(res, hostlink.Linked{Path: "x", Target: "/x", Kind: test.kind})
		if got.Strategy != test.wantStrategy || got.Reason != test.wantWhy {
			t.Errorf("%s: %+v", behaviour, got)
		}
	}
}
