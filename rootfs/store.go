package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// The names below the root; FORMAT.md describes each.
const (
	formatVersion = "2"
	// oldVersion is what Create brings up to date; Open reads it as it is.
	oldVersion = "1"

	versionFile      = "version"
	layersTop        = "layers"
	layersDir        = "layers/sha256"
	ownersDir        = "owners/sha256"
	privateTop       = "private"
	privateDir       = "private/sha256"
	imagesDir        = "images/sha256"
	refsDir          = "refs"
	sourcesDir       = "sources"
	tmpDir           = "tmp"
	plansDir         = "plans"
	hostLayersDir    = "hostlayers"
	instancesDir     = "instances"
	registrationsDir = "registrations"

	// maxSmallFile bounds the version, reference and source files.
	maxSmallFile = 1024
)

// ownDir is a directory that a writer needs, and its mode.
type ownDir struct {
	path string
	mode fs.FileMode
}

// ownDirs lists them. Root's layers are for everybody (decisions/0004). Nobody
// but he himself needs those of another user: there everything belongs to him,
// world-writable directories as in every image included.
func ownDirs(privileged bool) []ownDir {
	layers := fs.FileMode(0o700)
	if privileged {
		layers = 0o755
	}
	return []ownDir{
		{layersTop, layers},
		{layersDir, layers},
		{"owners", layers},
		{ownersDir, layers},
		{privateTop, 0o700},
		{privateDir, 0o700},
		{"images", 0o755},
		{imagesDir, 0o755},
		{refsDir, 0o755},
		{sourcesDir, 0o755},
		{tmpDir, 0o700},
		{instancesDir, 0o700},
		{hostLayersDir, 0o700}, // with the image's owners and modes, and not divided
	}
}

// Store is one store on disk. It holds no lock and no open file of its own, so
// it needs no closing; it is safe for use by several goroutines, and any
// number of processes may have the same store open.
type Store struct {
	root string
	// whole: nothing of a layer has to be kept from other users.
	whole bool
}

// Open opens the store at root for reading and writing. It changes nothing on
// disk and costs a dozen system calls or so.
//
// It returns an error that wraps [ErrNoStore] when there is none,
// *[VersionError] when another format is found, *[AccessError] when the caller
// may not read it, and *[UnsafeRootError] when somebody else could have put
// images there: root is a symbolic link, is writable by its group or by others,
// or belongs neither to root nor to the caller. For root as the caller the
// directories above count too, since who can rename them can exchange the store.
func Open(root string) (*Store, error) {
	s, _, err := open(root)
	return s, err
}

