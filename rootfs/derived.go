package rootfs

// ledgerDir holds one file for each link that we made on the host, see launcher/catalog.
const ledgerDir = "ledger"

// LedgerDir is where the ledger of links lies. It is made by its first writer.
func (s *Store) LedgerDir() string { return s.path(ledgerDir) }

// NameDirs are the directories whose content decides what a name means, see
// [Store.Resolve]: as long as their times stay, so does every answer.
func (s *Store) NameDirs() []string {
	return []string{s.path(refsDir), s.path(sourcesDir), s.path(imagesDir)}
}

// RetireHostLayer removes a flake's own layer as [Store.RetireLayer] removes an
// image's: not while a start is using it.
func (s *Store) RetireHostLayer(name string) (removed bool, err error) {
	return s.retire(s.path(hostLayersDir, escape(name)))
}

// systemFilesDir holds one file for each script of an image that was run, see launcher/plan/compile.
const systemFilesDir = "systemfiles"

// SystemFilesDir is where it is kept what images' scripts have printed. It is made by its first writer.
func (s *Store) SystemFilesDir() string { return s.path(systemFilesDir) }
