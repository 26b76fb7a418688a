package hostlink

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestSystemPackages(t *testing.T) {
	kiwi := "set -e\nrpm --noghost -ql ca-certificates\nrpm --noghost -ql libstdc++6\n\n"
	for _, script := range []string{kiwi, "\n" + kiwi, "#!/bin/bash\n" + kiwi, strings.TrimRight(kiwi, "\n")} {
		if got, ok := SystemPackages([]byte(script)); !ok || !slices.Equal(got, []string{"ca-certificates", "libstdc++6"}) {
			t.Errorf("%q: %q, %v", script, got, ok)
		}
	}
	if got, ok := SystemPackages([]byte("set -e\n")); !ok || len(got) != 0 {
		t.Errorf("a script for no package: %q, %v", got, ok)
	}
	// Whatever else a shell would do has to be left to one.
	for _, script := range []string{
		"", "rpm --noghost -ql a\n", "rpm --noghost -ql a\nset -e\n", "set -e\nrpm -ql a\n", "set -e\nrpm --noghost -ql a b\n",
		"set -e\nrpm --noghost -ql $(id)\n", "set -e\nrpm --noghost -ql a;id\n", "set -e\nrpm --noghost -ql -a\n", "set -e\nrpm --noghost -ql \n",
		"set -e\nrpm --noghost -ql a \n", "set -e\n rpm --noghost -ql a\n", "set -e\nrpm --noghost -ql a\r\n", "set -e\nrpm --noghost -ql a\necho /x\n",
		"set -ex\nrpm --noghost -ql a\n", "set -e\nrpm --noghost -ql a*\n", "set -e\nrpm --noghost -ql a\\\nb\n", "set -e\n#!/bin/sh\n",
		"#!/usr/bin/python3\nset -e\nrpm --noghost -ql a\n", "set -e\nrpm --noghost -ql a\x00b\n", "set -e\nrpm --noghost -ql ../a\n",
	} {
		if got, ok := SystemPackages([]byte(script)); ok {
			t.Errorf("%q: taken for %q", script, got)
		}
	}
}

func TestParseSystemFiles(t *testing.T) {
	m, err := ParseSystemFiles([]byte("/usr\n/usr/bin/a b\n(contains no files)\n\n/../etc/shadow\n/usr/bin/c"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range m.Entries {
		got = append(got, e.UnsafePath)
	}
	if !slices.Equal(got, []string{"usr", "usr/bin/a b", "usr/bin/c"}) || len(m.Refused) != 1 || m.Entries[2].Line != 6 {
		t.Errorf("%q, %+v", got, m)
	}
	for _, printed := range []string{"package a is not installed\n", "/usr\nusr/bin\n", "/usr\x00\n", "\x7fELF\x01\n"} {
		var bad *ManifestError
		if _, err := ParseSystemFiles([]byte(printed)); !errors.As(err, &bad) || bad.Remedy() == "" {
			t.Errorf("%q: %v", printed, err)
		}
	}
}