// open says also which version it found.
func open(root string) (*Store, string, error) {
	root, err := absolute(root)
	if err != nil {
		return nil, "", fmt.Errorf("open store: %w", err)
	}
	if _, err := checkRoot(root); err != nil {
		return nil, "", err
	}
	v, err := readSmall(filepath.Join(root, versionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("open store %q: %w", root, ErrNoStore)
	}
	if err != nil {
		return nil, "", accessError("open", root, err)
	}
	if v = strings.TrimSpace(v); v != formatVersion && v != oldVersion {
		return nil, "", &VersionError{Root: root, Found: v[:min(len(v), 32)]}
	}
	return &Store{root: root}, v, nil
}

// Create opens the store at root for writing, and makes it first when there is
// none. The appearance of the version file is what makes a directory a store,
// and it appears whole: a crash on the way leaves what a second Create
// completes. Two processes may create the same store at once. Parents that are
// missing are made too. A store of an earlier format is brought up to date.
//
// The errors are those of [Open], [ErrNoStore] excepted; *[AccessError] stands
// also for a store that the caller may only read, and for a disk that is full
// or read-only.
func Create(root string) (*Store, error) {
	root, err := absolute(root)
	if err != nil {
		return nil, fmt.Errorf("create store: %w", err)
	}
	if err := makeRoot(root); err != nil {
		return nil, err
	}
	owner, err := checkRoot(root)
	if err != nil {
		return nil, err
	}
	if euid := os.Geteuid(); euid != 0 && owner != euid {
		return nil, &AccessError{Op: "write to", Root: root, Err: fmt.Errorf("it belongs to %s", userName(owner)), remedy: remedyOwnStore}
	}
	s := &Store{root: root}
	version := ""
	if _, err := os.Lstat(s.path(versionFile)); err == nil {
		// Look at the version before adding directories to it.
		if _, version, err = open(root); err != nil {
			return nil, err
		}
	} else if err := s.checkAdoptable(); err != nil {
		return nil, err
	}
	if err := s.makeDirs(version == oldVersion); err != nil {
		return nil, accessError("create", root, err)
	}
	if version == formatVersion {
		return s, nil
	}
	if version == oldVersion {
		if ok, err := s.upgrade(); err != nil || !ok {
			return s, err
		}
	}
	if err := s.writeSmall(versionFile, formatVersion+"\n"); err != nil {
		return nil, accessError("create", root, err)
	}
	return s, nil
}

// makeDirs makes what is missing, and gives what a writer of another umask or
// an earlier format made its mode. The layers of an old store stay closed.
func (s *Store) makeDirs(old bool) error {
	for _, d := range ownDirs(Privileged()) {
		if old && (d.path == layersTop || d.path == layersDir) {
			d.mode = 0o700
		}
		path := s.path(d.path)
		if err := makeDir(path, d.mode); err != nil {
			return err
		}
		fi, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if !fi.IsDir() {
			return &os.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
		}
		if fi.Mode().Perm() != d.mode {
			if err := os.Chmod(path, d.mode); err != nil {
				return err
			}
		}
	}
	return nil
}

// makeRoot makes root with mode 0755 whatever the umask; its missing parents
// get what the umask leaves, but are never writable by others.
func makeRoot(root string) error {
	if _, err := os.Lstat(root); err == nil {
		return nil // checkRoot judges it
	}
	if os.Geteuid() == 0 {
		if err := checkAbove(root); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return accessError("create", root, err)
	}
	if err := makeDir(root, 0o755); err != nil {
		return accessError("create", root, err)
	}
	return nil
}

// makeDir makes one directory with exactly the given mode, and is content
// with one that exists.
func makeDir(path string, mode fs.FileMode) error {
	err := os.Mkdir(path, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func absolute(root string) (string, error) {
	if root == "" {
		return "", errors.New("empty path")
	}
	return filepath.Abs(root)
}

// Root is the absolute path of the store.
func (s *Store) Root() string { return s.root }

// path is the only place that joins below the root.
func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.root}, elem...)...)
}

// LayerDir is where the layer of that id is or would be: complete or absent.
// A string that is no id gives a path at which nothing ever is.
func (s *Store) LayerDir(id string) string { return s.path(layersDir, escape(id)) }

// ImageDir is where the manifest, config and record of an image are or would be.
func (s *Store) ImageDir(d digest.Digest) string {
	if checkDigest(d) != nil {
		return s.path(imagesDir, escape(string(d)))
	}
	return s.path(imagesDir, d.Encoded())
}

// PlansDir is where compiled launch plans are kept; it may not exist yet.
func (s *Store) PlansDir() string { return s.path(plansDir) }

// HostLayersDir is where host layers are kept; it may not exist yet.
func (s *Store) HostLayersDir() string { return s.path(hostLayersDir) }

// InstancesDir is where kept instances have their writable parts; it may not
// exist yet.
func (s *Store) InstancesDir() string { return s.path(instancesDir) }

// RegistrationsDir is where registrations are under FLAKES_ROOT; it may not
// exist yet.
func (s *Store) RegistrationsDir() string { return s.path(registrationsDir) }

// HasLayer says whether the layer is there, which means that it is complete.
func (s *Store) HasLayer(id string) bool {
	if checkID(id) != nil {
		return false
	}
	fi, err := os.Lstat(s.LayerDir(id))
	return err == nil && fi.IsDir()
}

// checkID accepts what may be the name of a layer directory.
func checkID(id string) error {
	if err := digest.NewDigestFromEncoded(digest.SHA256, id).Validate(); err != nil {
		return fmt.Errorf("layer %q: %w", id, errBadID)
	}
	return nil
}

func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %q: %w", string(d), errBadID)
	}
	return nil
}
