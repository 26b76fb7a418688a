package selftest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// compare holds the observations against each other.
func (t *Test) compare(native, flake observation) []Row {
	var rows []Row
	for _, field := range native.keys {
		n, f := native.values[field], flake.values[field]
		if strings.HasSuffix(field, " is") {
			continue // see terminals
		}
		switch field {
		case "HOME", "/tmp", "/var/tmp":
			n, f = places(n, f)
		}
		rows = append(rows, t.judge(field, n, f, flake))
	}
	same := 0
	var differ []Row
	for _, name := range slices.Sorted(maps.Keys(union(native.env, flake.env))) {
		n, inNative := native.env[name]
		f, inFlake := flake.env[name]
		if inNative == inFlake && n == f {
			same++
			continue
		}
		differ = append(differ, t.judge("env "+name, unset(n, inNative), unset(f, inFlake), flake))
	}
	all := fmt.Sprintf("%d variables", same)
	return append(append(rows, Row{Field: "environment", Native: all, Flake: all, Verdict: Same}), differ...)
}

// judge finds the reason why a field differs.
func (t *Test) judge(field, native, flake string, o observation) Row {
	row := Row{Field: field, Native: native, Flake: flake, Verdict: Same}
	if native == flake {
		return row
	}
	row.Verdict = Differs
	c := &comparison{Test: t, field: field, native: native, flake: flake, seen: o}
	for _, d := range Differences {
		if d.covers(field, t.Profile) && d.meant(c) {
			row.Verdict, row.Reason = Expected, d.Reason
			break
		}
	}
	return row
}

// places makes comparable what the probe says of a directory: device and inode, and the number of its entries.
func places(native, flake string) (string, string) {
	id, _, _ := strings.Cut(native, " ")
	other, entries, there := strings.Cut(flake, " ")
	if native != "none" {
		native = "the caller's"
	}
	switch {
	case !there:
		return native, "none"
	case other == id:
		return native, native
	case entries == "0":
		return native, "an empty one"
	}
	return native, "one with " + entries + " entries"
}

func union(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func unset(value string, there bool) string {
	if !there {
		return "(not set)"
	}
	return value
}
