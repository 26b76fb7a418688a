package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
)

// backupSuffix is put behind the name of a file that --force moved out of the way of a link.
const backupSuffix = ".before-flake"

// ledgerEntry records one link that we made. See rootfs/FORMAT.md.
type ledgerEntry struct {
	Flake  string    `json:"flake"`
	Link   string    `json:"link"`
	Target string    `json:"target"`
	Backup string    `json:"backup,omitempty"`
	Made   time.Time `json:"made"`
	// Exported are files of the app's images that were put on the host beside the link.
	Exported []exported `json:"exported,omitempty"`
	// Dirs are the directories that were made for them.
	Dirs []string `json:"dirs,omitempty"`
	// Import is set for a flake that was flake-pilot's.
	Import *importEntry `json:"import,omitempty"`
}

func (c *Catalog) ledgerFile(name string) string { return filepath.Join(c.Ledger, name+".json") }

// entry reads the ledger's entry of a flake; nil when there is none.
func (c *Catalog) entry(name string) (*ledgerEntry, error) {
	b, err := os.ReadFile(c.ledgerFile(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ledger: %w", err)
	}
	var e ledgerEntry
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("read ledger %s: %w", c.ledgerFile(name), err)
	}
	return &e, nil
}

func (c *Catalog) record(e ledgerEntry) error {
	if err := os.MkdirAll(c.Ledger, 0o755); err != nil {
		return fmt.Errorf("make ledger: %w", err)
	}
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	return renameio.WriteFile(c.ledgerFile(e.Flake), append(b, '\n'), 0o644)
}

// owns reports whether path is a link that we made: the ledger says so and it still points where it did, or it
// is a symlink to the launcher itself.
func (c *Catalog) owns(name, path string) (bool, error) {
	target, err := os.Readlink(path)
	if err != nil {
		return false, nil // no symlink, so not ours
	}
	if target == c.Launcher {
		return true, nil
	}
	e, err := c.entry(name)
	return e != nil && e.Link == path && e.Target == target, err
}
