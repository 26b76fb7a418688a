package image

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// statusUnavailable is what build.sh ends with when the machine, not the recipe, is at fault.
const statusUnavailable = 3

// UnavailableError says why a real image cannot be had on this machine.
type UnavailableError struct{ Name, Reason string }

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("real image %s is not there: %s", e.Name, e.Reason)
}

// Real is one image of integration/images, built at most once and kept outside the repository.
type Real struct {
	Name    string
	Dir     string // in the cache, not to be written to
	Archive string // docker-archive
}

// OpenReal returns a real image (bookworm, basepython, aws, bullseye) and builds it if the cache has none,
// which takes up to minutes. The error is an [UnavailableError] where this machine cannot build it.
func OpenReal(module, name string) (*Real, error) {
	cmd := exec.Command(filepath.Join(module, "integration", "images", "build.sh"), name)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	said := strings.TrimSpace(stderr.String())
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == statusUnavailable {
		lines := strings.Split(said, "\n")
		return nil, &UnavailableError{Name: name, Reason: lines[len(lines)-1]}
	}
	if err != nil {
		return nil, fmt.Errorf("build real image %s: %w\n%s", name, err, said)
	}
	_, dir, _ := strings.Cut(strings.TrimSpace(stdout.String()), "\t")
	return &Real{Name: name, Dir: dir, Archive: filepath.Join(dir, name+".tar")}, nil
}

// Layers are the image's layers, bottom first.
func (r *Real) Layers() ([]*Layer, error) {
	files, err := filepath.Glob(filepath.Join(r.Dir, "layers", "*.tar"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no layers in %s (%v)", r.Dir, err)
	}
	sort.Strings(files)
	var layers []*Layer
	for _, f := range files {
		layers = append(layers, FromFile(f))
	}
	return layers, nil
}

// Image is the real image composed anew, to be pushed or written in another form.
func (r *Real) Image() (Image, error) {
	layers, err := r.Layers()
	return Image{
		Name: r.Name + ":latest", Layers: layers, LayerCompression: Gzip,
		Config: v1.Config{
			Cmd: []string{"/bin/bash"},
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		},
	}, err
}
