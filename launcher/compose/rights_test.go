package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flake-launcher/flake-launcher/nsexec/config"
	"github.com/flake-launcher/flake-launcher/nsexec/seccomp"
)

// Without no_new_privs a filter is loaded while there are rights to do so, and setuid programs work.
func TestNewPrivilegesUnderAFilter(t *testing.T) {
	b := newDirectBed(t, config.Spec{UID: 1234, NewPrivs: true})
	filter, err := seccomp.Compile(config.DefaultCaps)
	if err != nil {
		t.Fatal(err)
	}
	b.job.Filters = [][]byte{seccomp.Terminal(), filter}
	status := b.probe("read", "/proc/self/status")
	for _, want := range []string{"NoNewPrivs:\t0", "Seccomp_filters:\t2", "CapEff:\t0000000000000000", "CapAmb:\t0000000000000000"} {
		if !strings.Contains(status, want) {
			t.Errorf("no %q in %s", want, status)
		}
	}
	for _, file := range []string{"/proc/self/status", "/proc/1/status"} {
		if text := b.probe("read", file); !strings.Contains(text, "CapPrm:\t0000000000000000") {
			t.Errorf("%s: capabilities are left: %s", file, text)
		}
	}
	if err := os.Chmod(filepath.Join(b.layer, "bin/probe"), 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	if status := b.probe("read", "/proc/self/status"); !strings.Contains(status, "Uid:\t1234\t0\t0\t0") {
		t.Errorf("setuid had no effect: %s", status)
	}
}
