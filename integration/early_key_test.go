package integration

import (
	"syscall"
	"testing"
	"time"

	"github.com/flake-launcher/flake-launcher/integration/fixture"
)

// A ^C that is typed while a start is under way ends it, or the app, at whatever moment it comes.
func TestKeyWhileStarting(t *testing.T) { fixture.Each(t, testKeyWhileStarting) }

func testKeyWhileStarting(t *testing.T, by fixture.Caller) {
	s := started(t, by)
	s.Register("app", "probe", "--target", "/bin/probe")
	s.MustApp("app", "exit", "0")
	for n := range 120 {
		v := onTerminal(t, s, s.Command(t.Context(), s.Link("app"), "cat"))
		after := time.Duration(n+16) * 30 * time.Microsecond // before that the terminal may not be its own yet
		time.Sleep(after)
		if _, err := v.ours.WriteString("\x03"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-v.ended:
		case <-time.After(10 * time.Second):
			t.Fatalf("typed after %v: nobody heard of it", after)
		}
		if st := v.cmd.ProcessState.Sys().(syscall.WaitStatus); st.Signal() != syscall.SIGINT {
			t.Errorf("typed after %v: %v", after, st)
		}
	}
}
