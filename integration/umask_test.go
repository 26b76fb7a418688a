package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// What is made for a caller has to be his to use, whatever he takes away from the files that he makes himself.
func TestUmaskThatLeavesNothing(t *testing.T) { fixture.Each(t, testUmaskThatLeavesNothing) }

func testUmaskThatLeavesNothing(t *testing.T, by fixture.Caller) {
	s := fixture.NewSandbox(t, by)
	img := filepath.Join(s.Tmp, "probe.tar")
	if err := fixture.ProbeBase(t).WriteFile(img); err != nil {
		t.Fatal(err)
	}
	s.WriteFile(filepath.Join(s.Tmp, "included"), "x")
	sh := func(script string, args ...string) *fixture.Result {
		t.Helper()
		return s.MustExec("/bin/sh", append([]string{"-c", "umask 0777; exec " + script}, args...)...)
	}
	ctl := s.Binary("flake-ctl")
	sh(`"$0" load "$1"`, ctl, img)
	for name, flags := range map[string][]string{
		"plain": nil, "disk": {"--writable", "disk"}, "included": {"--include-path", filepath.Join(s.Tmp, "included")}, "kept": {"--resume"},
	} {
		sh(`"$@"`, append([]string{"-", ctl, "register", "--container", "probe", "--target", "/bin/probe", "--app", s.Link(name)}, flags...)...)
		for range 2 {
			if got := sh(`"$0" stat /`, s.Link(name)).Stdout; !strings.HasPrefix(got, "40000 755 ") {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	sh(`"$0" reset kept`, ctl)
	sh(`"$0" gc`, ctl)
	s.MustCtl("verify")
}
