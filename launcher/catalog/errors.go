package catalog

import (
	"fmt"
	"path/filepath"
)

// ExistsError refuses a registration whose name is taken.
type ExistsError struct{ Name, File, HostPath, Wanted string }

func (e *ExistsError) Error() string {
	if e.HostPath == e.Wanted {
		return fmt.Sprintf("flake %q is registered already, in %s", e.Name, e.File)
	}
	return fmt.Sprintf("flake %q is registered already, for %s", e.Name, e.HostPath)
}

// Remedy implements the CLI's second line.
func (e *ExistsError) Remedy() string {
	if e.HostPath == e.Wanted {
		return "--force replaces it; flake-ctl remove " + e.Name + " removes it"
	}
	return "choose another file name for --app, or flake-ctl remove " + e.Name + " first"
}

// ShadowedError refuses a registration that would never be started: one of the same name is found first.
type ShadowedError struct{ Name, By string }

func (e *ShadowedError) Error() string {
	return fmt.Sprintf("flake %q is registered in %s, which comes first", e.Name, e.By)
}

// Remedy implements the CLI's second line.
func (e *ShadowedError) Remedy() string {
	return "remove that one, or choose another file name for --app"
}

// ForeignFileError refuses to replace or remove a file that is not our link.
type ForeignFileError struct{ Path, Backup string }

func (e *ForeignFileError) Error() string {
	if e.Backup != "" {
		return fmt.Sprintf("%s is in the way, and so is its backup %s", e.Path, e.Backup)
	}
	return fmt.Sprintf("%s exists and is no flake of ours", e.Path)
}

// Remedy implements the CLI's second line.
func (e *ForeignFileError) Remedy() string {
	if e.Backup != "" {
		return "move one of the two away"
	}
	return "choose another --app, or --force: the file is kept as " + e.Path + backupSuffix + " and comes back with flake-ctl remove"
}

// NotOursError says that a flake is registered in a directory that this caller does not write to.
type NotOursError struct{ Name, File string }

func (e *NotOursError) Error() string {
	return fmt.Sprintf("flake %q is registered by %s, which is not yours to remove", e.Name, e.File)
}

// Remedy implements the CLI's second line.
func (e *NotOursError) Remedy() string {
	return "remove it as the user, or with the package, it belongs to"
}

// PilotError says that a flake is flake-pilot's, and was not imported.
type PilotError struct{ Name, File, Link, Target string }

func (e *PilotError) Error() string {
	return fmt.Sprintf("flake %q is flake-pilot's: %s is a link to %s", e.Name, e.Link, e.Target)
}

// Remedy implements the CLI's second line.
func (e *PilotError) Remedy() string {
	return "take it over first: flake-ctl import " + filepath.Dir(e.File) + "; or remove it with flake-pilot's own flake-ctl"
}

// PathError says what is wrong with the path of a link.
type PathError struct{ Path, Reason, Fix string }

func (e *PathError) Error() string { return fmt.Sprintf("--app %s: %s", e.Path, e.Reason) }

// Remedy implements the CLI's second line.
func (e *PathError) Remedy() string { return e.Fix }

// NotImportedError says that there is nothing to take back.
type NotImportedError struct{ Name string }

func (e *NotImportedError) Error() string {
	return fmt.Sprintf("flake %q was not imported", e.Name)
}

// Remedy implements the CLI's second line.
func (e *NotImportedError) Remedy() string {
	return "flake-ctl import --undo without names takes back all that were"
}
