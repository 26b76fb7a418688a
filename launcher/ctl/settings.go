package ctl

import (
	"errors"
	"io/fs"
	"os"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/launcher/plan"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// settings merges the files that are there: the user's stores come before the administrator's, root's own store last,
// and the user's defaults count before the administrator's. With FLAKES_ROOT the machine's store does not count:
// everything lies below that directory. The fingerprints are from before the files were read.
func (s *session) settings() (all flake.Settings, checks []plan.Check, err error) {
	if s.memory && s.callers != "" { // to be read, if it is there
		all.AdditionalStores = append(all.AdditionalStores, s.callers)
	}
	files := plan.SettingsFiles(s.getenv)
	for n, file := range files {
		checks = append(checks, plan.NewCheck(file))
		if n < len(files)-1 && outOfReach(file) {
			continue // the HOME of somebody else, as su and runuser leave it
		}
		one, err := flake.ParseSettings(file)
		if err != nil {
			return all, nil, err
		}
		all.AdditionalStores = append(all.AdditionalStores, one.AdditionalStores...)
		all.Defaults = all.Defaults.Or(one.Defaults)
	}
	if s.getenv("FLAKES_ROOT") == "" && !s.privileged {
		all.AdditionalStores = append(all.AdditionalStores, rootfs.SystemRoot)
	}
	return all, checks, nil
}

// stores is the caller's own store, which may not be there, and the additional ones.
func (s *session) stores(own *rootfs.Store) (*rootfs.Set, error) {
	conf, _, err := s.settings()
	if err != nil {
		return nil, err
	}
	return rootfs.OpenSet(own, conf.AdditionalStores)
}

// outOfReach says that the caller can't even tell whether the file is there.
func outOfReach(file string) bool {
	_, err := os.Stat(file)
	return errors.Is(err, fs.ErrPermission)
}
