package pkgdb

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// apkFiles are the places of Alpine's database, the newer one first.
var apkFiles = []string{"/usr/lib/apk/db/installed", "/lib/apk/db/installed"}

func openApk(h *host) (Database, error) {
	for _, place := range apkFiles {
		file, err := h.path(place)
		if err != nil {
			return nil, err
		}
		if !isFile(file) {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read package database (apk): %w", err)
		}
		return &plain{kind: "apk", host: h, state: []string{file}, packages: parseApk(string(b))}, nil
	}
	return nil, nil
}

// parseApk reads paragraphs of lines "X:value": P is the package, F a directory, R a file in it.
func parseApk(text string) []plainPackage {
	var out []plainPackage
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		var p plainPackage
		dir := "/"
		for line := range strings.SplitSeq(paragraph, "\n") {
			key, value, ok := strings.Cut(line, ":")
			if !ok {
				continue
			}
			switch key {
			case "P":
				p.name = value
			case "F":
				if dir = path.Join("/", value); dir != "/" {
					p.files = append(p.files, dir)
				}
			case "R":
				p.files = append(p.files, path.Join(dir, value))
			case "D":
				for _, word := range strings.Fields(value) {
					p.needs = append(p.needs, []string{bare(word)})
				}
			case "p":
				for _, word := range strings.Fields(value) {
					p.provides = append(p.provides, bare(word))
				}
			}
		}
		// apk keeps no record of configuration but the rule that it is what lies in /etc.
		for _, f := range p.files {
			if strings.HasPrefix(f, "/etc/") {
				p.conf = append(p.conf, f)
			}
		}
		if p.name != "" {
			out = append(out, p)
		}
	}
	return out
}
