package rootfs

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// The files of one image directory.
const (
	manifestFile = "manifest.json"
	configFile   = "config.json"
	recordFile   = "record.json"

	// recordVersion is the version of record.json. A record of another version
	// counts as damaged: pulling again writes a new one.
	recordVersion = 1

	// maxJSON bounds what is read of one json file. Registries limit a manifest
	// to 4 MiB; a config can be as large.
	maxJSON = 8 << 20
)

// LayerRecord is what is known about one layer of an image.
type LayerRecord struct {
	// ID names the layer's directory, see [Store.LayerDir]: the hex of its
	// diffID, or of its chainID where the layer names an entry without naming
	// its parents and therefore depends on the layers below it.
	ID string `json:"id"`
	// DiffID is the digest of the uncompressed tar.
	DiffID digest.Digest `json:"diff_id"`
	// Digest and Size are those of the blob as the manifest has it.
	Digest digest.Digest `json:"digest,omitempty"`
	Size   int64         `json:"size,omitempty"`
	// UnpackedSize is the sum of its regular files.
	UnpackedSize int64  `json:"unpacked_size,omitempty"`
	MediaType    string `json:"media_type,omitempty"`
	// Devices counts the device nodes that were not unpacked.
	Devices int `json:"devices,omitempty"`
	// Implied are the directories, relative and sorted, that the layer's entries
	// lie in without the layer naming them. Below another image than its own
	// their mode and owner are that image's affair.
	Implied []string `json:"implied,omitempty"`
}

// Record is the store's own knowledge about an image: what neither manifest
// nor config say.
type Record struct {
	// Version is set by [Store.PutImage].
	Version int `json:"version"`
	// Digest is the manifest's, and the image's name in the store.
	Digest digest.Digest `json:"digest"`
	// Source is the string the image was pulled or loaded by.
	Source string `json:"source"`
	// Created is the time of the pull.
	Created      time.Time     `json:"created"`
	Layers       []LayerRecord `json:"layers"` // bottom first
	Architecture string        `json:"architecture,omitempty"`
	OS           string        `json:"os,omitempty"`
}

// storedRecord is record.json: the record, and what the files beside it must
// hash to. The manifest's own digest cannot serve for that: a schema 1
// manifest is named by its payload without the signatures.
type storedRecord struct {
	Record
	ManifestSum string `json:"manifest_sha256"`
	ConfigSum   string `json:"config_sha256"`
}

// Image is an image that is completely in the store.
type Image struct {
	Record
	// Names are the references that point at the image, sorted.
	Names []string
	// Config is the image's own config.
	Config ispec.Image
}

// Ref is a name and the image it points at. The image may be missing, after a
// crash or when somebody deleted it.
type Ref struct {
	Name   string
	Digest digest.Digest
}

// LayerDirs gives the directories of the unpacked layers, bottom first: for root
// there can be more of them than layers, see [Store.LayerParts]. See
// [TrimOpaque] for what to do before such a list is mounted.
func (i *Image) LayerDirs(s *Store) []string {
	dirs := make([]string, 0, 2*len(i.Layers))
	for _, l := range i.Layers {
		dirs = append(dirs, s.LayerParts(l.ID)...)
	}
	return dirs
}

// Image reads an image and verifies that its json files are those that were
// written and that every layer is there. It returns *[NotFoundError] when the
// store does not have it, and *[DamagedError] (which wraps [ErrDamaged]) when
// it does not have all of it.
func (s *Store) Image(d digest.Digest) (*Image, error) {
	img, err := s.image(d)
	if err != nil {
		return nil, err
	}
	refs, err := s.Refs()
	if err != nil {
		return nil, err
	}
	img.name(refs)
	return img, nil
}

