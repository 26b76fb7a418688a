package rootfs_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"github.com/flake-launcher/flake-launcher/rootfs"
)

// A writer unpacks a layer into a temporary directory and commits it; a reader
// looks at the stack.
func Example() {
	dir, err := os.MkdirTemp("", "rootfs-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s, err := rootfs.Create(filepath.Join(dir, "flakes"))
	if err != nil {
		log.Fatal(err)
	}
	t, err := s.Temp("layer")
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	if err := os.WriteFile(filepath.Join(t.Dir(), "hello"), []byte("from the image"), 0o644); err != nil {
		log.Fatal(err)
	}
	id := digest.FromString("the layer's tar").Encoded()
	if err := s.CommitLayer(t.Dir(), id); err != nil {
		log.Fatal(err)
	}
	v, err := rootfs.NewView([]string{s.LayerDir(id)})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	text, err := v.ReadFile("/hello", 100)
	fmt.Println(string(text), err)
	// Output: from the image <nil>
}
