package include

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/flake-launcher/flake-launcher/rootfs"
	"github.com/flake-launcher/flake-launcher/rootfs/internal/complete"
)

const (
	recordVersion = 1
	recordSuffix  = ".json"
	maxRecord     = 16 << 20
)

// record says which layers were made of a source, in the state that it had
// then. It is derived data: without it the source is unpacked again.
type record struct {
	Version     int           `json:"version"`
	Kind        Kind          `json:"kind"`
	Source      string        `json:"source"`
	Fingerprint string        `json:"fingerprint"`
	DiffID      digest.Digest `json:"diff_id"`
	Implied     []string      `json:"implied,omitempty"`
	// Layers is one, or, with implied parents, one for each kind of stack below.
	Layers []made `json:"layers"`
}

// made is one layer, and what is true of the layers below that it fits on.
type made struct {
	ID    string            `json:"id"`
	Below []complete.Answer `json:"below,omitempty"`
}

func recordName(s Source) string {
	return digest.FromString(string(s.Kind)+"\x00"+s.Path).Encoded() + recordSuffix
}

// RecordFile is where it is kept which layers of a store were made of a source.
func RecordFile(store *rootfs.Store, s Source) string {
	return filepath.Join(store.IncludesDir(), recordName(s))
}

// readRecord gives nil for a record that is not there, or not of ours.
func readRecord(store *rootfs.Store, s Source) *record {
	r := parseRecord(RecordFile(store, s))
	if r == nil || r.Kind != s.Kind || r.Source != s.Path {
		return nil
	}
	return r
}

func parseRecord(path string) *record {
	st, err := os.Stat(path)
	if err != nil || !st.Mode().IsRegular() || st.Size() > maxRecord {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var r record
	if json.Unmarshal(b, &r) != nil || r.Version != recordVersion || r.DiffID.Validate() != nil {
		return nil
	}
	return &r
}

func writeRecord(store *rootfs.Store, s Source, r *record) error {
	r.Version, r.Kind, r.Source = recordVersion, s.Kind, s.Path
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return store.WriteInclude(recordName(s), append(b, '\n'))
}

// Made is what Records knows of one source.
type Made struct {
	File   string // the record
	Source Source
	Layers []string
}

// Records lists from which sources the store has layers. A file that is no
// record of ours is listed without a source.
func Records(store *rootfs.Store) ([]Made, error) {
	entries, err := os.ReadDir(store.IncludesDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list includes: %w", err)
	}
	var out []Made
	for _, e := range entries {
		m := Made{File: filepath.Join(store.IncludesDir(), e.Name())}
		if r := parseRecord(m.File); r != nil && strings.HasSuffix(e.Name(), recordSuffix) {
			m.Source = Source{r.Kind, r.Source}
			for _, l := range r.Layers {
				m.Layers = append(m.Layers, l.ID)
			}
		}
		out = append(out, m)
	}
	return out, nil
}