// Images gives every image that is complete, sorted by digest. Damaged ones
// are left out, so that one of them does not hide the others; [Store.Digests]
// has them too.
func (s *Store) Images() ([]*Image, error) {
	digests, err := s.Digests()
	if err != nil {
		return nil, err
	}
	refs, err := s.Refs()
	if err != nil {
		return nil, err
	}
	var images []*Image
	for _, d := range digests {
		img, err := s.image(d)
		if errors.Is(err, ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		img.name(refs)
		images = append(images, img)
	}
	return images, nil
}

// Digests lists every image directory, of damaged images too, sorted.
func (s *Store) Digests() ([]digest.Digest, error) {
	ids, err := s.list(imagesDir)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	digests := make([]digest.Digest, len(ids))
	for i, id := range ids {
		digests[i] = digest.NewDigestFromEncoded(digest.SHA256, id)
	}
	return digests, nil
}

// Layers lists the ids of every layer that is there, sorted.
func (s *Store) Layers() ([]string, error) {
	ids, err := s.list(layersDir)
	if err != nil {
		return nil, fmt.Errorf("list layers: %w", err)
	}
	return ids, nil
}

// Record reads what is recorded about an image without looking whether the
// image is complete. Collection needs it: an image that lacks one layer still
// keeps its others, so that pulling it again fetches that one only. The errors
// are those of [Store.Image].
func (s *Store) Record(d digest.Digest) (*Record, error) {
	rec, err := s.record(d)
	if err != nil {
		return nil, err
	}
	return &rec.Record, nil
}

func (i *Image) name(refs []Ref) {
	for _, r := range refs {
		if r.Digest == i.Digest {
			i.Names = append(i.Names, r.Name)
		}
	}
}

// list gives the entries of dir that are ids; anything else is not ours.
func (s *Store) list(dir string) ([]string, error) {
	entries, err := os.ReadDir(s.path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && checkID(e.Name()) == nil {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	return ids, nil
}

func (s *Store) image(d digest.Digest) (*Image, error) {
	rec, err := s.record(d)
	if err != nil {
		return nil, err
	}
	damaged := func(err error) error {
		if errors.Is(err, fs.ErrPermission) { // somebody else's store: whole, for all we know
			return fmt.Errorf("read image %s: %w", d, err)
		}
		return &DamagedError{Digest: d, Source: rec.Source, Err: err}
	}
	if _, err := s.readSummed(d, manifestFile, rec.ManifestSum); err != nil {
		return nil, damaged(err)
	}
	config, err := s.readSummed(d, configFile, rec.ConfigSum)
	if err != nil {
		return nil, damaged(err)
	}
	img := &Image{Record: rec.Record}
	if err := json.Unmarshal(config, &img.Config); err != nil {
		return nil, damaged(fmt.Errorf("parse %s: %w", configFile, err))
	}
	for _, l := range rec.Layers {
		fi, err := os.Lstat(s.LayerDir(l.ID))
		if err == nil && !fi.IsDir() {
			err = unix.ENOTDIR
		}
		if err != nil {
			return nil, damaged(fmt.Errorf("read layer %s: %w", l.ID, err))
		}
	}
	return img, nil
}

// record reads and checks record.json.
func (s *Store) record(d digest.Digest) (*storedRecord, error) {
	if err := checkDigest(d); err != nil {
		return nil, err
	}
	dir := s.ImageDir(d)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, &NotFoundError{Name: d.String()}
	}
	data, err := readFile(filepath.Join(dir, recordFile), maxJSON)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("read image %s: %w", d, err)
	}
	if err != nil {
		return nil, &DamagedError{Digest: d, Err: err}
	}
	var rec storedRecord
	if err := json.Unmarshal(data, &rec); err != nil {
		return nil, &DamagedError{Digest: d, Err: fmt.Errorf("parse %s: %w", recordFile, err)}
	}
	if err := rec.check(d); err != nil {
		return nil, &DamagedError{Digest: d, Err: fmt.Errorf("read %s: %w", recordFile, err)}
	}
	return &rec, nil
}

// check refuses a record that is not one that PutImage wrote for d.
func (r *storedRecord) check(d digest.Digest) error {
	if r.Version != recordVersion {
		return fmt.Errorf("version %d, this program reads %d", r.Version, recordVersion)
	}
	if r.Digest != d {
		return fmt.Errorf("it describes %q", string(r.Digest))
	}
	for _, l := range r.Layers {
		if err := checkID(l.ID); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) readSummed(d digest.Digest, name, sum string) ([]byte, error) {
	data, err := readFile(filepath.Join(s.ImageDir(d), name), maxJSON)
	if err != nil {
		return nil, err
	}
	if hexSum(data) != sum {
		return nil, fmt.Errorf("%s is not what was written", name)
	}
	return data, nil
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
