// Package explain says where each file of an app's root comes from, and why: from which image, from an include or from
// the host, named by which line of which manifest, and by which means it is shown.
//
// It looks at a compiled flake and at the layers; it compiles, mounts and changes nothing. README.md documents the JSON.
// Entry points: Of for the whole, Path for one path; each result has a Write for people.
package explain
