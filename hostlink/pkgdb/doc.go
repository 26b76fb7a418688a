// Package pkgdb reads the package databases of a host, or of a directory that stands for one.
//
// It owns what is known of their formats: dpkg, rpm (sqlite, ndb, Berkeley DB), apk and pacman. It changes nothing, asks
// no network, and runs no program but rpm where a database is in none of these forms.
//
// It is linked into flake-ctl only: an rpm database takes an SQLite to read.
//
// Entry point: [Open].
package pkgdb
