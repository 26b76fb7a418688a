package ctl

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/flake-launcher/flake-launcher/launcher/flake"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// systemSettings is the administrator's file; a user has one of his own below XDG_CONFIG_HOME.
const systemSettings = "/etc/flake-launcher/config.yaml"

// settings are what is configured for all flakes.
type settings struct {
	// AdditionalStores are read where they are, after the caller's own, in this order.
	AdditionalStores []string `yaml:"additional_stores"`
}

// settings merges the files that are there: the user's stores come before the administrator's, root's own store last.
// With FLAKES_ROOT the machine's store does not count: everything lies below that directory.
func (s *session) settings() (settings, error) {
	var all settings
	for _, file := range s.settingsFiles() {
		one, err := readSettings(file)
		if err != nil {
			return settings{}, err
		}
		all.AdditionalStores = append(all.AdditionalStores, one.AdditionalStores...)
	}
	if s.getenv("FLAKES_ROOT") == "" && !s.privileged {
		all.AdditionalStores = append(all.AdditionalStores, rootfs.SystemRoot)
	}
	return all, nil
}

func (s *session) settingsFiles() []string {
	var files []string
	config := s.getenv("XDG_CONFIG_HOME")
	if home := s.getenv("HOME"); config == "" && filepath.IsAbs(home) {
		config = filepath.Join(home, ".config")
	}
	if filepath.IsAbs(config) {
		files = append(files, filepath.Join(config, "flake-launcher", "config.yaml"))
	}
	return append(files, systemSettings)
}

func readSettings(file string) (settings, error) {
	b, err := flake.ReadOwned(file)
	if errors.Is(err, os.ErrNotExist) {
		return settings{}, nil
	}
	if err != nil {
		return settings{}, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	var out settings
	if err := dec.Decode(&out); err != nil && !errors.Is(err, io.EOF) {
		return settings{}, flake.NewSyntaxError(file, err)
	}
	for _, dir := range out.AdditionalStores {
		if !filepath.IsAbs(dir) {
			return settings{}, &flake.SyntaxError{File: file, Msg: fmt.Sprintf("additional store %q: not an absolute path", dir)}
		}
	}
	return out, nil
}

// stores is the caller's own store, which may not be there, and the additional ones.
func (s *session) stores(own *rootfs.Store) (*rootfs.Set, error) {
	conf, err := s.settings()
	if err != nil {
		return nil, err
	}
	return rootfs.OpenSet(own, conf.AdditionalStores)
}
