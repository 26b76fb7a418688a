package plan

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sample() *Plan {
	return &Plan{
		Build: "b", Kernel: "k", Engine: EngineDirect, User: true, Caller: 1000, Ops: []byte{7}, Name: "aws", Words: []string{"compile"}, Searched: []string{"/etc/flakes"}, Digests: []string{"sha256:aa"},
		Sudo: true, Lower: []string{"/s/layers/b", "/s/layers/a"}, Writable: WritableTmpfs, Store: "/s",
		Range:      &Range{UIDs: []IDMap{{0, 1000, 1}, {1, 100000, 65536}}, GIDs: []IDMap{{0, 7, 1}}, NewUIDMap: "/u", NewGIDMap: "/g"},
		Seed:       []Node{{Path: "tmp", Mode: 0o1777, UID: 1, GID: 2, Opaque: true}, {Path: "home", Mode: 0o120777, Text: "var/home"}},
		Links:      []Link{{Source: "/etc/x", Target: "/etc/x", Kind: LinkFile}, {Source: "/a\nb", Target: "/ü", Kind: LinkDir}},
		Entrypoint: []string{"/usr/bin/aws"}, Cmd: []string{"", "help"}, Env: []string{"A=1"}, Pass: []string{"LC_*"},
		Deny: []string{"LD_*"}, Set: []string{"A=%B"}, Binds: []Bind{{"%HOME/x", "/x", true, false, false, "", false}, {"/y", "/z", false, true, true, "", false}, {"", "/t", false, false, false, "mode=0700", true}}, ShareCwd: true, Foreign: true,
		Copies: []Copy{{"/etc/hosts", "/etc/hosts", 0o644}}, Followed: []Symlink{{"/etc/resolv.conf", "../run/x"}}, Protect: []string{"/s"}, PreserveFDs: true, PilotArguments: true,
		Kept: KeptResume, HostLayer: &HostLayer{"/s/hostlayers/x", []string{"/usr"}, true}, Size: 1 << 33,
		Cwd: "/", CwdVars: true, UID: 7, GID: 8, Groups: []uint32{9}, Config: []byte("{}"), Filters: [][]byte{{1, 2}, {3}}, Early: []byte{1, 2, 3, 4, 5, 6, 7, 8},
		Checks: []Check{{Path: "/x", Absent: true}, {Path: "/y", Dev: 1, Ino: 2, Size: 3, Mtime: -4, Ctime: 5}},
	}
}

func TestDecodeRefusesDamage(t *testing.T) {
	good := sample().Encode()
	tests := map[string]func([]byte) []byte{
		"empty":            func([]byte) []byte { return nil },
		"header only":      func(b []byte) []byte { return b[:headerSize] },
		"cut":              func(b []byte) []byte { return b[:len(b)-1] },
		"longer":           func(b []byte) []byte { return append(b, 0) },
		"other magic":      func(b []byte) []byte { b[0] ^= 1; return b },
		"other version":    func(b []byte) []byte { b[8]++; return b },
		"flipped in body":  func(b []byte) []byte { b[headerSize+5] ^= 0x80; return b },
		"flipped at end":   func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"flipped checksum": func(b []byte) []byte { b[16] ^= 1; return b },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := Decode(damage(append([]byte(nil), good...))); !errors.Is(err, ErrDamaged) {
				t.Fatalf("got %v, want ErrDamaged", err)
			}
		})
	}
}

func FuzzDecodeNeverPanics(f *testing.F) {
	f.Add(sample().Encode()[headerSize:])
	f.Fuzz(func(_ *testing.T, body []byte) {
		d := &decoder{s: string(body)}
		_ = items(d, d.link)
		_ = items(d, d.check)
		_ = d.strs()
	})
}

func TestRoundTrip(t *testing.T) {
	for name, p := range map[string]*Plan{"full": sample(), "empty": {Config: []byte{}, Ops: []byte{}}} {
		got, err := Decode(p.Encode())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(p, got); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestLoadRefusesForeign(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.plan")
	if err := sample().Write(path); err != nil {
		t.Fatal(err)
	}
	_, f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Chmod(path, 0o664); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(path); !errors.Is(err, ErrForeign) {
		t.Errorf("group-writable: got %v", err)
	}
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load(link); err == nil {
		t.Error("a symlink was followed")
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(path, 0o644), os.Chown(path, 4711, 4711)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Load(path); !errors.Is(err, ErrForeign) {
			t.Errorf("foreign owner: got %v", err)
		}
	}
}

func TestFreshSeesChanges(t *testing.T) {
	tests := map[string]func(t *testing.T, dir string){
		"content": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("longer"), 0o644))
		},
		"touch": func(t *testing.T, dir string) {
			must(t, os.Chtimes(filepath.Join(dir, "file"), time.Now(), time.Unix(1, 0)))
		},
		"gone":     func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, "file"))) },
		"appeared": func(t *testing.T, dir string) { must(t, os.WriteFile(filepath.Join(dir, "absent"), nil, 0o644)) },
		"replaced": func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "new"), []byte("x"), 0o644))
			must(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "file")))
		},
		"entry in a directory": func(t *testing.T, dir string) {
			time.Sleep(20 * time.Millisecond)
			must(t, os.WriteFile(filepath.Join(dir, "sub", "n"), nil, 0o644))
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o644))
			must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
			p := &Plan{Build: Build, Kernel: Kernel(), Checks: []Check{
				NewCheck(filepath.Join(dir, "file")), NewCheck(filepath.Join(dir, "absent")), NewCheck(filepath.Join(dir, "sub")),
			}}
			if ok, changed := p.Fresh(); !ok {
				t.Fatalf("stale at once: %s", changed)
			}
			change(t, dir)
			if ok, _ := p.Fresh(); ok {
				t.Error("change not seen")
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDefaultWritable(t *testing.T) {
	for kernel, want := range map[string]string{
		"6.1.0-28-amd64": WritableDisk, "5.15.0": WritableDisk, "6.5.13": WritableDisk,
		"6.6.1": WritableTmpfs, "6.18.44": WritableTmpfs, "7.0": WritableTmpfs, "": WritableTmpfs,
	} {
		if got := DefaultWritable(kernel); got != want {
			t.Errorf("%s: %s, want %s", kernel, got, want)
		}
	}
}
