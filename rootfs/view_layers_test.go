package rootfs

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestViewSights(t *testing.T) {
	for name, c := range map[string]struct {
		layers [][]string // bottom first
		path   string
		want   []string
	}{
		"nothing":                {[][]string{{"file b x"}}, "/a", nil},
		"the root":               {[][]string{{}, {}}, "/", []string{"1 has", "0 has"}},
		"a file over a file":     {[][]string{{"file a x"}, {}, {"file a y"}}, "/a", []string{"2 has", "0 has hidden"}},
		"directories merge":      {[][]string{{"file a/b x"}, {"file a/c y"}}, "/a", []string{"1 has", "0 has"}},
		"a whiteout":             {[][]string{{"file a/b x"}, {"dir a", "gone a/b"}}, "/a/b", []string{"1 whiteout /a/b", "0 has hidden"}},
		"a whiteout above":       {[][]string{{"file a/b x"}, {"xgone a"}, {"file a/b x"}}, "/a/b", []string{"2 has", "1 whiteout /a hidden", "0 has hidden"}},
		"an opaque directory":    {[][]string{{"file a/b x"}, {"opaque a"}}, "/a/b", []string{"1 opaque directory /a", "0 has hidden"}},
		"in an opaque directory": {[][]string{{"file a/b x"}, {"opaque a", "file a/b x"}}, "/a/b", []string{"1 has opaque directory /a", "0 has hidden"}},
		"a file for a directory": {[][]string{{"file a/b x"}, {"file a x"}, {"dir a"}}, "/a/b", []string{"1 no directory /a", "0 has hidden"}},
		"a link is not followed": {[][]string{{"file a/b x"}, {"link a c"}}, "/a/b", []string{"1 no directory /a", "0 has hidden"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := view(t, c.layers...)
			sights, err := v.Sights(c.path)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range sights {
				line := fmt.Sprint(s.Layer)
				if s.Info != nil {
					line += " has"
				}
				if s.Hides != "" {
					line += " " + s.Hides + " " + s.At
				}
				if s.Hidden {
					line += " hidden"
				}
				got = append(got, line)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
			// What is seen has to be what the view shows.
			origin, err := v.Origin(c.path)
			for _, s := range sights {
				if s.Info != nil && !s.Hidden {
					if err != nil || origin != s.Layer {
						t.Errorf("the view has it from layer %d, %v", origin, err)
					}
					return
				}
			}
			if err == nil {
				t.Errorf("the view has it from layer %d", origin)
			}
		})
	}
	v := view(t, []string{"file a/b x"})
	if _, err := v.Sights("/a/../a"); err == nil {
		t.Error("a path that is not canonical is taken")
	}
}

func TestViewEntries(t *testing.T) {
	v := view(t, []string{"file a/x 1", "file a/y 1", "file a/z 1"}, []string{"file a/y 2", "dir a/d", "gone a/z"})
	entries, err := v.Entries("/a")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprint(e.Info.Name(), e.Layer))
	}
	if d := cmp.Diff([]string{"d1", "x0", "y1"}, got); d != "" {
		t.Error(d)
	}
}
