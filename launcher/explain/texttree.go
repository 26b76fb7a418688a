package explain

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"
)

func (e *Explanation) writeOrigins(b *bytes.Buffer) {
	fmt.Fprintln(b, "\nfiles, by where they come from (what is higher is laid over what is lower):")
	for _, o := range slices.Backward(e.Origins) {
		fmt.Fprintf(b, "  %-10s %7d  %8s  %s\n", o.Role, o.Files, size(o.Bytes), shown(e.full(o)))
	}
}

// full is an origin's name with the digest of its image.
func (e *Explanation) full(o Origin) string {
	for _, i := range e.Images {
		if i.Role == o.Role && i.Name == o.Name {
			return o.Name + "  " + short(i.Digest)
		}
	}
	return o.Name
}

func short(digest string) string {
	if _, hex, ok := strings.Cut(digest, ":"); ok {
		return hex[:min(len(hex), 12)]
	}
	return digest
}

// writeTree shows directories that hold files of several origins, and in one line for each origin those that have but one.
func (e *Explanation) writeTree(b *bytes.Buffer, all bool) {
	fmt.Fprintln(b)
	alone := map[string][]string{} // by directory and origin: names within
	for _, d := range e.Directories {
		if len(d.Origins) == 1 && d.Path != "/" {
			key := parent(d.Path) + "\x00" + label(d.Origins[0].Role, d.Origins[0].Name)
			alone[key] = append(alone[key], path.Base(d.Path))
		}
	}
	for _, d := range e.Directories {
		indent := strings.Repeat("  ", strings.Count(strings.TrimSuffix(d.Path, "/"), "/"))
		name := path.Base(d.Path)
		if d.Path != "/" {
			name += "/"
		}
		var parts []string
		for _, o := range d.Origins {
			if o.Files > 0 {
				parts = append(parts, fmt.Sprintf("%s %d", label(o.Role, o.Name), o.Files))
			}
		}
		if len(d.Origins) == 1 && d.Path != "/" {
			key := parent(d.Path) + "\x00" + label(d.Origins[0].Role, d.Origins[0].Name)
			names := alone[key]
			if len(names) > examples {
				if names[0] == path.Base(d.Path) {
					fmt.Fprintf(b, "%s%s/ … %s/  %d directories, %s alone\n", indent, shown(names[0]), shown(names[len(names)-1]), len(names), shown(parts[0][:strings.LastIndexByte(parts[0], ' ')]))
				}
				continue
			}
		}
		fmt.Fprintf(b, "%s%s  %s\n", indent, shown(name), shown(strings.Join(parts, ", ")))
	}
	if all {
		fmt.Fprintln(b)
		for _, f := range e.Files {
			fmt.Fprintf(b, "%s  %s\n", shown(f.Path), shown(label(f.Role, f.Name)))
		}
	}
}

func label(role, name string) string {
	if role == "layer" || role == "include" {
		return role + " " + name
	}
	return role
}
