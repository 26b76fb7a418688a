package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// A host file is made private after the plan was compiled, which no directory tells. An ordinary user's app loses it at
// once: the kernel opens the host's file in his name. Root's app that runs as somebody else keeps it by default, since it
// is root who opens it, and loses it with the next start where freshness is strict.
func TestHostFileMadePrivate(t *testing.T) { fixture.Each(t, testHostFileMadePrivate) }

func testHostFileMadePrivate(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	host := hostDir(t, by)
	var list strings.Builder
	for n := range 30 {
		path := filepath.Join(host, fmt.Sprint(n))
		if err := os.WriteFile(path, []byte("content\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		list.WriteString(path[1:] + "\n")
	}
	file := filepath.Join(host, "3")
	s.Load(fixture.Delta(t, "listed", "file removed data="+quote(list.String())))
	for _, freshness := range []string{"default", "strict"} {
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		s.Register(freshness, "listed", "--base", "probe", "--target", "/bin/probe", "--profile", "isolated")
		text := "host_files: {strategy: layer, freshness: " + freshness + "}\n"
		if by.IsRoot() {
			text += "user: \"54321\"\n"
		}
		dropIn(s, freshness, text)
		if res := s.MustApp(freshness, "cat", file); res.Stdout != "content\n" {
			t.Fatalf("%v", res)
		}
		if err := os.Chmod(file, 0o600); err != nil {
			t.Fatal(err)
		}
		keeps := by.IsRoot() && freshness == "default"
		if res := s.App(freshness, "cat", file); (res.Code == 0) != keeps {
			t.Errorf("%s: keeps it: want %v, got %v", freshness, keeps, res)
		}
	}
}
