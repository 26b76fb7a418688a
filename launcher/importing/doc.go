// Package importing reads flake-pilot's registrations and says what becomes of each of their keys here: what maps, what
// differs, what can't be.
//
// It changes nothing on the host; launcher/catalog carries an import out and takes it back. Reading (Read, ReadSite,
// LinkAt) is kept apart from judging (Assess), which is a pure function. Entry points: Read, Assess.
package importing
