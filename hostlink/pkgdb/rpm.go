package pkgdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/knqyf263/go-rpmdb/pkg/bdb"
	rpmdb "github.com/knqyf263/go-rpmdb/pkg/db"
	"github.com/knqyf263/go-rpmdb/pkg/ndb"

	_ "modernc.org/sqlite" // database/sql's "sqlite"
)

// rpmDirs are the places of rpm's database, the newest first; one may be a symlink to another.
var rpmDirs = []string{"/usr/lib/sysimage/rpm", "/var/lib/rpm", "/usr/share/rpm"}

// rpmForms are the forms that it has had, by their files.
var rpmForms = []struct {
	file string
	read func(file string, each func(header []byte) error) error
}{
	{"rpmdb.sqlite", readSQLite},
	{"Packages.db", readNDB},
	{"Packages", readBDB},
}

func openRPM(h *host) (Database, error) {
	for _, place := range rpmDirs {
		dir, err := h.path(place)
		if err != nil {
			return nil, err
		}
		for _, form := range rpmForms {
			file := filepath.Join(dir, form.file)
			if !isFile(file) {
				continue
			}
			db := &plain{kind: "rpm", host: h, state: []string{file}}
			if pending(file) {
				db.state = append(db.state, file+walSuffix)
			}
			err := form.read(file, db.addRPM)
			if err != nil {
				if err = db.askRPM(dir, err); err != nil {
					return nil, fmt.Errorf("read package database (rpm) %q: %w", file, err)
				}
			}
			if len(db.packages) > 0 {
				return db, nil
			}
		}
	}
	return nil, nil
}

// addRPM takes what one header says.
func (d *plain) addRPM(header []byte) error {
	h, err := parseHeader(header)
	if err != nil {
		return err
	}
	name := h.text(tagName)
	if name == "" || name == "gpg-pubkey" { // keys are kept as packages
		return nil
	}
	p := plainPackage{relation: relation{name: name, provides: h.texts(tagProvideName)}, arch: h.text(tagArch)}
	for _, need := range h.texts(tagRequireName) {
		p.needs = append(p.needs, []string{need})
	}
	files, err := h.files()
	if err != nil {
		return fmt.Errorf("package %s: %w", name, err)
	}
	for _, f := range files {
		if f.flags&flagGhost != 0 {
			continue
		}
		p.files = append(p.files, f.path)
		if f.flags&flagConfig != 0 {
			p.conf = append(p.conf, f.path)
		}
	}
	d.packages = append(d.packages, p)
	return nil
}

const walSuffix = "-wal"

// pending says whether SQLite has changes that are not in the main file yet.
func pending(file string) bool {
	st, err := os.Stat(file + walSuffix)
	return err == nil && st.Size() > 0
}

// readSQLite opens the file so that nothing of it can change, be it root who reads: without that SQLite would take
// part in recovery and leave files of its own beside the database.
func readSQLite(file string, each func([]byte) error) (err error) {
	opts := "mode=ro&immutable=1"
	if pending(file) {
		opts = "mode=ro"
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: file, RawQuery: opts}).String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(context.Background(), "SELECT blob FROM Packages")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var header sql.RawBytes
		if err := rows.Scan(&header); err != nil {
			return err
		}
		if err := each(header); err != nil {
			return err
		}
	}
	return rows.Err()
}

func readNDB(file string, each func([]byte) error) (err error) {
	db, err := ndb.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return drain(db.Read(), each)
}

func readBDB(file string, each func([]byte) error) (err error) {
	db, err := bdb.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return drain(db.Read(), each)
}

// drain reads to the end also after an error: the sender waits for us.
func drain(entries <-chan rpmdb.Entry, each func([]byte) error) error {
	var first error
	for e := range entries {
		if first != nil {
			continue
		}
		if first = e.Err; first == nil {
			first = each(e.Value)
		}
	}
	return first
}
