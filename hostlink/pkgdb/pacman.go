package pkgdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

const pacmanDir = "/var/lib/pacman/local"

// openPacman reads a directory for each package, NAME-VERSION-RELEASE, whose names change with each installation.
func openPacman(h *host) (Database, error) {
	dir, err := h.path(pacmanDir)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read package database (pacman): %w", err)
	}
	db := &plain{kind: "pacman", host: h, state: []string{dir}}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		p, err := readPacman(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("read package database (pacman): %w", err)
		}
		if p.name != "" {
			db.packages = append(db.packages, p)
		}
	}
	if len(db.packages) == 0 {
		return nil, nil
	}
	return db, nil
}

func readPacman(dir string) (p plainPackage, err error) {
	for _, name := range []string{"desc", "files"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return p, err
		}
		p.addPacman(string(b))
	}
	return p, nil
}

// addPacman reads sections: a line %NAME%, values a line each, an empty line.
func (p *plainPackage) addPacman(text string) {
	section := ""
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case line == "":
			section = ""
			continue
		case section == "":
			section = line
			continue
		}
		switch section {
		case "%NAME%":
			p.name = line
		case "%FILES%":
			p.files = append(p.files, path.Join("/", line))
		case "%BACKUP%":
			file, _, _ := strings.Cut(line, "\t")
			p.conf = append(p.conf, path.Join("/", file))
		case "%DEPENDS%":
			p.needs = append(p.needs, []string{bare(line)})
		case "%PROVIDES%":
			p.provides = append(p.provides, bare(line))
		}
	}
}
