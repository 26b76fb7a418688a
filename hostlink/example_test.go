package hostlink_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/flake-launcher/flake-launcher/hostlink"
)

// unpacked is an image that lies in a directory, without symlinks on the way.
type unpacked string

func (u unpacked) Lstat(path string) (fs.FileInfo, error) {
	return os.Lstat(filepath.Join(string(u), path))
}

func (u unpacked) Readlink(path string) (string, error) {
	return os.Readlink(filepath.Join(string(u), path))
}

func Example() {
	dir, err := os.MkdirTemp("", "hostlink")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	host, image, layer := filepath.Join(dir, "host"), filepath.Join(dir, "image"), filepath.Join(dir, "layer")
	for _, d := range []string{host + "/usr/bin", image + "/usr", layer} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			fmt.Println(err)
		}
	}
	if err := os.WriteFile(host+"/usr/bin/openssl", nil, 0o755); err != nil {
		fmt.Println(err)
	}

	m, err := hostlink.ParseManifest(strings.NewReader("kiwi_apt.config\nusr/bin/openssl\nusr/bin/gone\n"))
	if err != nil {
		fmt.Println(err)
	}
	plan, err := hostlink.Resolve(hostlink.Request{
		Sources:  []hostlink.Source{{Origin: "app", Kind: "removed", Manifest: m}},
		HostRoot: host, Image: unpacked(image),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, l := range plan.Links {
		fmt.Println("link", l.Target)
	}
	for _, n := range plan.Nodes {
		fmt.Println("node", n.Kind, n.Path)
	}
	for _, s := range plan.Skipped {
		fmt.Println("skip", s.Path, s.Cause)
	}
	if err := hostlink.WriteLayer(layer, plan.Nodes, unpacked(image)); err != nil {
		fmt.Println(err)
	}
	// hostlink.Apply(root, plan.Links) follows at each start.

	// Output:
	// link /usr/bin/openssl
	// node dir /usr/bin
	// node file /usr/bin/openssl
	// skip kiwi_apt.config noise
	// skip usr/bin/gone missing
}
