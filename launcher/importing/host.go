package importing

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

// Link is what lies at the host path of a registration.
type Link struct {
	// Target is what a symlink points to, as it is written there; "" where nothing is.
	Target string
	// Pilot names the pilot that the link starts (podman-pilot, firecracker-pilot, ...), "" where it is none.
	Pilot string
	// There says that something is at the path, whatever it is.
	There bool
	// Locked says why nothing can be put there; "" when it can.
	Locked string
}

// pilots are the programs that flake-pilot's links point to.
var pilots = map[string]bool{"podman-pilot": true, "firecracker-pilot": true, "bubblewrap-pilot": true}

// LinkAt looks at a host path.
func LinkAt(path string) Link {
	var l Link
	if _, err := os.Lstat(path); err == nil {
		l.There = true
	}
	if target, err := os.Readlink(path); err == nil {
		l.Target = target
		names := []string{filepath.Base(target)}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			names = append(names, filepath.Base(real))
		}
		for _, name := range names {
			if pilots[name] && l.Pilot == "" {
				l.Pilot = name
			}
		}
	}
	dir := filepath.Dir(path)
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		l.Locked = fmt.Sprintf("there is no directory %s", dir)
	} else if err := unix.Access(dir, unix.W_OK); err != nil {
		l.Locked = fmt.Sprintf("you can't write to %s", dir)
	}
	return l
}

// Note is something to know about a file of the site's.
type Note struct {
	File string `json:"file"`
	Note string `json:"note"`
}

// Site are flake-pilot's settings.
type Site struct {
	// Flakes is the directory of registrations that they name, "" if they name none.
	Flakes string
	Notes  []Note
}

// ReadSite reads flake-pilot's settings (flakes.yml) and looks for its templates in a directory. Files that are not
// there are nothing to speak of.
func ReadSite(settings, templateDir string) (Site, error) {
	var site Site
	text, err := flake.ReadOwned(settings)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return site, err
	}
	m, err := parse(settings, text)
	if err != nil {
		return site, err
	}
	keys := flatten(m)
	if dir, ok := keys["generic.flakes_dir"].(string); ok {
		site.Flakes = dir
	}
	var named []string
	for key := range keys {
		named = append(named, key)
	}
	sort.Strings(named)
	for _, key := range named {
		site.Notes = append(site.Notes, Note{settings, fmt.Sprintf("%s: %v: %s", key, keys[key], settingNote(key))})
	}
	for _, t := range []string{"container-flake.yaml", "firecracker-flake.yaml"} {
		file := filepath.Join(templateDir, t)
		if _, err := os.Lstat(file); err == nil {
			site.Notes = append(site.Notes, Note{file, "template of new registrations: its values are in each of them already; flake-ctl register does not read it"})
		}
	}
	return site, nil
}

func settingNote(key string) string {
	switch key {
	case "generic.flakes_dir":
		return "registrations are read from there"
	case "generic.podman_storage_conf":
		return "images of podman's storage are not used: podman save IMAGE > FILE, then flake-ctl load FILE"
	case "generic.podman_ids_dir", "generic.firecracker_ids_dir":
		return "not needed here"
	}
	return "not known here"
}
