package flake

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

// NotFoundError says that no directory has a registration of that name.
type NotFoundError struct {
	Name     string
	Searched []string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no flake named %q in %s", e.Name, strings.Join(e.Searched, ", "))
}

// Remedy implements the CLI's second line.
func (e *NotFoundError) Remedy() string {
	return "see 'flake-ctl list', or register it: flake-ctl register --container IMAGE --app PATH"
}

// Find returns the registration file of the named flake: the first directory that has one wins. Files that are
// no container flakes are skipped; so is a directory out of the caller's reach, if a later one has the flake.
func Find(dirs []string, name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	var barred error
	for _, d := range dirs {
		file := filepath.Join(d, name+".yaml")
		_, err := os.Stat(file)
		if errors.Is(err, os.ErrPermission) && barred == nil {
			barred = fmt.Errorf("find registration: %w", err)
		}
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, os.ErrPermission) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("find registration: %w", err)
		}
		if _, err := readNode(file); errors.Is(err, ErrNotContainer) {
			continue
		}
		return file, nil
	}
	if barred != nil {
		return "", barred
	}
	return "", &NotFoundError{Name: name, Searched: dirs}
}

// Entry is one registration file found by List.
type Entry struct {
	Name string
	File string
	// Shadowed is set when an earlier directory has a flake of the same name.
	Shadowed bool
}

// List returns the registrations of all directories, sorted by name, then by search order.
func List(dirs []string) ([]Entry, error) {
	var out []Entry
	for _, d := range dirs {
		files, err := os.ReadDir(d)
		if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return nil, fmt.Errorf("list registrations: %w", err)
		}
		for _, f := range files {
			name, ok := strings.CutSuffix(f.Name(), ".yaml")
			if !ok || CheckName(name) != nil {
				continue
			}
			file := filepath.Join(d, f.Name())
			if _, err := readNode(file); errors.Is(err, ErrNotContainer) {
				continue
			}
			out = append(out, Entry{Name: name, File: file})
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	for i := range out {
		out[i].Shadowed = i > 0 && out[i-1].Name == out[i].Name
	}
	return out, nil
}
