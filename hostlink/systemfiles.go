package hostlink

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// MaxSystemFiles bounds the script that an image may bring as [SystemFiles].
const MaxSystemFiles = 1 << 20

// The line by which KIWI's script lists a package, and what rpm prints for one without files.
const (
	rpmQuery = "rpm --noghost -ql "
	rpmEmpty = "(contains no files)"
)

// shells are the first lines that do not change what such a script means.
var shells = []string{"#!/bin/sh", "#!/bin/bash", "#!/usr/bin/sh", "#!/usr/bin/bash", "#!/usr/bin/env sh", "#!/usr/bin/env bash"}

// SystemPackages recognises the form in which KIWI generates [SystemFiles]: `set -e`, then a query for each package,
// empty lines anywhere, and perhaps a first line that names a shell. It returns the packages in their order. Any other
// script is not ok, and has to be run.
func SystemPackages(script []byte) (packages []string, ok bool) {
	stops := false
	for n, line := range strings.Split(string(script), "\n") {
		switch {
		case line == "", n == 0 && slices.Contains(shells, line):
		case line == "set -e" && len(packages) == 0:
			stops = true
		case stops && strings.HasPrefix(line, rpmQuery) && isPackageName(line[len(rpmQuery):]):
			packages = append(packages, line[len(rpmQuery):])
		default:
			return nil, false
		}
	}
	return packages, stops
}

// isPackageName takes what a package's name may hold, and a shell takes for one plain word.
func isPackageName(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && strings.IndexByte("+-._", c) >= 0, c == '_':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxName
}

// ParseSystemFiles reads what a [SystemFiles] script has printed: absolute paths, a line each. Errors are those of
// [ParseManifest]; a line that is no absolute path is a [*ManifestError].
func ParseSystemFiles(printed []byte) (Manifest, error) {
	n := 0
	for line := range bytes.Lines(printed) {
		n++
		line = bytes.TrimRight(line, "\r\n")
		if len(line) > 0 && line[0] != '/' && string(line) != rpmEmpty {
			return Manifest{}, &ManifestError{Line: n, Reason: fmt.Sprintf("%q is no absolute path", shorten(string(line)))}
		}
	}
	m, err := ParseManifest(bytes.NewReader(printed))
	m.Entries = slices.DeleteFunc(m.Entries, func(e Entry) bool { return e.UnsafePath == rpmEmpty })
	return m, err
}

// PackageManifest makes a manifest of a package's files.
func PackageManifest(files []string) Manifest {
	m := Manifest{Entries: make([]Entry, 0, len(files))}
	for n, f := range files {
		unsafePath, reason := normalise(f)
		if reason != "" {
			m.Refused = append(m.Refused, Skip{Path: shorten(f), Line: n + 1, Cause: CauseRefused, Reason: reason})
			continue
		}
		m.Entries = append(m.Entries, Entry{UnsafePath: unsafePath, Line: n + 1})
	}
	return m
}
