package overlay

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestSpecThatNoKernelCouldMount(t *testing.T) {
	many := strings.Split(strings.Repeat("/l,", maxLayers-1)+"/l", ",")
	for name, spec := range map[string]Spec{
		"no layers":                {},
		"relative layer":           {Lower: []string{"layer"}},
		"empty layer":              {Lower: []string{""}},
		"too many layers":          {Lower: many},
		"unknown writable part":    {Lower: []string{"/l"}, Writable: 7},
		"disk without a directory": {Lower: []string{"/l"}, Writable: Disk},
		"disk, relative directory": {Lower: []string{"/l"}, Writable: Disk, Scratch: "x"},
		"negative size":            {Lower: []string{"/l"}, TmpfsSize: -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Mount(spec, "/mnt")
			var want *SpecError
			if !errors.As(err, &want) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := Mount(Spec{Lower: []string{"/l"}}, "relative"); err == nil {
		t.Error("relative mount point was taken")
	}
}

func TestParseWritable(t *testing.T) {
	for in, want := range map[string]Writable{"": Tmpfs, "tmpfs": Tmpfs, "disk": Disk, "none": None} {
		if got, err := ParseWritable(in); got != want || err != nil {
			t.Errorf("%q: %v, %v", in, got, err)
		}
		if in != "" && want.String() != in {
			t.Errorf("%v is spelled %q", want, want.String())
		}
	}
	for _, in := range []string{"TMPFS", " disk", "no", "tmpfs,size=1"} {
		if _, err := ParseWritable(in); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
}

func TestSeedPaths(t *testing.T) {
	for in, want := range map[string][]string{
		"/proc": {"proc"}, "home/me": {"home", "me"}, "/a:,b/\\c": {"a:,b", "\\c"}, "/x/": {"x"},
		"": nil, "/": nil, "..": nil, "/a/../b": nil, "a//b": nil, "./a": nil, "a/.": nil, "a\x00": nil,
	} {
		got, err := splitPath(in)
		if (err != nil) != (want == nil) {
			t.Errorf("%q: %v", in, err)
		}
		if diff := cmp.Diff(want, got); err == nil && diff != "" {
			t.Errorf("%q: %s", in, diff)
		}
	}
}

func TestClassicOptions(t *testing.T) {
	o := options{lower: []string{"/proc/self/fd/5", "/proc/self/fd/6"}}
	if got, want := o.data(), "userxattr,lowerdir=/proc/self/fd/5:/proc/self/fd/6"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	o.upper, o.work = "/proc/self/fd/7", "/proc/self/fd/8"
	if got, want := o.data(), "userxattr,lowerdir=/proc/self/fd/5:/proc/self/fd/6,upperdir=/proc/self/fd/7,workdir=/proc/self/fd/8"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMountErrorTellsEverything(t *testing.T) {
	err := &MountError{Op: "mount", Source: "overlay", Target: "/root dir", Flags: unix.MS_NODEV | unix.MS_RDONLY | 1<<30,
		Data: "lowerdir=x", Log: []string{"overlay: bad"}, Err: unix.EINVAL}
	want := `mount overlay on "/root dir" flags ro,nodev,0x40000000 data "lowerdir=x": invalid argument (overlay: bad)`
	if err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if !errors.Is(err, unix.EINVAL) {
		t.Error("the errno is lost")
	}
}

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.1.0-56-cloud-amd64": false, "5.14.0-427.el9": false, "6.6.9": false, "2.6.60": false,
		"6.7.0": true, "6.18.44": true, "7.0-rc1": true, "odd": true,
	} {
		if got := atLeast(release, 6, 7); got != want {
			t.Errorf("%s: %v", release, got)
		}
	}
}
