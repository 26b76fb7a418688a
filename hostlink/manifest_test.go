package hostlink

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseManifest(t *testing.T) {
	long := strings.Repeat("a", maxName+1)
	cases := map[string]struct {
		in      string
		want    []Entry
		refused []Skip
	}{
		"dot-dot is refused wherever it stands": {
			in: "../../etc/shadow\na/../b\n/..\n..\nc/..\na..b/..c/d..\n",
			want: []Entry{
				{"a..b/..c/d..", 6},
			},
			refused: []Skip{
				{Path: "../../etc/shadow", Line: 1, Cause: CauseRefused, Reason: `has a ".." component`},
				{Path: "a/../b", Line: 2, Cause: CauseRefused, Reason: `has a ".." component`},
				{Path: "/..", Line: 3, Cause: CauseRefused, Reason: `has a ".." component`},
				{Path: "..", Line: 4, Cause: CauseRefused, Reason: `has a ".." component`},
				{Path: "c/..", Line: 5, Cause: CauseRefused, Reason: `has a ".." component`},
			},
		},
		"the root is refused": {
			in: "/\n.\n./\n///\n",
			refused: []Skip{
				{Path: "/", Line: 1, Cause: CauseRefused, Reason: "names the root itself"},
				{Path: ".", Line: 2, Cause: CauseRefused, Reason: "names the root itself"},
				{Path: "./", Line: 3, Cause: CauseRefused, Reason: "names the root itself"},
				{Path: "///", Line: 4, Cause: CauseRefused, Reason: "names the root itself"},
			},
		},
		"too long is refused and shown shortened": {
			in: long + "\n" + strings.Repeat("a/", maxPath) + "\n",
			refused: []Skip{
				{Path: shorten(long), Line: 1, Cause: CauseRefused, Reason: "holds a name longer than a name can be"},
				{Path: strings.Repeat("a/", maxShown/2) + "...", Line: 2, Cause: CauseRefused, Reason: "longer than a path can be"},
			},
		},
		"nothing is quoted": {
			in: " lead\ntrail \nta\tb\nback\\slash\\040\n#hash\n-rf\n\"q\"'\n*?[\n;x\n\xff\xfe\nü\n",
			want: []Entry{
				{" lead", 1}, {"trail ", 2}, {"ta\tb", 3}, {`back\slash\040`, 4}, {"#hash", 5}, {"-rf", 6},
				{`"q"'`, 7}, {"*?[", 8}, {";x", 9}, {"\xff\xfe", 10}, {"ü", 11},
			},
		},
		"a lone space is a name":       {in: " \n", want: []Entry{{" ", 1}}},
		"leading slash and dot go":     {in: "/a/b\n./c\n.//./d\n//e//f/./g/\n", want: []Entry{{"a/b", 1}, {"c", 2}, {"d", 3}, {"e/f/g", 4}}},
		"hidden names stay":            {in: ".a\n./.b/...\n", want: []Entry{{".a", 1}, {".b/...", 2}}},
		"empty lines keep the count":   {in: "\na\n\n\nb\n\n", want: []Entry{{"a", 2}, {"b", 5}}},
		"duplicates stay":              {in: "a\n/a\n", want: []Entry{{"a", 1}, {"a", 2}}},
		"no newline at the end":        {in: "a\nb", want: []Entry{{"a", 1}, {"b", 2}}},
		"empty":                        {in: ""},
		"CRLF throughout":              {in: "a\r\n\r\nb c\r\n", want: []Entry{{"a", 1}, {"b c", 3}}},
		"CRLF, last without newline":   {in: "a\r\nb\r", want: []Entry{{"a", 1}, {"b", 2}}},
		"CR in some lines is the name": {in: "a\r\nb\n", want: []Entry{{"a\r", 1}, {"b", 2}}},
		"CR inside a name":             {in: "a\rb\r\n", want: []Entry{{"a\rb", 1}}},
		"only one CR goes":             {in: "a\r\r\n", want: []Entry{{"a\r", 1}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, err := ParseManifest(strings.NewReader(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append([]Entry{}, c.want...), append([]Entry{}, m.Entries...)); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.refused, m.Refused); diff != "" {
				t.Errorf("refused (-want +got):\n%s", diff)
			}
		})
	}
}

// endless yields its text for ever.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

func TestParseManifestBounds(t *testing.T) {
	broken := errors.New("broken")
	var limit *LimitError
	var bad *ManifestError
	cases := map[string]struct {
		in    io.Reader
		check func(error) bool
	}{
		"endless content": {endless("usr/bin/x\n"), func(err error) bool { return errors.As(err, &limit) && limit.What == "bytes" }},
		"too many lines": {
			strings.NewReader(strings.Repeat("\n", maxManifestLines+1)),
			func(err error) bool { return errors.As(err, &limit) && limit.What == "lines" },
		},
		"NUL": {
			strings.NewReader("a\nb\nc\x00d\n"),
			func(err error) bool { return errors.As(err, &bad) && bad.Line == 3 },
		},
		"ELF file": {
			io.LimitReader(endless("\x7fELF\x02\x01\x01\x00\x00"), 4096),
			func(err error) bool { return errors.As(err, &bad) && bad.Remedy() != "" },
		},
		"reader breaks": {
			io.MultiReader(strings.NewReader("a\n"), errReader{broken}),
			func(err error) bool { return errors.Is(err, broken) },
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m, err := ParseManifest(c.in)
			if !c.check(err) {
				t.Errorf("error %v", err)
			}
			if len(m.Entries) != 0 {
				t.Errorf("%d entries besides an error", len(m.Entries))
			}
		})
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestParseManifestSamples(t *testing.T) {
	for file, want := range map[string]int{"removed-deb": 14, "removed-rpm": 4} {
		m := readSample(t, file)
		if len(m.Entries) != want || len(m.Refused) != 0 {
			t.Errorf("%s: %d entries, %d refused, want %d and 0", file, len(m.Entries), len(m.Refused), want)
		}
	}
}

func readSample(t testing.TB, name string) Manifest {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := ParseManifest(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func FuzzParseManifest(f *testing.F) {
	for _, seed := range []string{"", "a\r\nb\r\n", "../x\n/\n./a//b\n", "a\x00", "\r\n\r", " \n\t\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		last := 0
		for _, e := range m.Entries {
			if e.Line <= last {
				t.Errorf("line %d after %d", e.Line, last)
			}
			last = e.Line
			if clean, reason := normalise(e.UnsafePath); clean != e.UnsafePath || reason != "" {
				t.Errorf("%q is not normal: %q %s", e.UnsafePath, clean, reason)
			}
			if strings.ContainsAny(e.UnsafePath, "\x00\n") || filepath.Clean("/"+e.UnsafePath) != "/"+e.UnsafePath {
				t.Errorf("%q is no clean path", e.UnsafePath)
			}
		}
	})
}
