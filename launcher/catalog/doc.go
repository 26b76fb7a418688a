// Package catalog owns which flakes are registered: it writes, lists and removes registrations, makes the links
// that start them, and keeps a ledger of those links, so that a file we do not own is never touched.
//
// It knows nothing about how images get into the store. Entry points: Catalog.Register, Catalog.Remove,
// Catalog.List.
package catalog
