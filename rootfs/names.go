package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
)

const (
	localPrefix = "localhost/"
	hubPrefix   = "docker.io/library/"
	defaultTag  = "latest"

	// minIDPrefix is how much of an id a name must have to be taken for one.
	minIDPrefix = 6

	// maxFileName is NAME_MAX of the usual file systems.
	maxFileName = 255

	hexDigits = "0123456789ABCDEF"
)

// Resolve gives the digest of the stored image that name means. The first of
// these that is there wins; a name without a tag means :latest throughout:
//
//	name; localhost/name; docker.io/library/name;
//	the only stored reference that ends in /name;
//	repository@digest, digest, id;
//	the only image whose id begins with name (6 digits or more);
//	the image that was pulled or loaded by exactly this source string.
//
// It returns *[NotFoundError] or *[AmbiguousError]. That the image of a
// reference is still there is for [Store.Image] to say.
func (s *Store) Resolve(name string) (digest.Digest, error) {
	ref, err := s.ResolveRef(name)
	return ref.Digest, err
}

// ResolveRef is [Store.Resolve], and says also by which reference the image
// was found; Name is empty where it was none.
func (s *Store) ResolveRef(name string) (Ref, error) {
	refs, err := s.Refs()
	if err != nil {
		return Ref{}, err
	}
	if name == "" {
		return Ref{}, &NotFoundError{Name: name}
	}
	if ref, err := matchRef(refs, name); err != nil || ref.Digest != "" {
		return ref, err
	}
	d, err := s.matchID(name)
	if err != nil || d != "" {
		return Ref{Digest: d}, err
	}
	if d, err = s.readDigest(sourcesDir, sourceFile(name)); err == nil {
		return Ref{Digest: d}, nil
	}
	return Ref{}, &NotFoundError{Name: name}
}

// matchRef looks a name up among the references; the zero Ref says no.
func matchRef(refs []Ref, name string) (Ref, error) {
	names := []string{name}
	if tagged := withTag(name); tagged != name {
		names = append(names, tagged)
	}
	for _, prefix := range []string{"", localPrefix, hubPrefix} {
		for _, n := range names {
			for _, r := range refs {
				if r.Name == prefix+n {
					return r, nil
				}
			}
		}
	}
	var found []Ref
	for _, r := range refs {
		if strings.HasSuffix(r.Name, "/"+withTag(name)) {
			found = append(found, r)
		}
	}
	if len(found) > 1 {
		e := &AmbiguousError{Name: name}
		for _, r := range found {
			e.Candidates = append(e.Candidates, r.Name)
		}
		return Ref{}, e
	}
	if len(found) == 1 {
		return found[0], nil
	}
	return Ref{}, nil
}

// matchID looks a name up among the images' ids; "" says no.
func (s *Store) matchID(name string) (digest.Digest, error) {
	if _, after, ok := strings.Cut(name, "@"); ok {
		name = after
	}
	id := strings.TrimPrefix(name, "sha256:")
	if len(id) < minIDPrefix || strings.Trim(id, "0123456789abcdef") != "" {
		return "", nil
	}
	digests, err := s.Digests()
	if err != nil {
		return "", err
	}
	var found []digest.Digest
	for _, d := range digests {
		if strings.HasPrefix(d.Encoded(), id) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	e := &AmbiguousError{Name: name}
	for _, d := range found {
		e.Candidates = append(e.Candidates, d.String())
	}
	return "", e
}

// withTag adds the default tag to a name that has neither tag nor digest. The
// colon of a registry's port comes before the last slash.
func withTag(name string) string {
	if strings.Contains(name, "@") || strings.Contains(name[strings.LastIndex(name, "/")+1:], ":") {
		return name
	}
	return name + ":" + defaultTag
}

// Refs gives all references, sorted by name. A file that is no reference, or
// whose content is damaged, counts as absent: pulling the name again writes it
// anew.
func (s *Store) Refs() ([]Ref, error) {
	entries, err := os.ReadDir(s.path(refsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list references: %w", err)
	}
	var refs []Ref
	for _, e := range entries {
		name, err := unescape(e.Name())
		if err != nil {
			continue
		}
		d, err := s.readDigest(refsDir, e.Name())
		if errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("read reference %q: %w", name, err)
		}
		if err != nil {
			continue
		}
		refs = append(refs, Ref{Name: name, Digest: d})
	}
	slices.SortFunc(refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	return refs, nil
}

// readDigest reads a file that holds a digest and a newline, nothing else.
func (s *Store) readDigest(dir, file string) (digest.Digest, error) {
	text, err := readSmall(s.path(dir, file))
	if err != nil {
		return "", err
	}
	d := digest.Digest(strings.TrimSuffix(text, "\n"))
	if err := checkDigest(d); err != nil {
		return "", fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return d, nil
}

// checkName refuses what cannot be the name of a reference file. It is no
// grammar of image names: whoever pulls has parsed the name.
func checkName(unsafeName string) error {
	bad := func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }
	if unsafeName == "" || !utf8.ValidString(unsafeName) || strings.ContainsFunc(unsafeName, bad) {
		return fmt.Errorf("reference %q: %w", unsafeName, ErrBadName)
	}
	if len(escape(unsafeName)) > maxFileName {
		return fmt.Errorf("reference %q: too long: %w", unsafeName, ErrBadName)
	}
	return nil
}

// escape makes one file name of any string: letters, digits and "._-:@" stay,
// a leading dot and all else become %XX. No two strings give the same name, and
// none gives a name with a slash, "." or "..".
func escape(unsafeName string) string {
	var b strings.Builder
	for i := 0; i < len(unsafeName); i++ {
		c := unsafeName[i]
		if plain(c) && (c != '.' || i > 0) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hexDigits[c>>4])
		b.WriteByte(hexDigits[c&15])
	}
	return b.String()
}

// unescape undoes escape, and refuses what escape does not produce: else two
// files could claim one name.
func unescape(file string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(file); i++ {
		if file[i] != '%' {
			b.WriteByte(file[i])
			continue
		}
		if i+2 >= len(file) {
			return "", fmt.Errorf("file %q: %w", file, ErrBadName)
		}
		hi, lo := strings.IndexByte(hexDigits, file[i+1]), strings.IndexByte(hexDigits, file[i+2])
		if hi < 0 || lo < 0 {
			return "", fmt.Errorf("file %q: %w", file, ErrBadName)
		}
		b.WriteByte(byte(hi<<4 | lo))
		i += 2
	}
	name := b.String()
	if checkName(name) != nil || escape(name) != file {
		return "", fmt.Errorf("file %q: %w", file, ErrBadName)
	}
	return name, nil
}

func plain(c byte) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return true
	}
	return strings.IndexByte("._-:@", c) >= 0
}

// sourceFile names the file of a source string. It is hashed, not escaped:
// paths and URLs grow longer than file names may be.
func sourceFile(source string) string { return digest.FromString(source).Encoded() }
