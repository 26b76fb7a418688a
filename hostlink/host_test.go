package hostlink

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// changing is an image during whose inspection the host changes.
type changing struct {
	dirImage

	change func()
}

func (c changing) Lstat(path string) (fs.FileInfo, error) {
	c.change()
	return c.dirImage.Lstat(path)
}

// What changes after the first look leaves the fingerprint as it was, for whoever looks again, too.
func TestWatchedBeforeTheLook(t *testing.T) {
	host := grow(t, "f usr/lib/x", "l lib usr/lib")
	old := time.Date(2001, 2, 3, 4, 5, 6, 7, time.UTC)
	for _, dir := range []string{"usr/lib", "usr", ""} {
		if err := os.Chtimes(filepath.Join(host, dir), old, old); err != nil {
			t.Fatal(err)
		}
	}
	seen := openedHost(t, host)
	more := func() {
		for _, dir := range []string{"usr/lib", ""} {
			if err := os.WriteFile(filepath.Join(host, dir, "y"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	req := Request{
		Sources: []Source{{Manifest: manifest(t, "lib/x", "lib/y")}}, HostRoot: host, Host: seen,
		Image: changing{dirImage{t, grow(t)}, more},
	}
	for range 2 {
		plan, err := Resolve(req)
		if err != nil {
			t.Fatal(err)
		}
		for path, dir := range map[string]Watched{host: plan.Watch[0], host + "/usr/lib": plan.Watch[1]} {
			if dir.Path != path || time.Unix(dir.Mtime.Unix()).Compare(old) != 0 || dir.Racy || dir.Ino == 0 {
				t.Errorf("want %s as it was, got %+v", path, dir)
			}
		}
	}
	req.Host = nil
	plan, err := Resolve(req)
	if err != nil {
		t.Fatal(err)
	}
	if got := time.Unix(plan.Watch[1].Mtime.Unix()); !got.After(old) {
		t.Errorf("looked at anew: %v", got)
	}
}

func TestRacy(t *testing.T) {
	now := time.Unix(100, 8e6)
	tick := unix.Timespec{Sec: 100, Nsec: 4e6}
	for behaviour, test := range map[string]struct {
		mtime unix.Timespec
		want  bool
	}{
		"of an earlier tick":                    {unix.Timespec{Sec: 100, Nsec: 3e6}, false},
		"of an earlier second":                  {unix.Timespec{Sec: 99, Nsec: 9e8}, false},
		"of this tick":                          {unix.Timespec{Sec: 100, Nsec: 4e6}, true},
		"between the tick and now":              {unix.Timespec{Sec: 100, Nsec: 7e6}, true},
		"of this moment":                        {unix.Timespec{Sec: 100, Nsec: 8e6}, true},
		"of a clock that was wrong":             {unix.Timespec{Sec: 4000, Nsec: 1}, false},
		"of whole seconds, this one":            {unix.Timespec{Sec: 100}, true},
		"of whole seconds, an earlier":          {unix.Timespec{Sec: 99}, false},
		"of whole seconds, of a clock to come":  {unix.Timespec{Sec: 101}, false},
		"of the epoch, as images of trees have": {unix.Timespec{}, false},
	} {
		if got := racy(test.mtime, tick, now); got != test.want {
			t.Errorf("%s: %v", behaviour, got)
		}
	}
}

// Of a kernel and a file system as they are: two changes that leave the same time can't be told apart, so the look between
// them has to be racy.
func TestRacyLooks(t *testing.T) {
	dir := t.TempDir()
	for n := range 500 {
		touch(t, dir, n, "before")
		host := openedHost(t, dir)
		touch(t, dir, n, "after")
		was, is := host.watched(""), openedHost(t, dir).watched("")
		if was.Mtime == is.Mtime && !was.Racy {
			t.Fatalf("round %d: two states look the same: %+v", n, was)
		}
	}
}

func touch(t *testing.T, dir string, n int, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(name, n)), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}
