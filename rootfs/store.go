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
	formatVersion = "1"

	versionFile      = "version"
	layersDir        = "layers/sha256"
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

// ownDirs are the directories a writer needs, with their modes. What holds
// unpacked layers is closed to other users: it may contain set-uid programs
// of old images, which nobody should be able to run by path on the host
// (decisions/0002).
var ownDirs = []struct {
	path string
	mode fs.FileMode
}{
	{"layers", 0o700},
	{layersDir, 0o700},
	{"images", 0o755},
	{imagesDir, 0o755},
	{refsDir, 0o755},
	{sourcesDir, 0o755},
	{tmpDir, 0o700},
}

// Store is one store on disk. It holds no lock and no open file of its own, so
// it needs no closing; it is safe for use by several goroutines, and any
// number of processes may have the same store open.
type Store struct{ root string }

// Open opens the store at root for reading and writing. It changes nothing on
// disk and costs three system calls or so.
//
// It returns an error that wraps [ErrNoStore] when there is none,
// *[VersionError] when another format is found, and *[UnsafeRootError] when
// root is a symbolic link, is writable by its group or by others, or belongs
// neither to root nor to the caller.
func Open(root string) (*Store, error) {
	root, err := absolute(root)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := checkRoot(root); err != nil {
		return nil, err
	}
	v, err := readSmall(filepath.Join(root, versionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open store %q: %w", root, ErrNoStore)
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if v = strings.TrimSpace(v); v != formatVersion {
		return nil, &VersionError{Root: root, Found: v[:min(len(v), 32)]}
	}
	return &Store{root: root}, nil
}

// Create opens the store at root, and makes it first when there is none. The
// appearance of the version file is what makes a directory a store, and it
// appears whole: a crash on the way leaves what a second Create completes.
// Two processes may create the same store at once. Parents that are missing
// are made too. The errors are those of [Open], [ErrNoStore] excepted.
func Create(root string) (*Store, error) {
	root, err := absolute(root)
	if err != nil {
		return nil, fmt.Errorf("create store: %w", err)
	}
	if err := makeRoot(root); err != nil {
		return nil, fmt.Errorf("create store: %w", err)
	}
	if err := checkRoot(root); err != nil {
		return nil, err
	}
	_, err = os.Lstat(filepath.Join(root, versionFile))
	if err == nil {
		// Look at the version before adding directories to it.
		if _, err := Open(root); err != nil {
			return nil, err
		}
	}
	for _, d := range ownDirs {
		if err := makeDir(filepath.Join(root, d.path), d.mode); err != nil {
			return nil, fmt.Errorf("create store: %w", err)
		}
	}
	s := &Store{root: root}
	if err == nil {
		return s, nil
	}
	if err := s.writeSmall(versionFile, formatVersion+"\n"); err != nil {
		return nil, fmt.Errorf("create store: %w", err)
	}
	return Open(root)
}

// makeRoot makes root with mode 0755 whatever the umask; its missing parents
// get what the umask leaves.
func makeRoot(root string) error {
	if _, err := os.Lstat(root); err == nil {
		return nil // checkRoot judges it
	}
	if err := os.MkdirAll(filepath.Dir(root), 0o755); err != nil {
		return err
	}
	return makeDir(root, 0o755)
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

// checkRoot refuses a root that somebody else could exchange or fill. It looks
// at the opened directory, not at the path, and does not follow a final link:
// whoever may replace the link would choose what root executes.
func checkRoot(root string) error {
	f, err := openDirAt(unix.AT_FDCWD, root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("open store %q: %w", root, ErrNoStore)
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return &UnsafeRootError{Root: root, Reason: "it is a symbolic link or no directory"}
	case err != nil:
		return fmt.Errorf("open store: %w", err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fmt.Errorf("open store: stat %q: %w", root, err)
	}
	if st.Mode&0o022 != 0 {
		return &UnsafeRootError{Root: root, Reason: fmt.Sprintf("its mode %04o lets others write", st.Mode&0o7777)}
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return &UnsafeRootError{Root: root, Reason: fmt.Sprintf("it belongs to user %d", st.Uid)}
	}
	return nil
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
