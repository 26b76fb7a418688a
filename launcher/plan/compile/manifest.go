package compile

import (
	"bytes"
	"io/fs"
	"slices"

	"github.com/flake-launcher/flake-launcher/hostlink"
	"github.com/flake-launcher/flake-launcher/launcher/policy"
	"github.com/flake-launcher/flake-launcher/rootfs"
)

// policyImage is an image as the policy knows it.
func policyImage(name string, img rootfs.Stored) policy.Image {
	return policy.Image{Names: append(slices.Clone(img.Names), name), Digest: img.Digest.String()}
}

// followLinks is on unless the flake says otherwise.
func (r *Request) followLinks() bool {
	f := r.Flake.HostFiles.FollowLinks
	return f == nil || *f
}

// manifest reads one. A directory of that name is the image's own affair. Whatever else is no regular file is refused: a
// link could lead to a file that says something else to everybody.
func manifest(view *rootfs.View, path string) (hostlink.Manifest, error) {
	st, err := view.Lstat(path)
	if err != nil {
		return hostlink.Manifest{}, err
	}
	if st.IsDir() {
		return hostlink.Manifest{}, fs.ErrNotExist
	}
	if !st.Mode().IsRegular() {
		return hostlink.Manifest{}, &hostlink.ManifestError{Reason: "it is no regular file"}
	}
	if st.Size() > hostlink.MaxManifest {
		return hostlink.Manifest{}, &hostlink.LimitError{What: "bytes", Limit: hostlink.MaxManifest}
	}
	b, err := view.ReadFile(path, hostlink.MaxManifest)
	if err != nil {
		return hostlink.Manifest{}, err
	}
	return hostlink.ParseManifest(bytes.NewReader(b))
}

// Count returns how many entries were left out for a cause.
func (r *HostReport) Count(c hostlink.Cause) int {
	n := 0
	for i := range r.Skipped {
		if r.Skipped[i].Cause == c {
			n++
		}
	}
	return n
}
