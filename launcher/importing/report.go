package importing

import (
	"github.com/flake-launcher/flake-launcher/launcher/flake"
)

// Verdict says what becomes of one key.
type Verdict string

// From best to worst.
const (
	Same    Verdict = "same"    // means here what it means there
	Differs Verdict = "differs" // is taken over; the note says what is another way here
	Cannot  Verdict = "cannot"  // keeps the flake from being imported
)

// Finding is what becomes of one key, flake-pilot's or one that the import adds.
type Finding struct {
	Key     string  `json:"key"`
	Verdict Verdict `json:"verdict"`
	Note    string  `json:"note"`
}

// Report is what becomes of one registration.
type Report struct {
	Name, File string
	// Engine is "podman", "firecracker" or "" where that can't be told.
	Engine string
	// HostPath is the command on the host, Link what lies there.
	HostPath string
	Link     Link
	Findings []Finding
	// Missing are the images that are not stored.
	Missing []string
	// Flake is the registration for the catalog; nil when there is a Cannot.
	Flake *flake.Flake
}

// Refuse makes the registration one that can't be imported.
func (r *Report) Refuse(key, note string) {
	r.Findings = append(r.Findings, Finding{key, Cannot, note})
	r.Flake = nil
}

// Importable reports whether nothing keeps the flake from being imported.
func (r *Report) Importable() bool { return r.Flake != nil }

func (r *Report) add(key string, v Verdict, note string) {
	r.Findings = append(r.Findings, Finding{key, v, note})
}
